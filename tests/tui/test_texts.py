"""The words of plan, run and guide at any width."""

from __future__ import annotations

import json
import shlex

import pytest
from msgspec.structs import replace

from rigtui.engines.engine import Failure
from rigtui.intent.intent import Intent, Overrides
from rigtui.planning.plan import Expected, PlanHost, Reason
from rigtui.runs.state import AttemptState, OfferedStep
from rigtui.text import GIB, MIB
from rigtui.tui.guide import guide
from rigtui.tui.keys import Keys
from rigtui.tui.plan_text import Marks, context_gauge, memory_table, plan_lines
from rigtui.tui.rows import gib_cell, middle, size
from rigtui.tui.run_text import base_url, curl_command, headline, other_steps, run_lines
from rigtui.tui.state import Cockpit
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import no_gpu_rig, two_cards, wsl_rig
from tui.fakes.runs import run_state

PLAN = plan_for(two_cards(), MODELS[0], Intent(use_case=USE_CASES[0]), ())


def words(lines) -> str:
    return " ".join(" ".join(line.plain for line in lines).split())


@pytest.mark.parametrize("width", [44, 46, 60, 76, 100])
@pytest.mark.parametrize("rig", [two_cards(), wsl_rig(), no_gpu_rig()], ids=lambda rig: rig.name)
@pytest.mark.parametrize("use_case", [USE_CASES[0], USE_CASES[3]], ids=lambda use_case: use_case.name)
def test_no_line_of_a_plan_is_wider_than_its_panel(rig, width, use_case):
    plan = plan_for(rig, MODELS[0], Intent(use_case=use_case, overrides=Overrides(kv_type=("q8_0", "f16"))), ())
    lines = plan_lines(plan, rig, width, Marks(context=65536, kv_type=True))
    assert max(line.cell_length for line in lines) <= width


def test_a_plan_reads_in_the_words_of_the_bars():
    text = words(plan_lines(PLAN, two_cards(), 100, Marks()))
    assert (
        text.index("weights")
        < text.index("KV", text.index("weights"))
        < text.index("compute")
        < text.index("floor")
        < text.index("headroom free")
    )
    assert "GPU 0: 0–31 · GPU 1: 32–47 + head · RAM: none" in text
    assert "128 MiB on GPU 0, 1,024 MiB on GPU 1 (FIT_TARGET 128,1024)" in text
    assert "1 RTX 4090 alone, KV q4_0 (llama.cpp: tight, 40,960 tokens, about 46 tok/s)" in text
    assert "--fit-target 128,1024" in text


def test_what_is_wanted_and_what_is_passed_may_differ():
    text = words(plan_lines(replace(PLAN, fit_target_mib=(128, 5000)), two_cards(), 100, Marks()))
    assert "128 MiB on GPU 0, 1,024 MiB on GPU 1 (FIT_TARGET 128,5000: more on purpose, see why)" in text


@pytest.mark.parametrize(("status", "word"), [("fits", "FITS"), ("tight", "TIGHT"), ("offload", "OFFLOAD"), ("no_fit", "DOES NOT FIT")])
def test_every_status_has_a_word(status, word):
    assert words(plan_lines(replace(PLAN, status=status), two_cards(), 60, Marks())).startswith(word)


def test_a_plan_without_cards_says_cpu_and_ram():
    text = words(plan_lines(plan_for(no_gpu_rig(), MODELS[0], Intent(use_case=USE_CASES[0]), ()), no_gpu_rig(), 60, Marks()))
    assert "llama.cpp on the CPU" in text and "all in RAM, on the CPU" in text and "RAM: all 48" in text


def test_a_context_of_the_users_is_shown_beside_what_the_engine_makes_of_it():
    def context(tokens: int, own: int) -> str:
        return words(plan_lines(replace(PLAN, context_per_slot=tokens), two_cards(), 100, Marks(context=own)))

    trained = PLAN.model.context_trained
    assert f"{trained:,} tokens of {trained:,} trained (yours)" in context(trained, trained)
    assert f"1,024 tokens of {trained:,} trained (yours: 1,000)" in context(1024, 1000)
    assert f"10,000,128 tokens, beyond the {trained:,} trained (yours: 9,999,999)" in context(10_000_128, 9_999_999)


def test_slots_are_multiplied_out():
    plan = plan_for(two_cards(), MODELS[0], Intent(use_case=USE_CASES[3]), ())
    assert "8,192 tokens × 8 slots = 65,536 of 262,144 trained" in words(plan_lines(plan, two_cards(), 80, Marks()))


def test_unknown_speed_is_not_shown_and_measured_speed_is_not_about():
    assert "tok/s" not in words(plan_lines(replace(PLAN, expected=Expected(), alternatives=()), two_cards(), 80, Marks()))
    assert "38 tok/s measured" in words(
        plan_lines(replace(PLAN, expected=Expected(decode_tok_s=38.0, basis="measured")), two_cards(), 80, Marks())
    )


