"""What the hint line and the titles say of keys: at 80x24 the questions that people come with are each answered by a key on the screen."""

from __future__ import annotations

import pytest

from rigtui.tui.allowed import unmet
from tui.fakes.models import BROKEN, MODELS, candidates
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

SMALL = (80, 24)


@pytest.mark.parametrize("phase", [None, "loading", "ready", "failed"])
async def test_why_more_context_sharing_and_who_holds_vram_are_keys_on_the_small_screen(cockpit, phase):
    world = World(two_cards())
    world.runs = (run_state("one", phase),) if phase else ()
    async with cockpit(world, size=SMALL) as screen:
        await screen.until(lambda: "KV cache" in screen.part("#plan") and bool(screen.state.runs) == bool(phase))
        hints = screen.text().splitlines()[-1]
        assert "x export" in hints and "v VRAM" in hints
        # What the rows of the choices name already leaves its place to what stands nowhere else.
        assert phase is not None or ("c compare" in hints and "P profiles" in hints)
        assert "Plan · > more" in screen.text()
        assert "[ ] =" in screen.part("#choices"), "the keys of the context"


async def test_the_key_in_the_title_reads_on_in_the_plan_from_the_models_and_back(cockpit):
    async with cockpit(World(two_cards()), size=SMALL) as screen:
        await screen.until(lambda: "KV cache" in screen.part("#plan"))
        for _ in range(6):
            await screen.press("greater_than_sign")
        await screen.until(lambda: "Plan · < back" in screen.text())
        assert "instead" in screen.part("#plan") or "command" in screen.part("#plan")
        for _ in range(6):
            await screen.press("less_than_sign")
        await screen.until(lambda: "Plan · > more" in screen.text() and "FITS" in screen.part("#plan"))


@pytest.mark.parametrize("key", ["down", "u"])
async def test_the_plan_of_another_model_or_use_is_read_from_its_verdict_on(cockpit, key):
    async with cockpit(World(two_cards()), size=SMALL) as screen:
        await screen.until(lambda: "KV cache" in screen.part("#plan"))
        for _ in range(6):
            await screen.press("greater_than_sign")
        await screen.until(lambda: "FITS" not in screen.part("#plan"))
        await screen.press(key)
        await screen.until(lambda: "Plan · > more" in screen.text() and "FITS" in screen.part("#plan"))
        assert screen.app.cockpit.query_one("#plan").scroll_y == 0


async def test_while_the_choices_have_the_focus_their_keys_are_said(cockpit):
    async with cockpit(World(two_cards()), size=SMALL) as screen:
        await screen.press("tab", "down")
        await screen.until(lambda: "→ more" in screen.text().splitlines()[-1])
        assert all(hint in screen.text().splitlines()[-1] for hint in ("← less", "Enter type", "Esc back"))
        assert "Bksp" not in screen.text().splitlines()[-1], "nothing is the user's yet"
        await screen.press("right")
        await screen.until(lambda: "give back" in screen.text().splitlines()[-1])
        await screen.press("escape")
        await screen.until(lambda: "give back" not in screen.text().splitlines()[-1])


async def test_a_large_number_of_the_users_stays_on_its_row_with_its_keys(cockpit):
    async with cockpit(World(two_cards()), size=SMALL) as screen:
        await screen.press("equals_sign")
        await screen.press(*"100000", "enter")
        await screen.until(lambda: screen.state.overrides.context == 100000)
        row = next(line for line in screen.part("#choices").splitlines() if "context" in line)
        assert "*context" in row
        assert "‹ 100,000 ›" in row and "[ ] =" in row
        assert "* yours" in screen.text() and "KV type" in screen.part("#choices")


@pytest.mark.parametrize("shown", [(), (*candidates(MODELS[0]), BROKEN)], ids=["no model", "one that cannot be used"])
async def test_without_a_usable_model_no_title_or_row_names_a_key_and_a_key_says_what_is_missing(cockpit, shown):
    async with cockpit(World(two_cards(), shown), size=SMALL) as screen:
        await screen.until(lambda: screen.state.use_cases and not screen.state.scanning)
        await screen.press("end")
        await screen.until(lambda: screen.state.candidate is None or screen.state.candidate.model is None)
        assert "w more" not in screen.text() and "[ ] =" not in screen.part("#choices")
        assert not {"w", "l", "c", "p", "x"} & {hint.split()[0] for hint in screen.text().splitlines()[-1].split("  ") if hint.strip()}
        why = unmet(screen.state, "engine.launch") or ""
        assert why
        for count, key in enumerate("wlpx", start=1):
            await screen.press(key)
            await screen.until(lambda count=count: screen.told.count(why) == count, key)


async def test_the_guide_of_a_small_screen_can_be_read_on_without_a_model(cockpit):
    async with cockpit(World(two_cards(), ()), size=(60, 20)) as screen:
        await screen.until(lambda: "Plan · > more" in screen.text())
        for _ in range(4):
            await screen.press("greater_than_sign")
        await screen.until(lambda: "Plan · < back" in screen.text())
        assert "looked in" in screen.part("#plan")


async def test_with_nothing_to_turn_the_choices_take_no_turn(cockpit):
    async with cockpit(World(two_cards(), ()), size=SMALL) as screen:
        await screen.until(lambda: screen.state.use_cases and not screen.state.scanning)
        before = screen.state.choice
        screen.app.cockpit.query_one("#choices").focus()
        await screen.press("right", "enter", "down", "right")
        assert screen.state.choice == before and len(screen.app.screen_stack) == 1
        assert "more" not in screen.text().splitlines()[-1]


async def test_a_key_that_has_nothing_to_do_says_so(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=SMALL) as screen:
        await screen.until(lambda: "KV cache" in screen.part("#plan"))
        await screen.press("s")
        await screen.until(lambda: "no run is shown" in screen.told)
        assert len(screen.app.screen_stack) == 1
