"""Rigs one does not have: a card more or less."""

from __future__ import annotations

import pytest

from rigtui.errors import UsageError
from rigtui.rig.imagined import RESERVED_BYTES, imagined, with_card, without_card
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB


def rig(*more: Gpu) -> Rig:
    first = Gpu(index=0, name="NVIDIA GeForce RTX 4090", uuid="GPU-a", total_bytes=24 * GIB, free_bytes=10 * GIB, engines_bytes=12 * GIB)
    return Rig(name="desk", platform="linux", gpus=(first, *more))


def test_what_engines_hold_is_free_and_no_card_has_an_identity():
    (card,) = imagined(rig()).gpus
    assert (card.free_bytes, card.engines_bytes, card.uuid) == (22 * GIB, 0, None)
    assert imagined(rig()).simulated


def test_a_card_is_added_empty_but_for_the_drivers_share():
    more = with_card(rig(), "rtx 3060 12")
    assert [gpu.index for gpu in more.gpus] == [0, 1]
    card = more.gpus[1]
    assert (card.name, card.total_bytes, card.free_bytes) == ("NVIDIA RTX 3060", 12 * GIB, 12 * GIB - RESERVED_BYTES)
    assert (card.bandwidth_gb_s, card.compute_capability, card.display) == (360.0, "8.6", False)
    assert more.name == "desk + RTX 3060" and more.simulated
    assert len(with_card(more, "NVIDIA GeForce RTX 4090").gpus) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RTX 3060", "the RTX 3060 was sold with 8 and 12 GiB: write the size behind the name, RTX 3060 8 or RTX 3060 12"),
        ("3060", "RTX 3060 8 or RTX 3060 12"),
        ("RTX 3060 24", "sold with 8 and 12"),
        ("RTX 4909", "no card called RTX 4909; did you mean"),
        ("", "no card called (nothing)"),
        ("\x1b[2J", "no card called (nothing)"),
    ],
)
def test_what_is_no_card_is_said(text, told):
    with pytest.raises(UsageError) as raised:
        with_card(rig(), text)
    assert told in str(raised.value)


def test_a_card_is_taken_out_by_its_number_though_another_cannot_be_read():
    lost = Gpu(index=1, name="NVIDIA GeForce RTX 3060", error="it fell off the bus")
    third = Gpu(index=2, name="NVIDIA GeForce RTX 5070 Ti", total_bytes=16 * GIB, free_bytes=15 * GIB)
    without = without_card(rig(lost, third), 2)
    assert [gpu.name for gpu in without.gpus] == ["NVIDIA GeForce RTX 4090"]
    assert without.name == "desk − RTX 5070 Ti"
    with pytest.raises(UsageError, match="no GPU 1 that can be taken out"):
        without_card(rig(lost, third), 1)
    assert without_card(rig(), 0).gpus == ()
