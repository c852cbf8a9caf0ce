"""Who holds VRAM, and the command that frees it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from rigtui.rig.freeing import what_frees
from rigtui.rig.process_facts import ProcessFacts, process_facts
from rigtui.rig.rig import GpuProcess


def held_by(name: str, **more) -> GpuProcess:
    return GpuProcess(pid=4711, name=name, kind="compute", bytes=1 << 30, **more)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("llama-server", "kill 4711"),
        ("python3 -m vllm", "kill 4711"),
        ("firefox", "kill 4711"),
        ("blender", "kill 4711"),
        ("LM Studio", "lms unload --all"),
        ("ollama", "ollama ps"),
        ("gnome-shell", None),
        ("kwin_wayland", None),
    ],
)
def test_each_kind_of_process_has_its_own_way(name, command):
    assert what_frees(held_by(name)).command == command


def test_an_ollama_model_is_stopped_by_its_name():
    assert what_frees(held_by("ollama"), model="qwen3:8b").command == "ollama stop qwen3:8b"
    evil = what_frees(held_by("ollama"), model="a; rm -rf b").command
    assert evil is not None and shlex.split(evil) == ["ollama", "stop", "a; rm -rf b"]


def test_comfyui_is_asked_to_unload_its_models():
    command = what_frees(held_by("python3 ComfyUI/main.py")).command
    assert command is not None
    assert shlex.split(command)[:4] == ["curl", "-X", "POST", "http://127.0.0.1:8188/free"]


def test_an_engine_of_rigtui_is_stopped_as_a_run():
    assert what_frees(held_by("llama-server", engine=True), run="4f1c").command == "rigtui stop 4f1c"
    assert what_frees(held_by("llama-server", engine=True)).command == "rigtui ps"


def test_what_belongs_to_somebody_else_needs_sudo():
    assert what_frees(held_by("blender"), mine=False).command == "sudo kill 4711"
    assert what_frees(held_by("blender"), mine=True).command == "kill 4711"


def test_the_facts_of_a_live_process_and_of_one_that_is_gone():
    facts = process_facts(os.getpid())
    assert facts.mine is True and facts.user and facts.started and facts.model_file is None
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert process_facts(gone.pid) == ProcessFacts()
    assert process_facts(-5) == ProcessFacts()
