from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.rig import rigfile
from rigtui.rig.cards import _table, complete, look_up
from rigtui.rig.rig import Gpu
from rigtui.text import GIB, MIB

RIGS = Path(__file__).parents[1] / "rigs"


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090", "GeForce RTX 4090", "RTX 4090", "nvidia geforce rtx 4090"])
def test_a_card_is_known_by_every_spelling_of_its_name(name):
    card = look_up(name, 24564 * MIB)
    assert (card.memory_bytes, card.compute_capability) == (24 * GIB, "8.9")
    assert card.bandwidth_gb_s == pytest.approx(1008, abs=1)


@pytest.mark.parametrize("name", ["RTX 4090 Ti", "RTX 4091", "RTX", "", "NVIDIA", "RTX 4090 Laptop"])
def test_a_name_that_is_not_there_is_unknown(name):
    assert look_up(name) is None


def test_memory_tells_cards_of_one_name_apart():
    assert look_up("RTX 3080", 10240 * MIB).bandwidth_gb_s == 760.3
    assert look_up("RTX 3080", 12288 * MIB).bandwidth_gb_s == 912.4
    both = look_up("RTX 3080")
    assert (both.bandwidth_gb_s, both.memory_bytes, both.compute_capability) == (None, None, "8.6")
    assert look_up("RTX 2060").bandwidth_gb_s == 336, "the same for both sizes"


def test_a_modified_card_keeps_only_what_its_chip_says():
    card = look_up("RTX 2080 Ti", 22528 * MIB)
    assert (card.bandwidth_gb_s, card.compute_capability) == (None, "7.5")


def test_cards_sold_with_different_memory_chips_have_no_bandwidth():
    assert look_up("GTX 1650", 4096 * MIB).bandwidth_gb_s is None
    assert look_up("GTX 1650", 4096 * MIB).compute_capability == "7.5"


def test_error_correction_takes_its_part_of_an_old_card():
    assert look_up("Tesla P40", 22919 * MIB).bandwidth_gb_s == 347.1
    assert look_up("Tesla K80", 11441 * MIB).compute_capability == "3.7"


def test_what_the_driver_told_is_kept():
    gpu = Gpu(index=0, name="NVIDIA GeForce RTX 3060", total_bytes=12 * GIB, bandwidth_gb_s=999.0)
    assert complete(gpu).bandwidth_gb_s == 999
    assert complete(gpu).compute_capability == "8.6"
    assert complete(Gpu(index=0, name="Unheard Of")) == Gpu(index=0, name="Unheard Of")


@pytest.mark.parametrize("path", sorted(RIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_table_agrees_with_what_rig_files_say(path):
    for gpu in rigfile.load(path).gpus:
        card = look_up(gpu.name, gpu.total_bytes)
        assert card.bandwidth_gb_s == pytest.approx(gpu.bandwidth_gb_s, rel=0.001)
        assert card.compute_capability == gpu.compute_capability


def test_every_line_of_the_table_is_a_possible_card():
    for name, sold in _table().items():
        assert len({card.memory_bytes for card in sold}) == len(sold), f"{name}: the same size twice"
        for card in sold:
            assert 2 * GIB <= card.memory_bytes <= 192 * GIB, name
            assert card.bandwidth_gb_s is None or 80 <= card.bandwidth_gb_s <= 8000, name
            major, minor = card.compute_capability.split(".")
            assert (3, 5) <= (int(major), int(minor)) <= (12, 1), name
