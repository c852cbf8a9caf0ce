"""A fault in rigtui itself: a sentence and a file, not a screen full of variables."""

from __future__ import annotations

import pytest

from rigtui import paths
from rigtui.errors import EXIT_FAILED
from rigtui.tui.fault import told
from tui.fakes.rigs import two_cards
from tui.fakes.world import World

SECRET = "hf_abcdef"


def broken(token: str) -> None:
    raise IndexError("list index \x1b[2J out of range")


def caught() -> IndexError:
    with pytest.raises(IndexError) as raised:
        broken(SECRET)
    return raised.value


def test_the_traceback_is_kept_in_a_file_that_is_named_without_the_values_of_variables(home):
    lines = told(caught(), "rigtui").splitlines()
    (kept,) = (paths.state_dir() / "faults").iterdir()
    assert str(kept) in lines and len(lines) == 4
    assert lines[0].endswith("IndexError: list index  out of range")
    written = kept.read_text()
    assert 'raise IndexError("list index' in written and SECRET not in written and "\x1b" not in written


def test_where_it_cannot_be_kept_that_is_said(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    assert "could not be kept: cannot write" in told(caught(), "rigtui")


async def test_what_is_worked_on_in_the_background_is_never_written_out(cockpit):
    done: list[bool] = []

    class Work:
        def __call__(self) -> None:
            done.append(True)

        def __repr__(self) -> str:
            raise AssertionError("with all models in it this takes longer than a key may")

    async with cockpit(World(two_cards())) as screen:
        screen.app.cockpit.background("work", Work())
        await screen.until(lambda: done)
        assert done == [True] and screen.told == ""


async def test_the_screen_ends_with_the_sentence_alone(cockpit, home, capsys):
    with pytest.raises(IndexError):
        async with cockpit(World(two_cards())) as screen:
            screen.app.call_later(broken, SECRET)
            screen.app.call_later(broken, SECRET)
            await screen.until(lambda: screen.app._exception)
    assert screen.app.return_code == EXIT_FAILED
    shown = capsys.readouterr().err
    assert "a fault in rigtui itself ended the screen" in shown and "Engines that serve go on" in shown
    assert len(shown.splitlines()) <= 8 and SECRET not in shown
