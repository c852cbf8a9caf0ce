"""What a worker said it took is what the next plan counts with: for this model, these cards, this vLLM. What failed is not tried again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from planning.past import a_device, a_run, an_attempt
from rigtui.engines.engine import Build
from rigtui.engines.vllm.cache import cache
from rigtui.engines.vllm.settings import Settings
from rigtui.intent.intent import Intent
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.constraints import Constraint
from rigtui.planning.lessons import learn
from rigtui.planning.outcomes import AttemptResult, RunResult
from rigtui.planning.plan import Plan, PlanDevice
from rigtui.rig.rig import Rig
from rigtui.text import MIB
from tools.toy_checkpoints import codes, gpu, intent, option, rig, toy, why

BUILD = Build(engine="vllm", label="vllm 0.33.0 (CUDA)", version="0.33.0", argv=("vllm",))
NEWER = replace(BUILD, label="vllm 0.34.0 (CUDA)", version="0.34.0")
MODEL = toy()
ASKED = intent()
CONTEXT = 512 * MIB
"""What vLLM's own context takes on the cards here, beside what is estimated for PyTorch (100 MiB)."""


def cards(*totals: int) -> Rig:
    """Cards whose runtime is not known."""
    return rig(*(replace(gpu(index, total), runtime_bytes=None) for index, total in enumerate(totals)))


def plan(on: Rig, *runs: RunResult, model: Model = MODEL, asked: Intent = ASKED, build: Build = BUILD) -> Plan:
    return choose(on, model, asked, [build], lessons=learn(runs, "toy"))


def worked(device: PlanDevice, more_mib: int = 0, **said: Any) -> Any:
    """A worker that wrote its ledger: its context, and activations beyond the plan."""
    before = {"engine_free_bytes": device.free_before_bytes - CONTEXT - 100 * MIB}
    return a_device(device, **{**before, "compute_bytes": device.compute_bytes + more_mib * MIB, **said})


def ran(on: Rig, shown: Plan, *devices: Any, day: int = 1, **changes: Any) -> RunResult:
    attempt = an_attempt(shown, ASKED, devices=devices)
    return a_run(on, MODEL, ASKED, attempt, day=day, **{"engine": "vllm", "build": BUILD.label, "command": shown.command, **changes})


def share(shown: Plan) -> float:
    return float(option(shown, "--gpu-memory-utilization") or 0)


def tokens(shown: Plan) -> int:
    return shown.engine_view.kv_tokens or 0


def test_the_context_that_was_seen_sets_the_share() -> None:
    on = cards(8000)
    first = plan(on)
    again = plan(on, ran(on, first, worked(first.devices[0])))
    # Estimated were 450 MiB beside the 100 for PyTorch; seen were 512: (8,000 - 612 - 1,024) / 8,000.
    assert share(first) == 0.803
    assert share(again) == 0.795
    assert "vLLM's own context takes 512 MiB on Card 8000" in why(again, "learned")


def test_activations_that_were_seen_take_the_place_of_the_estimate_for_other_contexts_too() -> None:
    on = cards(8000)
    first = plan(on)
    known = ran(on, first, worked(first.devices[0], 300, engine_free_bytes=None))
    for asked in (ASKED, replace(ASKED, use_case=replace(ASKED.use_case, context=16384))):
        before, after = plan(on, asked=asked), plan(on, known, asked=asked)
        assert after.devices[0].compute_bytes == before.devices[0].compute_bytes + 300 * MIB
        block = cache(MODEL, Settings(context=before.context)).block_bytes(0, MODEL.layers)
        assert (tokens(before) - tokens(after)) == pytest.approx(300 * MIB / block * 16, abs=32)
    assert "activations take 300 MiB more than estimated" in why(plan(on, known), "learned")


def test_it_does_not_grow_from_run_to_run() -> None:
    """The second run was planned with what the first one showed, and showed the same."""
    on = cards(8000)
    first = plan(on)
    one = ran(on, first, worked(first.devices[0], 300))
    second = plan(on, one)
    two = ran(on, second, worked(second.devices[0]), day=2)
    third = plan(on, one, two)
    assert third.devices[0].compute_bytes == second.devices[0].compute_bytes
    assert (share(third), tokens(third)) == (share(second), tokens(second))
    assert third.basis == "remembered"


def test_graphs_that_were_seen_are_counted_as_they_were() -> None:
    on = cards(8000)
    first = plan(on, asked=intent(prefer="speed"))
    assert first.engine_view.eager is False
    graphs = first.devices[0].floor_bytes - 550 * MIB
    known = ran(on, first, worked(first.devices[0], graphs_bytes=graphs * 2, engine_free_bytes=None), use_case="x")
    after = plan(on, known, asked=intent(prefer="speed"))
    assert after.devices[0].floor_bytes - 550 * MIB == pytest.approx(2 * graphs, abs=2)
    assert "CUDA graphs take 200% of the estimate" in why(after, "learned")


@pytest.mark.parametrize("what", ["build", "card", "model", "simulated"])
def test_it_holds_for_this_model_this_type_of_card_and_this_vllm(what: str) -> None:
    on = cards(8000)
    first = plan(on)
    known = ran(on, first, worked(first.devices[0], 300))
    other = {
        "build": lambda: plan(on, known, build=NEWER),
        "card": lambda: plan(rig(gpu(5, 8000)), known),
        "model": lambda: plan(on, known, model=replace(MODEL, fingerprint="other")),
        "simulated": lambda: plan(replace(on, simulated=True), known),
    }[what]()
    if what == "model":
        assert share(other) == 0.795, "the card is the same one"
        assert other.devices[0].compute_bytes == first.devices[0].compute_bytes
    else:
        assert "learned" not in codes(other)
    assert ("lessons_set_aside" in codes(other)) == (what in ("build", "card"))


def test_a_stage_like_none_that_was_seen_counts_with_what_the_others_lacked() -> None:
    on = cards(2600, 2400)
    first = plan(on)
    assert len(first.devices) == 2
    rows = [worked(device, more, engine_free_bytes=None) for device, more in zip(first.devices, (40, -20), strict=True)]
    after = plan(on, ran(on, first, *rows))
    assert [a.compute_bytes - b.compute_bytes for a, b in zip(after.devices, first.devices, strict=True)] == [40 * MIB, -20 * MIB]
    alone = {"gpus": ("0",)}
    before, after = (plan(on, *runs, asked=intent(**alone)) for runs in ((), (ran(on, first, *rows),)))
    assert after.devices[0].compute_bytes - before.devices[0].compute_bytes == 40 * MIB


def failed(shown: Plan, **changes: Any) -> AttemptResult:
    return an_attempt(shown, ASKED, outcome="failed", failure="out_of_vram", failed_device="CUDA0", **changes)


def test_the_share_that_was_found_is_where_the_next_launch_begins() -> None:
    """The first guess is generous: what vLLM refused is not asked for again."""
    on = cards(8000)
    first = plan(on)
    found = Constraint(kind="utilization", value=0.7, text="too much was asked for: share of the cards 0.803 → 0.7")
    mended = choose(on, MODEL, ASKED, [BUILD], constraints=[found])
    run = ran(on, mended)
    run = replace(run, attempt=(failed(first), an_attempt(mended, ASKED, (found,))))
    after = plan(on, run)
    assert share(after) == 0.7
    assert "from an earlier run: too much was asked for" in why(after, "lesson")
    assert share(plan(on, run, build=NEWER)) == 0.803
