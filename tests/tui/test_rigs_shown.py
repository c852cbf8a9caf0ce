"""Rigs of every kind in the cockpit: cards whose memory moves, a lost one, none, unknown use under WSL, simulated ones."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from rigtui.planning.plan import Reason
from rigtui.text import MIB
from tui.fakes.plans import plan_for
from tui.fakes.rigs import eight_cards, no_gpu_rig, two_cards, wsl_rig
from tui.fakes.world import World


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 48)])
async def test_free_now_and_after_stand_beside_every_bar(cockpit, size):
    async with cockpit(World(two_cards()), size=size) as screen:
        lines = screen.text().splitlines()
        first, second = (next(line for line in lines if name in line) for name in ("0 RTX 4090", "1 RTX 5070 Ti"))
        assert "23.1 → 10.2 GiB" in first
        assert "12.5 → 5.4 GiB" in second


async def test_a_program_that_takes_vram_moves_the_bars_and_the_plan(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        before = screen.state.plan
        card = world.rig.gpus[0]
        world.rig = replace(
            world.rig, gpus=(replace(card, free_bytes=card.free_bytes - 5000 * MIB, others_bytes=5400 * MIB), world.rig.gpus[1])
        )
        await screen.until(lambda: screen.state.plan is not before)
        await screen.until(lambda: "18.3 → 5.3 GiB" in screen.text())


async def test_without_a_gpu_it_says_why_and_still_plans(cockpit):
    async with cockpit(World(no_gpu_rig()), size=(80, 24)) as screen:
        text = " ".join(screen.text().split())
        assert "No GPU can be used, models run on the CPU" in text
        assert "OFFLOAD" in text and "llama.cpp on the CPU" in text


async def test_wsl_says_what_unknown_means(cockpit):
    async with cockpit(World(wsl_rig())) as screen:
        assert "WSL2" in screen.text()
        assert "unknown is what Windows and other WSL programs hold" in " ".join(screen.text().split())


async def test_a_lost_card_is_named_with_what_to_do(cockpit):
    async with cockpit(World(eight_cards()), size=(80, 24)) as screen:
        text = " ".join(screen.text().split())
        assert "5 RTX 3060 error: the card fell off the bus: shut the machine down and check its riser" in text


async def test_simulated_bytes_are_hatched_and_labelled(cockpit):
    async with cockpit(World(two_cards(simulated=True)), size=(80, 24)) as screen:
        text = screen.text()
        assert "simulated rig" in text
        assert "╱" in next(line for line in text.splitlines() if "0 RTX 4090" in line)
        assert re.search("╱ ?simulated .* ?headroom", text), "nothing of the legend is left out"
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        assert "╱" not in screen.text()


async def test_without_a_card_one_short_line_says_so_once_there_are_models_and_the_key_says_it_too(cockpit):
    async with cockpit(World(no_gpu_rig()), size=(60, 20)) as screen:
        await screen.until(lambda: "No GPU can be used, models run on the CPU; d says why." in screen.text())
        await screen.press("v")
        await screen.until(lambda: "nobody holds any VRAM" in screen.told)


async def test_cards_that_the_engine_does_not_see_are_said_at_once(cockpit):
    world = World(two_cards())
    blind = Reason("cpu_build", "embedded (CPU only) sees no GPU, so everything runs on the CPU")
    world.derive = lambda *asked: replace(plan_for(*asked), warnings=(blind,))
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.until(lambda: "The engine here sees no GPU, models run on the CPU; d says what mends it." in screen.text())
