"""Plans side by side, and another rig in the place of this one."""

from __future__ import annotations

from msgspec.structs import replace
from textual.widgets import Input

from rigtui.intent.intent import Intent, Overrides
from rigtui.paths import config_dir
from rigtui.tui import comparing, rig_files, rig_swap
from rigtui.tui.services import SavedRig
from rigtui.tui.state import Cockpit
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import eight_cards, two_cards, wsl_rig
from tui.fakes.world import World


def state(context: int | None = None, **more) -> Cockpit:
    overrides = Overrides(context=context)
    plan = plan_for(two_cards(), MODELS[0], Intent(use_case=USE_CASES[0], overrides=overrides), ())
    return Cockpit(rig=two_cards(), plan=plan, overrides=overrides, use_cases=USE_CASES, selected=MODELS[0].path, **more)


def text(lines) -> str:
    return "\n".join(line.plain for line in lines)


def test_only_rows_that_differ_are_marked():
    now = replace(state(32768), pinned=comparing.pin(state(8192)).pinned)
    shown = comparing.columns(now)
    table = text(comparing.table(shown, 0, 76))
    marked = [line[2:15].strip() for line in table.splitlines() if line.startswith("≠")]
    assert "context" in marked and "status" not in marked and "model" not in marked
    assert "32,768" in table and "8,192" in table
    assert max(len(line) for line in table.splitlines()) <= 76


def test_nothing_is_cut_off_on_the_small_screen():
    now = comparing.pin(comparing.pin(state(8192)))
    shown = (*comparing.columns(now), *comparing.columns(state(1024)), *comparing.columns(state(2048)))[:3]
    table = text(comparing.table(shown, 0, 76))
    assert "…" not in table and max(map(len, table.splitlines())) <= 76
    assert all(words in table for words in ("RTX 5070 Ti", "32–47 + head", "used, GiB", "free, GiB"))
    first_column = "".join(line[16:36].strip() for line in table.splitlines())
    assert MODELS[0].name in first_column


def test_at_most_three_plans_stand_side_by_side_and_the_present_one_is_not_there_twice():
    now = state(1024)
    for context in (2048, 4096, 8192):
        now = replace(now, pinned=comparing.pin(replace(state(context), pinned=now.pinned)).pinned)
    assert [column.title for column in comparing.columns(now)] == ["now", "kept 1", "kept 2"]
    assert [one.plan.context for one in now.pinned] == [4096, 8192]
    pinned = comparing.pin(state(1024))
    assert [column.title for column in comparing.columns(pinned, [pinned.plan])] == ["now", "instead 1"]
    assert comparing.columns(Cockpit()) == () and "no plan" in text(comparing.table((), 0, 76))


def test_a_kept_choice_can_be_chosen_again():
    kept = comparing.pin(replace(state(2048), engine="vllm"))
    changed = replace(kept, overrides=Overrides(), engine="auto", use_case=2)
    again = comparing.restore(changed, kept.pinned[0])
    assert (again.overrides.context, again.engine, again.use_case) == (2048, "vllm", 0)
    assert comparing.unpin(kept, kept.pinned[0]).pinned == ()


def test_what_was_set_for_this_machines_cards_waits_until_it_is_back():
    mine = replace(state(2048), overrides=Overrides(context=2048, gpus=("GPU-1",), fit_target_mib=(512,)))
    away = rig_swap.swap(mine, eight_cards())
    assert away.overrides == Overrides(context=2048) and rig_swap.waits(away)
    further = rig_swap.swap(away, wsl_rig())
    home = rig_swap.back(further)
    assert home.overrides == mine.overrides and home.rig == mine.rig and not rig_swap.tried(home)
    assert rig_swap.back(home) == home


def test_saved_rigs_are_listed_with_their_cards_and_a_bad_one_says_why():
    where = rig_files.save("my desk", two_cards())
    assert where == str(config_dir() / "rigs" / "my-desk.toml")
    (config_dir() / "rigs" / "bad.toml").write_text("[rig]\nnam = 'x'\n")
    bad, good = rig_files.read()
    assert good.name == good.rig.name == "my desk" and good.summary == "RTX 4090, RTX 5070 Ti" and good.rig.simulated
    assert bad.rig is None and "nam" in bad.problem


