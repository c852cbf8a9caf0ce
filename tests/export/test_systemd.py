"""systemd units: systemd's own parser, and its rules written down once more, give back the plan's command and environment."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace

from export.foreign import ARGUMENTS, NAMES, ODD, entry, vllm
from rigtui.errors import RigtuiError
from rigtui.export.exported import Exported
from rigtui.export.systemd import write
from rigtui.intent.profile import Profile

ADDRESS = ("--host", "127.0.0.1", "--port", "8080")
ENV = ["CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090"]
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")


def settings(text: str) -> list[tuple[str, str]]:
    """Lines as systemd joins them: without comments, and with a blank for a backslash at the end."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(("#", ";"))))
    return [(key, value) for key, equals, value in (line.partition("=") for line in joined.split("\n")) if equals]


def words(value: str, *, command: bool) -> list[str]:
    """A value split as systemd.syntax(7) says, specifiers and, of a command, dollar signs undone."""
    found = []
    for word in re.findall(r'"(?:[^"\\]|\\.)*"|[^ "]+', value):
        text = word
        if word.startswith('"'):
            text = _ESCAPE.sub(lambda one: chr(int(one[1][1:], 16)) if len(one[1]) == 3 else one[1], word[1:-1])
        assert re.fullmatch(r"(?:[^%]|%%)*", text, re.DOTALL), "a specifier"
        text = text.replace("%%", "%")
        assert not command or re.fullmatch(r"(?:[^$]|\$\$)*", text, re.DOTALL), "a variable"
        found.append(text.replace("$$", "$") if command else text)
    return found


def started(text: str) -> list[str]:
    (command,) = (value for key, value in settings(text) if key == "ExecStart")
    return words(command, command=True)


def environment(text: str) -> list[str]:
    return [word for key, value in settings(text) if key == "Environment" for word in words(value, command=False)]


def command(one: Exported, at: int = 1, more: tuple[str, ...] = ()) -> list[str]:
    assert one.plan is not None
    return [*one.plan.command[:at], *ADDRESS, *more, *one.plan.command[at:]]


def test_the_command_and_the_environment_are_those_of_the_plan() -> None:
    one = entry("--fit-target", "128,1024", *ODD)
    text = write([one])
    assert started(text) == command(one)
    assert environment(text) == ENV


def test_a_launch_that_fails_is_not_tried_for_ever() -> None:
    found = dict(settings(write([entry()])))
    assert (found["Restart"], found["StartLimitBurst"], found["StartLimitIntervalSec"]) == ("on-failure", "3", "1800")


@given(NAMES, ARGUMENTS, NAMES.filter(lambda file: "$" not in file))
def test_no_name_path_or_argument_means_anything_to_systemd(name: str, argument: str, file: str) -> None:
    one = entry("--note", argument, name=name, path=f"/models/{file}.gguf")
    one = one._replace(plan=replace(one.plan, command=(f"/opt/{file}", *one.plan.command[1:])))
    text = write([one])
    assert started(text) == command(one)
    assert [key for key, _ in settings(text)].count("Description") == 1


@given(ARGUMENTS.filter(lambda value: not set(value) & set("\x07\x7f")))
def test_the_environment_arrives_unchanged(value: str) -> None:
    assert environment(write([entry(env={"NOTE": value})])) == [f"NOTE={value}"]


def test_lines_of_an_argument_and_of_a_variable_are_kept() -> None:
    one = entry("--note", "a\n# b", env={"NOTE": "a\n[Service]"})
    text = write([one])
    assert (started(text), environment(text)) == (command(one), ["NOTE=a\n[Service]"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_reads_the_unit_and_the_command_in_it(tmp_path: Path) -> None:
    one = entry("--fit-target", "128,1024", *ODD, name="50 % of \\")
    one = one._replace(plan=replace(one.plan, command=("/bin/true", *one.plan.command[1:])))
    unit = tmp_path / "coder.service"
    unit.write_text(write([one]))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    check = ["systemd-analyze", "verify", "--user", str(unit)]
    done = subprocess.run(check, capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = subprocess.run(check, capture_output=True, text=True, env=env | {"SYSTEMD_LOG_LEVEL": "debug"}, check=False)
    (line,) = re.findall(r"Command Line: (.*)", told.stdout + told.stderr)
    as_a_shell_does = re.sub(r"\\([$`])", r"\1", line)  # which shlex leaves as it is between double quotes
    assert [word.replace("$$", "$") for word in shlex.split(as_a_shell_does)] == command(one)
    assert "Description: 50 % of \\ (llama.cpp)\n" in told.stdout + told.stderr


def test_a_program_without_a_folder_is_looked_for_where_the_unit_says() -> None:
    one = entry()
    bare = one._replace(plan=replace(one.plan, command=("llama-server", *one.plan.command[1:])))
    assert "# systemd looks for llama-server in /usr/local/bin and /usr/bin; elsewhere give its whole path.\n" in write([bare])
    assert "systemd looks for" not in write([one])


def test_an_address_of_the_users_is_kept() -> None:
    assert started(write([entry("--port", "9000", "--host", "0.0.0.0")]))[1:5] == ["--host", "0.0.0.0", "--port", "9000"]


def test_vllm_is_started_by_its_own_program_and_answers_to_the_models_name() -> None:
    one = Exported(Profile(name="q", model="/models/qwen"), vllm())
    assert started(write([one])) == command(one, 3, ("--served-model-name", "Qwen3-32B-AWQ"))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(name="a"), entry(name="b")], r"starts one model, not 2 \(a, b\)"),
        ([entry(status="no_fit")], "does not fit this rig"),
        ([entry(env={"NOTE": "\x07"})], "NOTE has a control character"),
        ([entry("--hf-token", "s3cret")], "--hf-token"),
        ([entry(path="x.gguf")], "not known from the root"),
        ([entry()._replace(plan=replace(entry().plan, command=("bin/llama-server", "-m", "x")))], "a path from the root"),
    ],
)
def test_what_a_unit_cannot_say_is_refused_in_one_sentence(entries: list[Exported], reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write(entries)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
