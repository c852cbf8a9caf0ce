"""What-if: slots, cards, headroom and micro-batch in the cockpit."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from rigtui.intent.intent import Overrides
from rigtui.tui import whatif
from rigtui.tui.state import Cockpit
from tui.fakes.models import USE_CASES
from tui.fakes.rigs import eight_cards, two_cards
from tui.fakes.world import World


def state(**own) -> Cockpit:
    return Cockpit(rig=two_cards(), use_cases=USE_CASES, overrides=Overrides(**own))


def test_slots_and_micro_batch_go_by_powers_of_two_within_bounds():
    assert whatif.step_slots(state(), 1).overrides.parallel == 2
    assert whatif.step_slots(state(parallel=6), -1).overrides.parallel == 4
    assert whatif.step_slots(state(parallel=1), -1).overrides.parallel == 1
    assert whatif.step_slots(state(parallel=64), 1).overrides.parallel == 64
    assert whatif.step_ubatch(state(), 1).overrides.ubatch == 1024
    assert whatif.step_ubatch(state(ubatch=32), -1).overrides.ubatch == 32


def test_cards_go_around_from_all_over_each_alone():
    one = whatif.cycle_cards(state(), 1)
    assert one.overrides.gpus == ("GPU-0",)
    two = whatif.cycle_cards(one, 1)
    assert two.overrides.gpus == ("GPU-1",)
    assert whatif.cycle_cards(two, 1).overrides.gpus is None
    assert whatif.cycle_cards(state(), -1).overrides.gpus == ("GPU-1",)


def test_headroom_has_one_number_per_card_and_stays_with_its_card():
    assert whatif.headroom_now(state(), two_cards().gpus) == (128, 1024)
    more = whatif.step_headroom(state(), 1)
    assert more.overrides.fit_target_mib == (256, 1152)
    alone = whatif.with_cards(more, (two_cards().gpus[1],))
    assert alone.overrides.fit_target_mib == (1152,)
    swapped = whatif.with_cards(more, tuple(reversed(two_cards().gpus)))
    assert swapped.overrides.gpus == ("GPU-1", "GPU-0") and swapped.overrides.fit_target_mib == (1152, 256)
    assert whatif.headroom_now(state(fit_target_mib=(500,)), two_cards().gpus) == (500, 500)
    assert whatif.step_headroom(state(fit_target_mib=(0, 64)), -1).overrides.fit_target_mib == (0, 0)


def test_what_is_as_rigtui_would_have_it_is_no_change():
    cards = two_cards().gpus
    assert whatif.with_cards_and_headroom(state(gpus=("GPU-1",)), cards, (128, 1024)).overrides == Overrides()


def test_cards_of_another_rig_do_no_harm():
    assert whatif.cards_now(state(gpus=("GPU-9",))) == two_cards().gpus


@pytest.mark.parametrize("row", ["slots", "cards", "headroom", "ubatch", "context", "kv_type"])
def test_each_can_be_given_back(row):
    own = state(context=4096, parallel=2, kv_type=("q8_0", "q8_0"), gpus=("GPU-1",), fit_target_mib=(256,), ubatch=256)
    field = whatif.OVERRIDES[row]
    given = whatif.give_back(own, row)
    assert getattr(given.overrides, field) is None
    assert sum(getattr(given.overrides, name) is None for name in whatif.OVERRIDES.values()) == 1


async def test_at_80_columns_every_choice_is_reached_by_keys_and_marked_as_yours(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        assert "slots" not in screen.part("#choices") and "w more" in screen.part("#choices")
        await screen.press("w", "right")
        await screen.until(lambda: screen.state.plan.parallel == 2)
        await screen.press("down", "right", "down", "right", "down", "left")
        await screen.until(lambda: screen.state.overrides.ubatch == 256)
        own = screen.state.overrides
        assert (own.parallel, own.gpus, own.fit_target_mib) == (2, ("GPU-0",), (256,))
        text = screen.part("#choices")
        for words in ("2 (yours)", "0 (yours)", "256 (yours)"):
            assert words in text
        await screen.press("backspace")
        await screen.until(lambda: screen.state.overrides.ubatch is None)
        await screen.press("r")
        await screen.until(lambda: not screen.state.changed)
        await screen.press("tab")
        await screen.until(lambda: "slots" not in screen.part("#choices"))


async def test_down_past_the_last_row_shows_the_others(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("tab", "down", "down", "down", "right")
        await screen.until(lambda: screen.state.overrides.parallel == 2)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_with_eight_cards_the_row_under_the_cursor_is_always_on_screen(cockpit, size):
    rig = replace(eight_cards(), gpus=tuple(card for card in eight_cards().gpus if card.error is None))
    async with cockpit(World(rig), size=size) as screen:
        await screen.press("w")
        for row in ("slots", "cards", "headroom", "ubatch"):
            await screen.until(lambda row=row: f"▸ {row}" in screen.text(), row)
            await screen.press("down")
        lines = screen.text().splitlines()
        assert max(map(len, lines)) <= size[0]
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y
        for widget in screen.app.screen.query("#models, #choices, #plan, #engine, #hints"):
            assert widget.region.bottom <= size[1] and widget.region.height >= 1


async def test_cards_are_taken_out_moved_and_given_headroom_in_their_dialog(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("w", "down", "enter")
        await screen.until(lambda: "Space takes a card" in screen.text())
        await screen.press("plus", "minus", "right", "enter")
        await screen.until(lambda: screen.state.overrides.gpus == ("GPU-1", "GPU-0"))
        assert screen.state.overrides.fit_target_mib == (1024, 256)
        assert "1,0 (yours)" in screen.part("#choices")
        await screen.press("enter", "space", "enter")
        await screen.until(lambda: screen.state.overrides.gpus == ("GPU-0",))
        await screen.press("enter", "space", "enter")
        assert "one card at least has to stay in" in screen.text()


async def test_slots_are_typed_and_checked(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("w", "enter")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press(*"0", "enter")
        assert "type a number from 1 to 1,024" in screen.text()
        screen.app.screen.query_one(Input).value = "3"
        await screen.press("enter")
        await screen.until(lambda: screen.state.plan.parallel == 3)