def test_layers_in_ram_and_foreign_reasons():
    plan = replace(PLAN, host=PlanHost(weights_bytes=900 * MIB, offloaded_layers=5), reasons=(Reason("x", "evil\x1b[2J [b]text[/]"),))
    text = words(plan_lines(plan, two_cards(), 80, Marks()))
    assert "RAM: experts of 5 layers" in text and "evil [b]text[/]" in text
    dense = replace(plan, model=replace(plan.model, experts=0))
    assert "RAM: 5 layers" in words(plan_lines(dense, two_cards(), 80, Marks()))
    first = replace(plan, devices=plan.devices[:1], host=replace(plan.host, offloaded_layers=16))
    assert "RAM: 16 layers" in words(plan_lines(first, two_cards(), 80, Marks())), "whole layers of a mixture"


def test_figures_of_the_memory_table_never_touch():
    many = replace(PLAN.devices[0], weights_bytes=17 * GIB, kv_bytes=2441 * GIB, compute_bytes=12345 * GIB, free_after_bytes=-2441 * GIB)
    text = words(memory_table(replace(PLAN, devices=(many,)), {many.device: "GPU 0"}, 44))
    assert "17.0 2441 12345" in text and " -2441" in text


def test_the_gauge_moves_by_doublings():
    ends = [context_gauge(context, 1 << 18, 20) for context in (1024, 16384, 1 << 18)]
    assert [gauge.plain.index("●") for gauge in ends if gauge] == [1, 9, 18]
    assert context_gauge(0, 4096, 20) is None and context_gauge(4096, 0, 20) is None


def test_sizes_read_as_people_say_them():
    assert (size(14 * MIB), size(1536 * MIB)) == ("14 MiB", "1.5 GiB")
    assert (gib_cell(0), gib_cell(MIB), gib_cell(1536 * MIB), gib_cell(-2048 * MIB)) == ("–", "<0.1", "1.5", "-2.0")
    assert middle("Qwen3-Coder-30B-Q4_K_M", 11) == "Qwen3…4_K_M"


@pytest.mark.parametrize("width", [50, 78])
@pytest.mark.parametrize("phase", ["starting", "loading", "ready", "stopping", "stopped", "failed"])
def test_no_line_of_a_run_is_wider_than_its_panel(phase, width):
    lines = run_lines(
        run_state("a", phase, notes=("the disk is nearly full, so the log may end early",)),
        width,
        Keys(),
        runs=tuple(run_state(name) for name in "abc"),
    )
    assert max(line.cell_length for line in lines) <= width
    assert phase in words(lines)


def test_a_run_that_was_stopped_while_it_loaded_claims_no_result():
    def told(**more) -> str:
        return words(run_lines(run_state("a", "stopped", **more), 78, Keys()))

    assert "Nothing was measured." in told() and "result" not in told()
    assert "Its result is kept." in told(ready_at="2026-03-01T19:20:30Z")


def test_the_ladder_tells_what_failed_what_was_changed_and_what_else_could_be():
    failure = Failure(code="out_of_vram", text="GPU 1 ran out by 372 MiB")
    change = "GPU 1 ran out by 372 MiB: headroom 1024 → 1536"
    attempts = (AttemptState(outcome="failed", failure=failure), AttemptState(change=change))
    offered = (
        OfferedStep(text=change, summary="2 GPUs, KV f16", status="fits", context=8192),
        OfferedStep(text="GPU 1 ran out by 372 MiB: KV cache f16 → q8_0", summary="2 GPUs, KV q8_0", status="fits", context=8192),
    )
    run = run_state("a", "loading", attempt=2, attempts=attempts, steps=offered, step=0)
    text = words(run_lines(run, 78, Keys()))
    assert "attempt 2 of 5" in text and f"attempt 2: {change}" in text
    assert "1 other step of the ladder s offers them, or stops" in text
    assert other_steps(run) == [(1, "Instead: KV cache f16 → q8_0 (fits, 8,192 tokens)")]


def test_the_headline_keeps_phase_and_port_when_the_name_is_long():
    text = headline(run_state("a"), 30).plain
    assert text.endswith("ready :8080") and len(text) <= 30
    assert headline(None, 30).plain == "○ no engine running"


def test_curl_can_be_pasted_into_a_shell():
    run = run_state("a", model_id="it's a model")
    assert base_url(run) == "http://127.0.0.1:8080/v1"
    command = shlex.split(curl_command(run, "what's up?"))
    assert command[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
    body = json.loads(command[command.index("-d") + 1])
    assert body == {"model": "it's a model", "messages": [{"role": "user", "content": "what's up?"}]}


def test_the_guide_tells_a_search_from_nothing_found():
    assert "Looking for models" in words(guide(Cockpit(scanning=True, scanned=1234), 60))
    text = words(guide(Cockpit(scanning=False, folders=("~/models",)), 46))
    assert "No models found yet" in text and "rigtui demo" in text and "~/models" in text
    assert max(line.cell_length for line in guide(Cockpit(scanning=False, folders=("~/models",)), 46)) <= 46
