"""Turning the choices of the cockpit: use case, context and KV type by their keys, and what a derivation answers."""

from __future__ import annotations

from msgspec.structs import replace

from rigtui.errors import RigtuiError
from tui.fakes.models import MODELS, candidates
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.world import World, failing


async def test_use_case_context_and_kv_type_follow_their_keys_and_are_marked_as_yours(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("u")
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        await screen.press("left_square_bracket")
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768)
        await screen.press("k")
        await screen.until(lambda: screen.state.plan.kv_type == ("q5_1", "q5_1"))
        text = screen.text()
        assert "32,768 (yours)" in text and "q5_1 (yours)" in text
        assert "32,768 tokens of 262,144 trained  (yours)" in text
        assert "undo mine" in text
        await screen.press("r")
        await screen.until(lambda: screen.state.plan.context_per_slot == 65536)
        assert "yours" not in screen.text() and "undo mine" not in screen.text()
        assert screen.state.plan.use_case == "coding"


async def test_the_choices_can_be_turned_with_the_arrows(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("tab", "right")
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        await screen.press("down", "left")
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768)
        await screen.press("up", "left", "left")
        await screen.until(lambda: screen.state.plan.use_case == "batch")


async def test_an_exact_context_is_typed_checked_and_taken(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("equals_sign")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        await screen.press(*"many", "enter")
        assert "type a number of tokens" in screen.text()
        await screen.enter("50,000")
        await screen.until(lambda: screen.state.plan.context_per_slot == 50000)
        assert screen.state.overrides.context == 50000


async def test_more_context_than_the_model_was_trained_for_is_said_to_be_the_end(cockpit):
    world = World(two_cards(), candidates(MODELS[1]))
    async with cockpit(world) as screen:
        assert screen.state.plan.context == 40960
        await screen.press("right_square_bracket")
        await screen.until(lambda: "this is all the model was trained for" in screen.told)
        assert not screen.state.changed


async def test_a_typed_context_beyond_what_the_model_was_trained_for_is_kept_and_said(cockpit):
    world = World(two_cards(), candidates(MODELS[1]))
    async with cockpit(world, size=(120, 36)) as screen:
        await screen.press("equals_sign")
        await screen.press(*"100000", "enter")
        await screen.until(lambda: "100,000 tokens, as you set: the model was trained for 40,960" in screen.told)
        await screen.until(lambda: "100,000 tokens, beyond the 40,960 trained (yours)" in screen.part("#plan"))
        await screen.press("right_square_bracket")
        await screen.until(lambda: "100,000 tokens: the model was trained for no more than 40,960" in screen.told)
        assert screen.state.overrides.context == 100000


async def test_the_first_press_of_the_kv_key_changes_the_type(cockpit):
    world = World(two_cards())
    for planned in ("f16", "q8_0"):
        world.derive = lambda rig, model, intent, builds, planned=planned: replace(
            plan_for(rig, model, intent, builds), kv_type=intent.overrides.kv_type or (planned, planned)
        )
        async with cockpit(world) as screen:
            await screen.press("k")
            await screen.until(lambda: screen.state.overrides.kv_type)
            assert screen.state.overrides.kv_type[0] != planned


async def test_only_the_last_of_quick_changes_is_shown(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        world.derive_gate.clear()
        await screen.press("u", "left_square_bracket", "left_square_bracket", "right_square_bracket")
        world.derive_gate.set()
        await screen.until(lambda: screen.state.plan.context_per_slot == 32768 and screen.state.plan.use_case == "coding")
        await screen.pilot.pause(0.1)
        assert screen.state.plan.context_per_slot == 32768


async def test_a_derivation_that_fails_says_why_in_the_plans_place(cockpit):
    world = World(two_cards())
    world.derive = failing(RigtuiError("a safetensors model needs vLLM, which is not installed; pick a GGUF file"))
    async with cockpit(world) as screen:
        assert "No plan" in screen.text()
        assert "a safetensors model needs vLLM" in screen.part("#plan")
        await screen.press("l")
        assert not world.launched
