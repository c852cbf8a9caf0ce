"""Shell scripts: a real shell starts exactly the plan's command with the plan's environment."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from export.foreign import vllm
from export.plans import BOTH, plan
from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.sh import write
from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan
from rigtui.runs.builds import installed_builds

PROFILE = Profile(name="my coder", model="m.gguf")
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('NOTE')]))"
ODD = ("--json", '{"a": "$HOME `x` \'y\'"}', "#1", "", "two  blanks", "new\nline", "*")


def telling(*args: str, note: str = "it's $5") -> Plan:
    return replace(plan(devices=BOTH), command=(sys.executable, "-c", TELL, *args), env={"NOTE": note})


def run(text: str, tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "serve.sh"
    script.write_text(text)
    script.chmod(0o755)
    return subprocess.run([str(script), *args], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})


def test_arguments_and_environment_arrive_unchanged(tmp_path: Path) -> None:
    import json

    done = run(write([Exported(PROFILE, telling(*ODD))]), tmp_path, "--port", "8081")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[*ODD, "--port", "8081"], "it's $5"]


def test_several_profiles_are_chosen_by_name(tmp_path: Path) -> None:
    text = write([Exported(PROFILE, telling("one")), Exported(replace(PROFILE, name="b"), telling("two"))])
    assert '["two", "more"]' in run(text, tmp_path, "b", "more").stdout
    assert '["one"]' in run(text, tmp_path, "my-coder").stdout
    wrong = run(text, tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "my-coder|b" in wrong.stderr


@pytest.mark.parametrize(
    ("a_plan", "reason"),
    [
        (None, "not started by a command"),
        (plan(command=(), engine="ollama"), "ollama is not started by a command"),
        (plan(status="no_fit"), "does not fit"),
        (plan("--api-key", "s3cret"), "--api-key-file"),
        (plan(env={"HF_TOKEN": "s3cret"}), "HF_TOKEN"),
    ],
)
def test_what_a_script_cannot_start_is_refused(a_plan: Plan | None, reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write([Exported(PROFILE, a_plan)])
    assert "s3cret" not in str(caught.value)


def test_vllm_listens_on_this_machine_alone_unless_the_profile_says_where() -> None:
    assert "vllm serve /models/qwen --host 127.0.0.1 --max-model-len" in write([Exported(PROFILE, vllm())])
    told = write([Exported(PROFILE, vllm("--host", "0.0.0.0"))])
    assert "127.0.0.1" not in told
    assert "--host 0.0.0.0" in told


def test_a_hostile_name_stays_a_comment(tmp_path: Path) -> None:
    done = run(write([Exported(replace(PROFILE, name="x\necho owned"), telling("one"))]), tmp_path)
    assert "owned" not in done.stdout
    with pytest.raises(RigtuiError, match="both be called a-b"):
        write([Exported(replace(PROFILE, name=name), telling("one")) for name in ("a.b", "a-b")])


def test_the_script_says_what_the_other_machine_needs() -> None:
    plain = write([Exported(PROFILE, replace(plan(), command=("llama-server", "-m", "m.gguf")))])
    assert "# Needs the model at /models/glm/GLM-Q8_0.gguf.\n" in plain
    assert "Needs the engine" not in plain
    named = replace(plan(), command=("/opt/llama/llama-server", "-m", "m.gguf"))
    assert "# Needs the engine at /opt/llama/llama-server.\n" in write([Exported(PROFILE, named)])


def test_the_script_of_the_embedded_engine_says_how_to_do_without_it() -> None:
    (build,) = (build for build in installed_builds() if build.embedded)
    text = write([Exported(PROFILE, replace(plan(), command=(*build.argv, "-m", "m.gguf")))])
    assert f"put `llama-server` in the place of `{shlex.join(build.argv)}`.\n" in text
