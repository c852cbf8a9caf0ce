"""Pictures of the screen. RIGTUI_UPDATE_SNAPSHOTS=1 writes them anew; look at them before they are committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.intent.intent import Intent
from rigtui.rig.imagined import with_card
from rigtui.rig.rig import GpuProcess
from rigtui.runs.state import LaunchRequest
from rigtui.text import MIB
from rigtui.tui import rig_swap
from rigtui.tui.services import SavedRig
from rigtui.tui.shelf import Shelf
from rigtui.tui.theme import DEFAULT, load_themes
from rigtui.tui.widgets.tail_view import TailView
from tui.fakes.models import BROKEN, BUILD, MODELS, USE_CASES, candidates
from tui.fakes.plans import plan_for
from tui.fakes.rigs import busy_cards, eight_cards, no_gpu_rig, two_cards, wsl_rig
from tui.fakes.runs import run_state
from tui.fakes.world import World
from tui.test_cards_page import busy_world
from tui.test_log_page import failed_world, opened
from tui.test_profiles_page import measured
from tui.test_runs_page import opened as runs_opened
from tui.test_runs_page import runs_world
from tui.test_tune_page import opened as tune_opened
from tui.test_tune_page import run_some

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = {"80x24": (80, 24), "120x36": (120, 36), "160x48": (160, 48)}
WAVE = tuple(round(0.1 + 0.05 * (at % 7), 2) for at in range(32))


def compare(svg: str, name: str, tmp_path: Path) -> None:
    """Fail with the place of the new picture when it is not the stored one."""
    stored = SNAPSHOTS / f"{name}.svg"
    if os.environ.get("RIGTUI_UPDATE_SNAPSHOTS"):
        stored.parent.mkdir(exist_ok=True)
        stored.write_text(svg, encoding="utf-8")
        return
    if not stored.exists() or stored.read_text(encoding="utf-8") != svg:
        new = tmp_path / f"{name}.svg"
        new.write_text(svg, encoding="utf-8")
        raise AssertionError(f"the screen is not {stored}; it is {new}. If that is meant: RIGTUI_UPDATE_SNAPSHOTS=1")


async def picture(cockpit, world: World, size, name: str, tmp_path: Path, keys=(), then=None) -> None:
    async with cockpit(world, size=size) as screen:
        if world.runs:
            await screen.until(lambda: screen.state.runs)
        for key in keys:
            await screen.press(key)
        if then is not None:
            await screen.until(lambda: then(screen), "what the picture is of")
        await settle(screen)
        compare(screen.app.export_screenshot(title="rigtui"), name, tmp_path)


async def settle(screen) -> None:
    """Every model is derived, and the history is always the same: the number of readings depends on time, the picture must not."""
    await screen.until(lambda: screen.state.plan or not screen.state.candidates)
    usable = [entry for entry in screen.state.candidates if entry.model is not None]
    await screen.until(lambda: len(screen.state.placements) >= len(usable), "every model derived")
    owner = screen.app.cockpit
    owner.watch_rig.end()
    await screen.until(lambda: not owner._busy and {one.choice for one in screen.state.placements.values()} <= {screen.state.survey})
    await screen.pilot.pause(0.1)
    owner.change(replace(screen.state, history=dict.fromkeys(screen.state.history, WAVE)))
    await screen.pilot.pause()


def long_names() -> World:
    """Names that are long, wide, or made to break a screen."""
    rig = busy_cards()
    name = "RTX PRO 6000 Blackwell Max-Q Workstation Edition\x1b[2J"
    process = GpuProcess(pid=7, name="/opt/サービス/推論サーバー --port\x1b]0;x\x07", kind="compute", bytes=9000 * MIB)
    cards = (replace(rig.gpus[0], name=name, processes=(process,), others_bytes=9000 * MIB, free_bytes=15100 * MIB), rig.gpus[1])
    strange = (
        replace(MODELS[0], name="Qwen3-Coder-480B-A35B-Instruct-1M-UD-Q4_K_XL-00001-of-00006-imatrix-calibrated", path="/m/long.gguf"),
        replace(MODELS[1], name="通义千问3-三百二十亿参数-指令微调版-四比特量化", path="/m/wide.gguf"),
        replace(MODELS[2], name="[red]not red[/red] \x1b[31mnor\x1b[0m \u202egnihtyna\u202c", path="/m/evil.gguf"),
        replace(MODELS[3], name="e\u0301te\u0301-👩‍👩‍👧-ﬁn\tend", path="/m/joined.gguf"),
    )
    found = tuple(replace(one, source=f"~/models/{'very-' * 12}deep", ref=one.path) for one in candidates(*strange))
    world = World(replace(rig, name="the-machine-under-the-desk-in-the-room-upstairs-" * 2, gpus=cards), (*found, BROKEN))
    world.derive = lambda rig, model, intent, builds: replace(
        plan_for(rig, model, intent, builds),
        devices=tuple(replace(one, name=cards[at].name) for at, one in enumerate(plan_for(rig, model, intent, builds).devices)),
    )
    return world


def library() -> World:
    """Models in several folders, favourites, last used ones."""
    owners = {MODELS[0].path: "Hugging Face cache", MODELS[3].path: "Hugging Face cache", MODELS[2].path: "Ollama"}
    found = tuple(replace(one, source=owners.get(one.path, one.source)) for one in candidates(*MODELS))
    refs = {"Hugging Face cache": "hf:unsloth/models:", "Ollama": "ollama:"}
    world = World(two_cards(), (*(replace(one, ref=refs.get(one.source, "") + one.name) for one in found), BROKEN))
    world.shelf = Shelf(favourites=(MODELS[4].name,))
    world.used = {MODELS[1].path: "2026-03-01T19:20:21Z"}
    return world


WORLDS = {
    "two-cards": lambda: World(two_cards()),
    "eight-cards": lambda: World(eight_cards()),
    "long-names": long_names,
    "library": library,
    "no-gpu": lambda: World(no_gpu_rig()),
    "no-models": lambda: World(two_cards(), ()),
    "wsl": lambda: World(wsl_rig()),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("world", WORLDS)
async def test_the_cockpit(cockpit, tmp_path, world, size):
    await picture(cockpit, WORLDS[world](), SIZES[size], f"{world}-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_a_simulated_rig_with_the_users_own_choices(cockpit, tmp_path, size):
    world = World(two_cards(simulated=True), (*candidates(*MODELS), BROKEN))
    keys = ("left_square_bracket", "K")
    done = lambda screen: screen.state.plan.kv_type == ("f16", "f16") and screen.state.plan.context == 32768  # noqa: E731
    await picture(cockpit, world, SIZES[size], f"simulated-{size}", tmp_path, keys, done)


@pytest.mark.parametrize("theme", sorted({theme.name for theme in load_themes().themes} - {DEFAULT}))
async def test_each_theme(cockpit, tmp_path, theme):
    world = busy_world()
    async with cockpit(world, size=SIZES["120x36"], theme=theme) as screen:
        await settle(screen)
        compare(screen.app.export_screenshot(title="rigtui"), f"theme-{theme}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_the_filter(cockpit, tmp_path, size):
    await picture(
        cockpit, library(), SIZES[size], f"filter-{size}", tmp_path, ("slash", *"qwen"), lambda screen: "/ filter" in screen.text()
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("phase", ["loading", "ready", "failed"])
async def test_a_run(cockpit, tmp_path, phase, size):
    world = World(two_cards())
    taken = tuple(replace(card, engines_bytes=8 << 30, free_bytes=card.free_bytes - (8 << 30)) for card in world.rig.gpus)
    world.rig = world.rig if phase == "failed" else replace(world.rig, gpus=taken)
    world.runs = (run_state("a", phase),)
    world.log = tuple(f"0.{at:02d}.412 I load_tensors: layer {at:3d} assigned to device CUDA{at // 32}" for at in range(48))
    intent = Intent(use_case=USE_CASES[0])
    world.requests["a"] = LaunchRequest(plan=plan_for(two_cards(), MODELS[0], intent, ()), intent=intent, build=BUILD, model=MODELS[0].name)
    keys = ("n",) if phase == "failed" else ()
    await picture(
        cockpit, world, SIZES[size], f"{phase}-{size}", tmp_path, keys, lambda screen: screen.app.screen.query_one(TailView).lines
    )


@pytest.mark.parametrize("size", SIZES)
async def test_help(cockpit, tmp_path, size):
    opened = lambda screen: len(screen.app.screen_stack) == 2  # noqa: E731
    await picture(cockpit, World(two_cards()), SIZES[size], f"help-{size}", tmp_path, ("question_mark",), opened)


async def test_no_color(cockpit, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    await picture(cockpit, World(two_cards()), SIZES["80x24"], "no-color-80x24", tmp_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("world", ["busy", "wsl"])
async def test_the_page_of_the_cards(cockpit, tmp_path, world, size):
    shown = busy_world() if world == "busy" else World(wsl_rig())
    words = "ollama stop" if world == "busy" else "no processes"
    await picture(cockpit, shown, SIZES[size], f"cards-{world}-{size}", tmp_path, ("v",), lambda screen: words in screen.text())


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_of_the_doctor(cockpit, tmp_path, size):
    await picture(cockpit, World(two_cards()), SIZES[size], f"doctor-{size}", tmp_path, ("d",), lambda screen: "FAILED" in screen.text())


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_of_the_profiles(cockpit, tmp_path, size):
    await picture(cockpit, World(two_cards()), SIZES[size], f"profiles-{size}", tmp_path, ("P",), lambda screen: "38.2" in screen.text())


@pytest.mark.parametrize("size", SIZES)
async def test_what_if(cockpit, tmp_path, size):
    tried = lambda screen: screen.state.plan.parallel == 2 and screen.state.overrides.gpus  # noqa: E731
    await picture(cockpit, World(two_cards()), SIZES[size], f"what-if-{size}", tmp_path, ("w", "right", "down", "right", "down"), tried)


@pytest.mark.parametrize("size", SIZES)
async def test_the_dialog_of_the_cards(cockpit, tmp_path, size):
    await picture(
        cockpit,
        World(two_cards()),
        SIZES[size],
        f"card-choice-{size}",
        tmp_path,
        ("w", "down", "enter"),
        lambda screen: "Space takes" in screen.text(),
    )


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_of_the_log_at_the_line_that_explains(cockpit, tmp_path, size):
    world = failed_world()
    async with cockpit(world, size=SIZES[size]) as screen:
        await opened(screen)
        await screen.press("e")
        await screen.until(lambda: "ended, at" in screen.text())
        compare(screen.app.export_screenshot(title="rigtui"), f"log-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_of_the_runs(cockpit, tmp_path, size):
    async with cockpit(runs_world(), size=SIZES[size]) as screen:
        await runs_opened(screen)
        compare(screen.app.export_screenshot(title="rigtui"), f"runs-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_two_runs_side_by_side(cockpit, tmp_path, size):
    await picture(cockpit, runs_world(), SIZES[size], f"two-runs-{size}", tmp_path, then=lambda screen: screen.state.live)


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_that_compares(cockpit, tmp_path, size):
    async with cockpit(World(two_cards()), size=SIZES[size]) as screen:
        await screen.press("c", "p", "escape", "left_square_bracket")
        await screen.until(lambda: screen.state.plan.context == 32768)
        await screen.press("c")
        await screen.until(lambda: "≠ context" in screen.text())
        screen.app.clear_notifications()
        await screen.until(lambda: "kept; change" not in screen.text())
        compare(screen.app.export_screenshot(title="rigtui"), f"compare-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_the_dialog_of_the_rigs(cockpit, tmp_path, size):
    world = World(two_cards())
    world.rigs = (SavedRig(name="mining-frame", rig=eight_cards()), SavedRig(name="bad", problem="bad.toml: `rig.nam` is unknown"))
    await picture(cockpit, world, SIZES[size], f"rigs-{size}", tmp_path, ("G",), lambda screen: "mining-frame" in screen.text())


@pytest.mark.parametrize("size", SIZES)
async def test_a_rig_with_a_card_more(cockpit, tmp_path, size):
    async with cockpit(World(two_cards()), size=SIZES[size]) as screen:
        screen.app.cockpit.change(rig_swap.swap(screen.state, with_card(two_cards(), "RTX 3060 12")), plan=True)
        await screen.until(lambda: screen.state.plan and "RTX 3060" in screen.text())
        await settle(screen)
        compare(screen.app.export_screenshot(title="rigtui"), f"tried-rig-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_the_plot_of_the_results(cockpit, tmp_path, size):
    world = World(two_cards())
    world.profiles.measured["coder"] = measured(31.0, 33.5, 32.8, 36.4, None, 37.9, 38.2, 41.6)
    await picture(cockpit, world, SIZES[size], f"plot-{size}", tmp_path, ("P", "v"), lambda screen: "by run" in screen.text())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["running", "done"])
async def test_the_page_of_a_tuning(cockpit, tmp_path, size, state):
    async with cockpit(World(two_cards()), size=SIZES[size]) as screen:
        await tune_opened(screen)
        if state == "running":
            await run_some(screen, 2)
        else:
            await run_some(screen, 4)
            await screen.until(lambda: "Done." in screen.text())
        compare(screen.app.export_screenshot(title="rigtui"), f"tune-{state}-{size}", tmp_path)


@pytest.mark.parametrize("size", SIZES)
async def test_the_editor_of_a_profile(cockpit, tmp_path, size):
    edited = lambda screen: "stores it" in screen.text()  # noqa: E731
    await picture(cockpit, World(two_cards()), SIZES[size], f"edit-{size}", tmp_path, ("P", "e"), edited)
