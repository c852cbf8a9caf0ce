"""Cards by what a user calls them."""

from __future__ import annotations

import pytest

from rigtui.errors import UsageError
from rigtui.rig.rig import Gpu, Rig
from rigtui.rig.select import select
from rigtui.text import GIB


def rig(*names: str) -> Rig:
    gpus = (Gpu(index=at, name=name, uuid=f"GPU-{at}", total_bytes=GIB, free_bytes=GIB) for at, name in enumerate(names))
    return Rig(name="toy", platform="linux", gpus=tuple(gpus))


PAIR = rig("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 5070 Ti")


@pytest.mark.parametrize(("name", "index"), [("4090", 0), ("5070", 1), ("5070 ti", 1), ("1", 1), ("GPU-0", 0), ("rtx 4090", 0)])
def test_digits_that_are_no_number_of_a_card_are_a_part_of_its_name(name: str, index: int) -> None:
    assert [gpu.index for gpu in select(PAIR, [name])] == [index]


def test_a_number_in_range_wins_over_a_name() -> None:
    assert [gpu.index for gpu in select(rig("Card 1", "Card 2"), ["1"])] == [1]


@pytest.mark.parametrize("name", ["7", "409", "90", "407", "\u00b2", "9" * 5000])
def test_digits_that_no_card_has_as_a_number_of_its_name_are_no_card(name: str) -> None:
    """A mistyped number must not take a card whose name happens to hold the digit."""
    with pytest.raises(UsageError, match="no GPU is called"):
        select(PAIR, [name])


def test_a_part_of_several_names_is_one_sentence_with_them() -> None:
    with pytest.raises(UsageError, match=r"'5070' means several GPUs \(0 RTX 5070, 1 RTX 5070 Ti\); use the number or the UUID"):
        select(rig("RTX 5070", "RTX 5070 Ti"), ["5070"])