async def test_a_plan_is_kept_changed_and_compared(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("c")
        await screen.until(lambda: "▸ now" in screen.text())
        await screen.press("p", "escape", "left_square_bracket")
        await screen.until(lambda: screen.state.plan.context == 32768)
        await screen.press("c")
        await screen.until(lambda: "kept 1" in screen.text() and "≠ context" in screen.text())
        lines = screen.text().splitlines()
        assert max(map(len, lines)) <= 80 and not screen.app.screen.max_scroll_x
        await screen.press("right", "enter")
        await screen.until(lambda: screen.state.plan.context == 65536 and len(screen.app.screen_stack) == 1)
        assert not screen.state.changed


async def test_a_card_is_added_planned_with_and_gone_again(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("G")
        await screen.until(lambda: "Add a card" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press(*"RTX", "space", *"3060", "space", *"12", "enter")
        await screen.until(lambda: "2 RTX 3060" in screen.text())
        assert "simulated rig" in screen.text() and "What" not in screen.part("#top")
        assert "what if this were mixed-rig + RTX 3060?" in screen.text()
        assert "l launch" not in screen.text()
        await screen.press("l")
        assert world.launched == []
        await screen.press("G")
        await screen.until(lambda: "Back to this machine" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "RTX 3060" not in screen.text() and "simulated" not in screen.text())
        assert screen.state.plan.status == "fits"


async def test_a_card_of_an_unclear_name_is_typed_again_in_the_same_dialog(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("G")
        await screen.until(lambda: "G leads back to this machine" in " ".join(screen.text().split()))
        await screen.press("enter")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press(*"3060", "enter")
        await screen.until(lambda: "RTX 3060 8 or RTX 3060 12" in " ".join(screen.text().replace("│", "").split()))
        assert screen.app.screen.query_one(Input).value == "3060"
        await screen.press("space", *"12", "enter")
        await screen.until(lambda: "2 RTX 3060" in screen.text())


async def test_a_saved_rig_is_tried_saved_again_and_a_wrong_name_is_said(cockpit):
    world = World(two_cards())
    world.rigs = (
        SavedRig(name="mining-frame", rig=replace(eight_cards(), simulated=True)),
        SavedRig(name="bad", problem="bad.toml: no [rig]"),
    )
    async with cockpit(world) as screen:
        await screen.press("G")
        await screen.until(lambda: "mining-frame: RTX 3060, RTX 3060" in screen.text() and "bad.toml: no [rig]" in screen.text())
        await screen.press("down", "down", "down", "enter")
        await screen.until(lambda: screen.state.rig.name == "mining-frame")
        await screen.press("G")
        await screen.until(lambda: "Back to this machine" in screen.text())
        await screen.press("end", "enter")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press("enter")
        await screen.until(lambda: "mining-frame" in world.saved_rigs)
        await screen.press("G")
        await screen.until(lambda: "Load a rig file" in screen.text())
        await screen.press("end", "up", "enter")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press(*"nothere", "enter")
        await screen.until(lambda: "cannot read nothere" in screen.text())
        assert screen.app.screen.query_one(Input).value == "nothere", "it can be mended"


async def test_the_engine_is_a_choice_that_is_marked_and_taken_back(cockpit):
    async with cockpit(World(two_cards()), size=(160, 48)) as screen:
        await screen.press("w", "down", "down", "down", "down")
        await screen.until(lambda: "▸ engine" in screen.text())
        await screen.press("right", "right")
        await screen.until(lambda: screen.state.engine == "vllm")
        assert "vllm (yours)" in screen.part("#choices") and screen.state.changed
        await screen.press("backspace")
        await screen.until(lambda: screen.state.engine == "auto" and not screen.state.changed)
        await screen.press("right", "r")
        await screen.until(lambda: screen.state.engine == "auto")
