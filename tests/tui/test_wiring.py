"""The screen's services on a real home folder, a real model header and a rig file: no fakes, no engine."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from rigtui.errors import RigtuiError, UsageError
from rigtui.export.exported import FORMATS
from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.profile import parse_text
from rigtui.intent.profiles import load
from rigtui.planning.plan import Plan
from rigtui.runs import watch
from rigtui.tui import profile_tasks
from rigtui.tui import state as st
from rigtui.tui.screenshot import main as take_picture
from rigtui.tui.screenshot import tidy
from rigtui.tui.state import Cockpit
from rigtui.tui.taking import fewest
from rigtui.tui.wiring import difference, services
from tools.make_gguf import tiny_llama
from tui.fakes.models import MODELS, USE_CASES
from tui.fakes.plans import plan_for
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state

RIG = Path(__file__).parents[1] / "rigs" / "desk-4090-5070ti.toml"


@pytest.fixture
def here(home):
    (home / "models").mkdir()
    tiny_llama(home / "models" / "alpha.gguf", name="alpha", context=8192)
    return services(argparse.Namespace(rig_file=str(RIG), profiles_dir=None, no_color=False, read_only=False))


def first_model(here):
    (found,) = here.scan(lambda _found, _looked: None, lambda: False)
    return found


def rig_of(here):
    told = []
    here.watch_rig(told.append)()
    return told[0]


def test_models_rig_and_plan_come_together(here):
    found, rig = first_model(here), rig_of(here)
    assert found.name == "alpha" and here.model_folders() == ("~/models",)
    assert rig.simulated and [gpu.name for gpu in rig.gpus] == ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 5070 Ti"]
    use_cases = here.read_use_cases()
    assert [use_case.name for use_case in use_cases][:2] == ["chat", "coding"]
    plan = here.derive(rig, found.model, Intent(use_case=use_cases[0]), ())
    assert plan.status == "fits" and plan.context == 8192


def test_only_what_the_program_brought_along_is_launched_unasked_on_a_simulated_rig(home):
    for folder in ("models", "demo", "demo-of-another"):
        (home / folder).mkdir()
        tiny_llama(home / folder / f"of-{folder}.gguf", name=folder, context=8192)
    own = services(argparse.Namespace(rig_file=str(RIG), profiles_dir=None, read_only=False, model_folders=(str(home / "demo"),)))
    elsewhere = str(home / "demo-of-another" / "of-demo-of-another.gguf")
    found = own.scan(lambda _found, _looked: None, lambda: False)
    asked = {entry.name: not own.launches_unasked(entry) for entry in (*found, replace(found[0], name="elsewhere", path=elsewhere))}
    assert asked == {"models": True, "demo": False, "elsewhere": True}


def test_a_profile_is_saved_as_the_command_line_reads_it(here):
    found = first_model(here)
    intent = Intent(use_case=here.read_use_cases()[1], overrides=Overrides(context=4096, kv_type=("q8_0", "q8_0")))
    where = here.save_profile("mine", found, intent, False)
    profile = load(Path(where))
    assert (profile.name, profile.model, profile.use_case, profile.overrides.context) == ("mine", found.ref, "coding", 4096)
    with pytest.raises(UsageError, match="there is a profile mine already"):
        here.save_profile("mine", found, intent, False)
    assert here.save_profile("mine", found, intent, True) == where


def test_a_launch_of_a_model_without_a_profile_is_recorded_under_no_profile(here, monkeypatch):
    asked = []

    def launched(request):
        asked.append(request)
        raise RigtuiError("not in this test")

    monkeypatch.setattr("rigtui.runs.launch.launch", launched)
    found, rig = first_model(here), rig_of(here)
    intent = Intent(use_case=here.read_use_cases()[0])
    with pytest.raises(RigtuiError, match="not in this test"):
        here.launch(found, intent, here.derive(rig, found.model, intent, ()), "attach")
    assert [request.name for request in asked] == [None]


def test_the_export_is_written_in_every_format(here):
    found, rig = first_model(here), rig_of(here)
    intent = Intent(use_case=here.read_use_cases()[0])
    texts = here.export(found, intent, here.derive(rig, found.model, intent, ()))
    assert [one.format for one in texts] == [*FORMATS, "profile"]
    assert not any(one.problem for one in texts)
    assert all(found.model.path in one.text for one in texts if one.format not in ("models.conf", "compose"))
    assert texts[1].text.startswith("#!/bin/sh\n")
    shared = parse_text(texts[-1].text.encode(), "x")
    assert (texts[-1].file, shared.name, shared.use_case) == ("alpha-chat.toml", "alpha-chat", intent.use_case.name)
    text = texts[0].text
    assert re.search(r"^\[alpha-chat\]$", text, re.MULTILINE)
    assert re.search(r"^MODEL=alpha\.gguf$", text, re.MULTILINE) and re.search(r"^CTX_SIZE=8192$", text, re.MULTILINE)


def test_there_are_no_runs_and_an_unknown_one_is_one_sentence(here):
    assert here.read_runs() == ()
    assert here.read_request("nothing") is None
    with pytest.raises(RigtuiError, match="no run called nothing"):
        here.stop("nothing")
    with pytest.raises(RigtuiError):
        here.open_log("nothing")


def test_of_the_runs_that_ended_the_one_that_was_alive_last_stays(here, monkeypatch):
    first, second = run_state("first", "failed", heartbeat=300.0), run_state("second", "stopped", heartbeat=200.0)
    monkeypatch.setattr(watch, "all_runs", lambda: [first, second, run_state("third", "ready", heartbeat=100.0)])
    assert [run.run for run in here.read_runs()] == ["first", "third"]


def test_what_a_plan_derived_again_changes_is_said():
    plan = plan_for(two_cards(), MODELS[0], Intent(use_case=USE_CASES[0]), ())
    assert difference(plan, replace(plan, alternatives=())) == ""
    text = difference(plan, replace(plan, status="tight", context=32768, devices=plan.devices[:1]))
    assert "it is tight now instead of fits" in text and "32,768 tokens instead of 65,536" in text and "the layers lie differently" in text


def test_a_picture_of_any_rig_is_made_by_the_program(here, home, tmp_path):
    out = tmp_path / "screen.svg"
    assert take_picture([str(out), "--rig", str(RIG), "--models", str(home / "models"), "--size", "100x30", "--keys", "u"]) == 0
    svg = out.read_text()
    for words in ("simulated&#160;rig", "RTX&#160;5070&#160;Ti", "alpha", "coding"):
        assert words in svg, words


def test_spaces_at_the_ends_of_texts_move_nothing():
    text = '<text class="a" x="10" y="5" textLength="50" clip-path="url(#l)">&#160;&#160;abc</text>'
    assert tidy(text) == '<text class="a" x="30" y="5" textLength="30" clip-path="url(#l)">abc</text>'
    blank = '<text class="a" x="10" y="5" textLength="20" clip-path="url(#l)">&#160;&#160;</text>'
    assert tidy(blank) == ""
    entity = '<text class="a" x="0" y="5" textLength="40" clip-path="url(#l)">a&#160;&lt;b</text>'
    assert tidy(entity) == entity.replace('x="0"', 'x="0"')


def test_what_would_work_instead_is_what_comes_out_when_it_is_taken(here):
    found, rig = first_model(here), rig_of(here)
    intent = Intent(use_case=here.read_use_cases()[0])
    state = Cockpit(rig=rig, plan=here.derive(rig, found.model, intent, ()), use_cases=(intent.use_case,))
    others = here.derive_others(rig, found.model, intent, ())[:3]
    assert others

    def derived(chosen: Cockpit) -> Plan:
        return here.derive(rig, found.model, st.intent(chosen), ())

    for other in others:
        taken, note = fewest(state, other, derived)
        again = derived(taken)
        assert [device.name for device in again.devices] == [device.name for device in other.devices]
        assert (again.kv_type, again.context, again.expected, note) == (other.kv_type, other.context, other.expected, "")
        assert taken.overrides == Overrides(gpus=taken.overrides.gpus)  # context and KV type are rigtui's own


def test_a_removed_profile_comes_back_as_it_was_written_and_replaces_none(here):
    text = '# mine\n[profile]\nname = "mine"\nmodel = "alpha"\nuse_case = "chat"\n'
    where = Path(here.profiles.restore(text))
    removed, problems = profile_tasks.remove(here.profiles, ("mine", "never there"))
    assert not where.exists() and [one.name for one in removed] == ["mine"] and len(problems) == 1
    assert here.profiles.restore(removed[0].text) == str(where)
    assert where.read_text() == text
    with pytest.raises(RigtuiError, match="mine"):
        here.profiles.restore(text)
