"""How the screen starts: what it loads before the first picture, and what it begins behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.tui.app import started_as
from rigtui.tui.late import late
from rigtui.tui.rig_watch import RigWatch
from rigtui.tui.theme import load_theme
from tui.fakes.rigs import two_cards
from tui.fakes.world import World

WAITS = ("rigtui.engines", "rigtui.planning.choose", "rigtui.runs", "rigtui.rig.nvml", "rigtui.models.library", "rigtui.tui.wiring")
"""What is not needed to draw the first picture."""


def test_the_first_picture_waits_for_no_engine_planner_or_driver():
    code = "import rigtui.tui.app, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith(WAITS)]


def test_late_services_are_loaded_once_and_by_the_first_that_is_called():
    loads = []

    def load():
        loads.append("loaded")
        return World(two_cards()).services()

    services = late(load)
    assert not loads
    assert services.read_use_cases()
    assert services.profiles.read()[0]
    assert loads == ["loaded"]


def test_what_keeps_services_from_being_loaded_is_told_by_each_that_is_called():
    def load():
        raise UsageError("the rig file is gone")

    services = late(load)
    for _ in range(2):
        with pytest.raises(UsageError, match="the rig file is gone"):
            services.find_builds()


@pytest.mark.parametrize("ended_first", [False, True])
def test_a_watch_ends_whether_it_began_before_or_not(ended_first):
    ended = []
    services = replace(World(two_cards()).services(), watch_rig=lambda tell: lambda: ended.append(tell))
    watch = RigWatch(services, lambda message: None)
    for step in (watch.end, watch.begin) if ended_first else (watch.begin, watch.end):
        step()
    assert len(ended) == 1


def test_the_start_looks_at_the_wanted_theme_alone_and_asks_for_the_others_afterwards(tmp_path):
    (tmp_path / "bad.toml").write_text('name = "bad"\nprimary = "no colour"\n')
    (tmp_path / "mine.toml").write_text('name = "mine"\nprimary = "#102030"\n')
    first = load_theme("mine", [tmp_path])
    assert [theme.name for theme in first.themes] == ["mine"] and not first.problems
    assert first.more is not None
    everything = first.more()
    assert [theme.name for theme in everything.themes] == ["mine"] and "bad.toml" in everything.problems[0]
    assert load_theme("bad", [tmp_path]) == everything, "a theme that cannot be used is told at once, with all that can"


def test_without_a_terminal_it_says_what_to_use_instead():
    import subprocess
    import sys

    command = [sys.executable, "-m", "rigtui"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("rigtui: the screen needs a terminal") and "rigtui plan MODEL" in done.stderr


def test_a_program_that_is_not_on_the_path_is_named_as_it_was_started(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert started_as(".venv/bin/rigtui") == ".venv/bin/rigtui"
    assert started_as("/src/rigtui/__main__.py").endswith(" -m rigtui")
