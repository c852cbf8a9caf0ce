"""Lines of bars: widths, words inside them, and what is sent when they change."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from textual.color import Color

from rigtui.intent.intent import Intent
from rigtui.rig.rig import GpuProcess, Rig
from rigtui.text import GIB, MIB
from rigtui.tui.colors import BAR_COLORS
from rigtui.tui.segments import RAM, label, rows
from rigtui.tui.state import Cockpit, with_rig
from rigtui.tui.widgets.bar_lines import FILL, Palette, lay_out, legend_lines, row_lines, sparkline
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import busy_cards, eight_cards, gpu, no_gpu_rig, two_cards, wsl_rig

GREY = Color.parse("#888888")
PALETTE = Palette(kinds={kind: Color.parse(color) for kind, color in BAR_COLORS.items()}, text=GREY, muted=GREY, error=GREY, surface=GREY)
BIG = Rig(
    name="big", platform="linux", gpus=(gpu(0, "H200", 143771, 143000),), ram_total_bytes=2_000_000 * MIB, ram_free_bytes=1_900_000 * MIB
)


def width_of(line) -> int:
    return sum(segment.cell_length for segment in line)


@pytest.mark.parametrize("rig", [two_cards(), wsl_rig(), no_gpu_rig(), eight_cards(), BIG], ids=lambda rig: rig.name)
@pytest.mark.parametrize("width", [60, 80, 99, 100, 120, 160, 240])
@pytest.mark.parametrize("planned", [True, False])
def test_no_line_is_wider_than_the_screen(rig, width, planned):
    plan = plan_for(rig, MODELS[0], Intent(use_case=USE_CASES[2]), ()) if planned else None
    shown = rows(rig, plan, {"GPU-0": (0.1, 0.9)})
    layout = lay_out(shown, width, details=True)
    lines = [line for row in shown for line in row_lines(row, layout, PALETTE)] + legend_lines(shown, layout, PALETTE)
    assert max(map(width_of, lines)) <= width


@pytest.mark.parametrize("width", [110, 120, 160, 240])
@pytest.mark.parametrize("rig", [two_cards(), wsl_rig(), busy_cards()], ids=lambda rig: rig.name)
def test_every_card_of_a_plan_says_which_layers_it_gets_and_what_they_hold(rig, width):
    shown = rows(rig, plan_for(rig, MODELS[0], Intent(use_case=USE_CASES[0]), ()))
    layout = lay_out(shown, width, details=True)
    for row in (row for row in shown if row.placed):
        details = "".join(segment.text for segment in row_lines(row, layout, PALETTE)[1])
        assert row.placed in details
        assert all(f"{word} " in details for word in ("weights", "KV", "headroom"))
    assert any(row.placed for row in shown)


def test_bars_of_all_rows_stand_under_each_other():
    shown = rows(two_cards(), None)
    layout = lay_out(shown, 120, details=False)
    starts = {"".join(segment.text for segment in row_lines(row, layout, PALETTE)[0]).index("▕") for row in shown}
    assert len(starts) == 1


def test_the_sparkline_stands_on_the_scale_of_the_whole_card():
    assert sparkline((0.0, 0.49, 0.51, 1.0), 6) == "  ▁▄▅█"
    assert sparkline((0.93, 0.94), 2) == "██"


def test_the_ram_has_a_history_of_its_own_on_the_scale_of_all_of_it():
    state = Cockpit()
    for free in (60, 30, 0):
        state = with_rig(state, replace(two_cards(), ram_total_bytes=60 * GIB, ram_free_bytes=free * GIB))
    shown = rows(state.rig, None, state.history)
    layout = lay_out(shown, 120, details=False)
    assert "".join(segment.text for segment in row_lines(shown[-1], layout, PALETTE)[0]).endswith(" ▁▅█")
    assert RAM not in with_rig(Cockpit(), replace(two_cards(), ram_free_bytes=None)).history, "unknown is nothing"


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_with_few_colours_every_fill_of_the_bars_is_in_the_legend_with_its_word(width, plain):
    palette = replace(PALETTE, fills=True, plain=plain)
    held = replace(
        busy_cards().gpus[0], engines_bytes=2000 * MIB, unknown_bytes=1500 * MIB, free_bytes=20000 * MIB, total_bytes=40000 * MIB
    )
    rig = replace(busy_cards(), gpus=(held, *busy_cards().gpus[1:]))
    shown = rows(rig, plan_for(rig, MODELS[0], Intent(use_case=USE_CASES[0]), ()))
    layout = lay_out(shown, width, details=True)
    legend = " ".join("".join(segment.text for segment in line) for line in legend_lines(shown, layout, palette))
    bars = "".join(segment.text for row in shown for segment in row_lines(row, layout, palette)[0])
    kinds = {piece.kind for row in shown for piece in row.pieces} - {"free"}
    assert {"engines", "unknown", "used", "desktop", "headroom", "kv"} <= kinds
    for kind in kinds:
        assert re.search(rf"{re.escape(FILL[kind])} ?{label(kind)}\b", legend), kind
        assert FILL[kind] in bars or label(kind) in bars, kind
    assert len({FILL[kind] for kind in FILL}) == len(FILL), "no two look alike"


def drawn(rig, width: int, *, details: bool) -> str:
    shown = rows(rig, None)
    layout = lay_out(shown, width, details=details)
    return "\n".join("".join(segment.text for segment in line) for row in shown for line in row_lines(row, layout, PALETTE))


def test_who_holds_the_memory_is_named_where_there_is_room():
    wide = drawn(busy_cards(), 160, details=True)
    assert " ollama 8.0 " in wide
    assert "others 8.0 (ollama)" in wide and "desktop 2.8 (firefox, gnome-shell)" in wide
    narrow = drawn(busy_cards(), 80, details=False)
    assert " ollama 8.0 " in narrow and max(map(len, narrow.splitlines())) <= 80


@pytest.mark.parametrize("width", [80, 90, 99])
def test_how_much_ram_is_used_stands_in_its_bar_in_a_narrow_terminal_too(width):
    assert "used 12.7" in drawn(two_cards(), width, details=False)


def test_a_piece_shared_by_many_keeps_the_word_of_its_kind():
    rig = busy_cards()
    many = tuple(GpuProcess(pid=at, name=f"p{at}", kind="compute", bytes=1000 * MIB) for at in range(8))
    shared = replace(rig, gpus=(replace(rig.gpus[0], processes=many), *rig.gpus[1:]))
    assert " others 8.0 " in drawn(shared, 80, details=False)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_names_of_any_length_and_width_keep_the_columns(width):
    rig = busy_cards()
    long = tuple(GpuProcess(pid=at, name="模型服务器" * 9, kind="compute", bytes=4000 * MIB) for at in range(2))
    shown = rows(replace(rig, gpus=(replace(rig.gpus[0], processes=long), *rig.gpus[1:])), None)
    layout = lay_out(shown, width, details=True)
    lines = [line for row in shown for line in row_lines(row, layout, PALETTE)]
    assert max(map(width_of, lines)) <= width
