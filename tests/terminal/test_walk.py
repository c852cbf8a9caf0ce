"""A walk over every screen in a real terminal of 80x24, by keys: nothing is cut off, and every hint that is shown does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nvml_stub as stub
from rigtui.paths import config_dir
from rigtui.runs import watch
from rigtui.tui.actions import ACTIONS, PLACES
from rigtui.tui.keys import key_text
from runs.support import wait_until
from tools.make_gguf import tiny_llama

pytestmark = pytest.mark.engine

COCKPIT = ("alpha", "beta", "KV cache", "l launch", "? help", "q quit")
DOES: dict[str, tuple[tuple[str, ...], str]] = {
    "v VRAM": (("Who holds the VRAM", "GPU 0 RTX 4090"), "Escape"),
    "d doctor": (("Doctor ·", "What mends it", "r examine again"), "Escape"),
    "P profiles": (("Profiles ·", "Results", "not downloaded"), "Escape"),
    "c compare": (("p keep this plan", "Compare", "status"), "Escape"),
    "G other rig": (("What if it were another rig?", "Add a card"), "Escape"),
    "f add folder": (("Add a model folder", "Enter takes it"), "Escape"),
    "p save profile": (("Save as a profile", "alpha-chat"), "Escape"),
    "x export": (("Export · models.conf", "MODEL=alpha.gguf"), "Escape"),
    "/ filter": (("filter: name",), "Escape"),
    "w what if": (("slots",), "Escape"),
    "t theme": (("Search for themes", "rigtui-contrast"), "Escape"),
    "? help": (("Help", "Launch the engine", "closes"), "Escape"),
    "* favourite": (("★",), "*"),
    "u use case": (("‹ coding ›",), "U"),
    "k KV type": (("q8_0 (yours)",), "K"),
    "S sort": (("by name",), ""),
    "g group": (("by family",), ""),
}
"""Hint -> what stands on the screen when it was followed, the first of it nowhere else; and the key that takes it back."""


KNOWN = {f"{key_text(action.keys.split(',')[0])} {action.hint}" for action in ACTIONS if action.screen in PLACES}


def hints_of(screen: str) -> set[str]:
    """What stands in the last line."""
    return set(re.split(r" {2,}", screen.rstrip("\n").splitlines()[-1].strip()))


def broken(screen: str) -> str:
    """What is wider than the terminal, or a box that has lost a side."""
    for line in screen.splitlines():
        if len(line) > 80 or line.count("╭") != line.count("╮") or line.count("╰") != line.count("╯"):
            return f"not whole: {line!r}"
    return ""


def cut_off(screen: str) -> str:
    """The same, and what is in the last line and no hint, or one that is cut off."""
    return broken(screen) or ", ".join(sorted(hints_of(screen) - KNOWN))


@pytest.fixture
def models(home: Path) -> None:
    (home / "models").mkdir()
    for name in ("alpha", "beta"):
        tiny_llama(home / "models" / f"{name}.gguf", name=name, context=8192)


def test_every_hint_of_the_cockpit_does_what_it_says_and_leads_back(terminal, models, nvml_stub):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    shown = hints_of(screen.wait(*COCKPIT, fault=cut_off))
    # The line has room for the most needed ones; the others are walked all the same.
    assert {hint for hint in shown if hint not in DOES} <= {"l launch", "q quit"}
    for hint, (words, back) in DOES.items():
        key = hint.split()[0]
        screen.keys(key)
        screen.wait(*words, fault=broken)
        if back:
            screen.keys(back)
            screen.wait(*COCKPIT, gone=words[0])
    screen.keys("q")
    screen.wait("LEFT")


@pytest.mark.parametrize(
    ("key", "words"),
    [("v", "Who holds the VRAM"), ("d", "What mends it"), ("P", "not downloaded"), ("c", "keep this plan")],
)
def test_every_page_fits_and_its_hints_are_whole_and_help_speaks_of_it(terminal, models, nvml_stub, key, words):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    screen.wait(*COCKPIT)
    screen.keys(key)
    page = screen.wait(words, "Esc back", "? help", fault=cut_off)
    assert {"Esc back", "? help"} <= hints_of(page)
    screen.keys("?")
    screen.wait("Help", "Esc closes", fault=broken)
    screen.keys("Escape")
    screen.wait(words, "Esc back", gone="Esc closes")
    screen.keys("Escape")
    screen.wait(*COCKPIT)


def saved(screen) -> None:
    """The choices as a profile."""
    screen.wait(*COCKPIT)
    screen.keys("p")
    screen.wait("Save as a profile")
    screen.text("walked")
    screen.keys("Enter")
    screen.wait("saved as walked")


def test_a_profile_is_saved_found_copied_and_brought_back_by_the_hints_of_its_page(terminal, models, nvml_stub):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    saved(screen)
    assert (config_dir() / "profiles" / "walked.toml").exists()
    screen.keys("P")
    screen.wait("Profiles ·", "not downloaded")
    screen.keys("Home")
    page = screen.wait("─walked ·", "Enter load", fault=cut_off)
    assert {"Enter load", "c copy"} <= hints_of(page)
    screen.keys("Delete")
    screen.wait("z undo")
    screen.keys("z")
    screen.wait("Enter load", gone="z undo")
    screen.keys("Enter")
    screen.wait("model     alpha")
    assert (config_dir() / "profiles" / "walked.toml").exists()


EDITOR = """#!/bin/sh
echo the editor has the terminal
read answer
echo "$answer" >> "$1"
"""


def test_an_editor_of_the_users_own_gets_the_terminal_and_gives_it_back(terminal, models, nvml_stub, tmp_path, monkeypatch):
    editor = tmp_path / "editor.sh"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    saved(screen)
    screen.keys("P")
    screen.wait("Profiles ·", "not downloaded")
    screen.keys("Home")
    screen.wait("─walked ·", "Enter load", fault=cut_off)
    for answer, told in (("no profile any more", "kept"), ("# by the editor", "stored")):
        screen.keys("E")
        screen.wait("the editor has the terminal", gone="Profiles ·")
        screen.text(answer)
        screen.keys("Enter")
        screen.wait("Profiles ·", "─walked ·", told, fault=cut_off)
    assert (config_dir() / "profiles" / "walked.toml").read_text().endswith("# by the editor\n")
    screen.keys("Escape")
    screen.wait(*COCKPIT, fault=cut_off)


def tuning(screen) -> None:
    """A profile, and the page of its tuning."""
    saved(screen)
    screen.keys("P")
    screen.wait("Profiles ·", "not downloaded")
    screen.keys("Home")
    screen.wait("─walked ·", "T tune")
    screen.keys("T")
    page = screen.wait("Tune walked", "0 of at most", "Enter start", "Esc back", fault=cut_off)
    assert {"Enter start", "Esc back", "? help"} <= hints_of(page)


def test_a_profile_is_tuned_on_its_page_and_the_best_is_kept(terminal, models, nvml_stub):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    tuning(screen)
    screen.keys("Enter")
    page = screen.wait("Done.", "best:", "tok/s", "p save best", fault=cut_off)
    assert {"p save best", "v plot", "n anew"} <= hints_of(page)
    assert watch.live_runs() == []
    screen.keys("p")
    screen.wait("the best settings are written")


@pytest.mark.parametrize(("key", "then"), [("Escape", "─walked ·"), ("C-q", "LEFT")])
def test_no_engine_is_left_when_a_tuning_is_left(terminal, models, nvml_stub, key, then):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    tuning(screen)
    screen.keys("Enter")
    wait_until(watch.live_runs, "a trial runs")
    screen.keys(key)
    screen.wait(then, gone="Tune walked")
    assert watch.live_runs() == []


def test_what_is_typed_in_one_go_is_text_from_its_first_letter(terminal, models, nvml_stub):
    nvml_stub(stub.MIXED)
    screen = terminal(80, 24)
    screen.wait(*COCKPIT)
    screen.keys("/", "q", "l", "BSpace", "BSpace", "b", "x", "BSpace", "e", "t")
    screen.wait("model     beta", " bet ")
    screen.keys("Escape")
    screen.wait("alpha", "model     beta")
    screen.keys("q")
    assert "Traceback" not in screen.wait("LEFT")
