"""The bars as numbers: what is drawn always adds up to the card."""

from __future__ import annotations

import pytest

from rigtui.intent.intent import Intent
from rigtui.planning.plan import PlanHost
from rigtui.rig.rig import GpuProcess, Rig
from rigtui.text import MIB
from rigtui.tui.segments import Piece, card_row, cells, holders_of, layers_text, match_devices, ram_row, rows, short_name
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import device, plan_for
from tui.fakes.rigs import eight_cards, gpu, no_gpu_rig, two_cards, wsl_rig

PLAN = plan_for(two_cards(), MODELS[0], Intent(use_case=USE_CASES[0]), ())


def sizes(row):
    return {piece.kind: piece.bytes // MIB for piece in row.pieces}


def test_a_cards_pieces_add_up_to_its_total_with_and_without_a_plan():
    for plan in (None, PLAN):
        for row in rows(two_cards(), plan):
            assert sum(piece.bytes for piece in row.pieces) == row.total_bytes, row.name


def test_the_plan_comes_after_what_is_taken_and_before_headroom_and_free():
    row = rows(two_cards(), PLAN)[1]
    assert [piece.kind for piece in row.pieces] == [
        "reserved",
        "desktop",
        "others",
        "weights",
        "kv",
        "compute",
        "floor",
        "headroom",
        "free",
    ]
    assert row.placed == "layers 32–47 + head"


def test_free_before_and_after_are_the_readings_and_the_plans():
    row = rows(two_cards(), PLAN)[0]
    assert row.before_bytes == 23700 * MIB
    assert row.after_bytes == row.before_bytes - PLAN.devices[0].used_bytes


def test_bytes_nobody_explains_are_shown_as_unknown():
    row = card_row(gpu(0, "RTX 3060", 12000, 10000, reserved_mib=300), None, simulated=False)
    assert sizes(row) == {"reserved": 300, "unknown": 1700, "free": 10000}


def test_a_plan_larger_than_the_card_says_how_much_is_missing():
    card = gpu(0, "RTX 3060", 12000, 11000)
    row = card_row(card, device(0, "RTX 3060", (0, 9), (11500, 400, 50, 50), 11000, 128), simulated=False)
    assert row.after_bytes == -1000 * MIB
    assert "headroom" not in sizes(row)
    assert cells(row.pieces, row.total_bytes, 40)[-1] == ("short", 1)


def test_a_card_that_cannot_be_read_is_a_row_with_its_error():
    lost = rows(eight_cards(), None)[5]
    assert lost.name == "5 RTX 3060"
    assert lost.error is not None and lost.error.startswith("the card fell off the bus")
    assert not lost.pieces


def test_cards_without_uuid_are_matched_by_name_and_free_memory():
    first = gpu(0, "RTX 3090", 24576, 24000)
    second = gpu(1, "RTX 3090", 24576, 12000)
    rig = Rig(
        name="r",
        platform="linux",
        gpus=tuple(type(card)(**{**{f: getattr(card, f) for f in card.__struct_fields__}, "uuid": None}) for card in (first, second)),
    )
    one = device(0, "RTX 3090", (0, 9), (1000, 0, 0, 0), 12000, 128)
    other = device(1, "RTX 3090", (10, 19), (1000, 0, 0, 0), 24000, 128)
    plan = type(PLAN)(**{**{f: getattr(PLAN, f) for f in PLAN.__struct_fields__}, "devices": (one, other)})
    assert {at: found.device for at, found in match_devices(rig, plan).items()} == {1: "CUDA0", 0: "CUDA1"}


def test_ram_shows_what_the_plan_puts_there_or_nothing_new():
    rig = no_gpu_rig()
    plain = ram_row(rig, None)
    assert plain is not None and plain.after_bytes is None
    host = type(PLAN)(
        **{**{f: getattr(PLAN, f) for f in PLAN.__struct_fields__}, "host": PlanHost(weights_bytes=2000 * MIB, offloaded_layers=3)}
    )
    row = ram_row(rig, host)
    assert row is not None and row.after_bytes == 24500 * MIB
    assert row.placed == "3 layers in RAM"


def test_unknown_ram_has_no_row():
    assert len(rows(Rig(name="r", platform="linux", gpus=(gpu(0, "RTX 3060", 12288, 12000),)), None)) == 1


def test_under_wsl_what_windows_holds_is_unknown():
    assert sizes(rows(wsl_rig(), None)[0])["unknown"] == 3100


@pytest.mark.parametrize("width", [1, 7, 40, 97])
def test_cells_always_fill_the_bar_exactly(width):
    pieces = [Piece("reserved", 400 * MIB), Piece("weights", 9000 * MIB), Piece("kv", 300 * MIB), Piece("free", 2588 * MIB)]
    assert sum(count for _, count in cells(pieces, 12288 * MIB, width)) == width


def test_a_small_piece_that_matters_keeps_a_cell():
    drawn = dict(cells([Piece("weights", 20000 * MIB), Piece("kv", 300 * MIB), Piece("free", 4276 * MIB)], 24576 * MIB, 30))
    assert drawn["kv"] == 1


def test_nothing_is_drawn_without_room_or_size():
    assert cells([Piece("free", 1)], 0, 10) == []
    assert cells([Piece("free", 1)], 1, 0) == []


def test_layers_read_as_people_say_them():
    def span(first, last, *, output=False):
        return layers_text(device(0, "x", (first, last), (0, 0, 0, 0), 0, 0, output=output))

    assert span(0, 31) == "layers 0–31"
    assert span(4, 4, output=True) == "layer 4 + head"
    assert span(0, -1, output=True) == "head"
    assert span(0, -1) == "no layers"


def test_names_lose_the_makers_words_only():
    assert short_name("NVIDIA GeForce RTX 4090") == "RTX 4090"
    assert short_name("NVIDIA RTX A6000") == "RTX A6000"
    assert short_name("NVIDIA GeForce RTX 4060 Laptop GPU") == "RTX 4060"
    assert short_name("Tesla P40\x1b[2J") == "Tesla P40"


def test_holders_are_named_by_kind_the_largest_first_and_those_of_one_name_together():
    processes = (
        GpuProcess(pid=1, name="firefox", kind="graphics", bytes=100),
        GpuProcess(pid=2, name="firefox", kind="graphics", bytes=300),
        GpuProcess(pid=3, name="Xorg", kind="graphics", bytes=350),
        GpuProcess(pid=4, name="oll\x1b[2Jama", kind="compute", bytes=900),
        GpuProcess(pid=5, name="llama-server", kind="compute", bytes=500, engine=True),
        GpuProcess(pid=6, name="unknown", kind="compute", bytes=None),
    )
    assert holders_of(gpu(0, "RTX 3060", 12288, 6000, processes=processes)) == {
        "desktop": (("firefox", 400), ("Xorg", 350)),
        "others": (("ollama", 900),),
        "engines": (("llama-server", 500),),
    }
    assert holders_of(gpu(0, "RTX 3060", 12288, 6000)) == {}
