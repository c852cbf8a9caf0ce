"""`rigtui run` in the foreground on a virtual rig: what it prints while real llama.cpp loads."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.virtual_rig import Card, VirtualRig
from rigtui.text import MIB
from tools.make_gguf import model_file

CARDS = [
    Card(name="NVIDIA GeForce RTX 3090", total_mib=24576, free_mib=23400, context_mib=450),
    Card(name="NVIDIA GeForce RTX 3060", total_mib=12288, free_mib=11900, context_mib=450),
]
_HELD = re.compile(r"(?P<card>NVIDIA GeForce RTX \d+) (?P<held>[\d,]+) MiB of (?P<planned>[\d,]+) MiB planned")


def _figure(text: str) -> int:
    return int(text.replace(",", ""))


def test_what_each_card_holds_is_printed_beside_what_was_planned(virtual_rig: Callable[..., VirtualRig], tmp_path: Path) -> None:
    rig = virtual_rig(CARDS, compute=False)
    model = model_file("qwen3-32b-q4_k_m", tmp_path)
    words = [sys.executable, "-m", "rigtui", "run", str(model), "--use-case", "coding"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        said: list[str] = []
        try:
            for line in run.stdout:
                said.append(line)
                if line.startswith("ready: "):
                    allocated = {card.name: rig.allocated(index) // MIB - card.context_mib for index, card in enumerate(CARDS)}
                    break
        finally:
            run.send_signal(signal.SIGINT)
            said += run.stdout
    shown = {found["card"]: found for line in said if line.startswith("buffers: ") for found in _HELD.finditer(line)}
    assert shown.keys() == {card.name for card in CARDS}, "".join(said)
    for name, found in shown.items():
        # The engine's buffers, not what a plan says of them.
        assert _figure(found["held"]) == pytest.approx(allocated[name], abs=2)
        assert _figure(found["planned"]) == pytest.approx(_figure(found["held"]), abs=48)
