"""Keys from one registry: how they are written and read, the user's keymap, and the places that show them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rigtui.paths import config_dir
from rigtui.tui.actions import ACTIONS, BY_ID, PLACES
from rigtui.tui.keymap import read_keymap
from rigtui.tui.keys import Keys, clashes, key_text, parse_key, together
from rigtui.tui.palette import ActionCommands
from rigtui.tui.screens.help import help_lines
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

DOC = Path(__file__).parents[2] / "docs" / "keys.md"


def written(text: str) -> Path:
    path = config_dir() / "keymap.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "key", "shown"),
    [
        ("l", "l", "l"),
        ("L", "L,shift+l", "L"),
        ("[", "left_square_bracket", "["),
        ("-", "minus", "-"),
        ("/", "slash", "/"),
        ("=", "equals_sign", "="),
        ("question_mark", "question_mark", "?"),
        ("F5", "f5", "F5"),
        ("Esc", "escape", "Esc"),
        ("Ctrl+L", "ctrl+l", "^l"),
        ("shift+up", "shift+up", "shift+↑"),
        ("ctrl+[", "ctrl+left_square_bracket", "^["),
        ("PgDn", "pagedown", "PgDn"),
    ],
)
def test_a_key_is_written_as_people_write_it(text, key, shown):
    assert parse_key(text) == key
    assert key_text(key.split(",")[0]) == shown


@pytest.mark.parametrize("text", ["", "crtl+l", "launch", "f99", "ctrl+", "é", "\x1b"])
def test_what_no_keyboard_has_is_no_key(text):
    assert parse_key(text) is None


def test_every_action_has_an_id_of_its_own_a_known_place_and_known_keys():
    assert len(BY_ID) == len(ACTIONS)
    for action in ACTIONS:
        assert action.screen in PLACES, action.id
        assert all(parse_key(key) for key in action.keys.split(",")), action.id
        assert action.help.endswith("."), action.id
    for at, one in enumerate(ACTIONS):
        for other in ACTIONS[at + 1 :]:
            shared = set(one.keys.split(",")) & set(other.keys.split(","))
            assert not shared or not together(one.screen, other.screen), (one.id, other.id, shared)


def test_a_keymap_may_be_written_with_or_without_quotes_and_swap_two_keys():
    written('engine.launch = "s"\n"engine.stop" = ["l", "F9"]\n')
    keys, problems = read_keymap()
    assert problems == ()
    assert (keys.of("engine.launch"), keys.of("engine.stop"), keys.shown("engine.stop")) == ("s", "l,f9", "l")
    assert clashes(keys) == []


def test_what_cannot_be_followed_is_named_and_the_rest_holds():
    path = written(
        'engine.lanch = "x"\nengine.stop = "crtl+s"\nplan.kv_type = 3\nengine.ask = "u"\ndoctor.copy = "Y"\ncards.copy = "q"\nnoise = "z"\n'
    )
    keys, problems = read_keymap()
    told = "\n".join(problems)
    assert "there is no action `engine.lanch`; did you mean `engine.launch`?" in told
    assert "`engine.stop` cannot be on `crtl+s`" in told
    assert "`plan.kv_type` must be a key or a list of keys" in told
    assert "`engine.ask` and `plan.use_case` would both be on `u`" in told
    assert "`cards.copy` and `page.close` would both be on `q`" in told
    assert "there is no action `noise`" in told
    assert all(str(path) in problem for problem in problems) and len(problems) == 6
    assert keys.own == {"doctor.copy": "Y,shift+y"}


def test_a_keymap_that_is_no_toml_is_named_and_no_file_is_no_keymap():
    assert read_keymap() == (Keys(), ())
    path = written("engine.launch = \n")
    keys, (problem,) = read_keymap()
    assert keys == Keys() and str(path) in problem


async def test_the_users_key_works_and_is_the_one_that_is_shown_everywhere(cockpit):
    written('engine.ask = "b"\nplan.use_case = "e"\nchoices.more = "."\napp.help = "F1"\n')
    world = World(two_cards())
    world.runs = (run_state("a"),)
    async with cockpit(world, keymap=read_keymap()) as screen:
        await screen.until(lambda: screen.state.run)
        assert "b ask" in screen.text() and "b asks a test question" in screen.text() and "F1 help" in screen.text()
        before = screen.state.use_case
        await screen.press("u")
        assert screen.state.use_case == before
        await screen.press("e")
        assert screen.state.use_case == before + 1
        await screen.press("w", "full_stop")
        await screen.until(lambda: screen.state.overrides.parallel == 2)
        await screen.press("b")
        await screen.until(lambda: "Ask" in screen.text())


async def test_keys_that_cannot_be_followed_are_told_at_the_start(cockpit):
    written('engine.lanch = "x"\n')
    async with cockpit(World(two_cards()), keymap=read_keymap()) as screen:
        await screen.until(lambda: "did you mean `engine.launch`" in screen.told)
        assert screen.state.keys.of("engine.launch") == "l", "what cannot be followed changes nothing"


@pytest.mark.parametrize("place", [place for place in PLACES if place not in ("page", "app")])
def test_the_help_of_a_place_names_each_of_its_keys(place):
    shown = "\n".join(line.plain for line in help_lines(60, Keys(), place, "app"))
    for action in ACTIONS:
        if action.screen in (place, "app"):
            assert re.search(rf"^  {re.escape(key_text(action.keys.split(',')[0]))}\s", shown, re.MULTILINE), action.id
    assert max(len(line) for line in shown.splitlines()) <= 60


async def test_help_fits_the_place_it_is_asked_from(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await screen.press("question_mark")
        await screen.until(lambda: "Launch the engine as the plan says" in " ".join(screen.text().split()))
        await screen.press("escape", "w", "question_mark")
        await screen.until(lambda: "Let rigtui decide this one again" in screen.text())
        await screen.press("escape", "d")
        await screen.until(lambda: "FAILED" in screen.text())
        await screen.press("question_mark")
        await screen.until(lambda: "Look at everything again" in screen.text())
        assert "Launch the engine" not in screen.text() and "Back to the cockpit" in screen.text()


def test_the_page_of_the_keys_names_every_action_with_its_keys():
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", DOC.read_text(), re.MULTILINE))
    assert rows == {action.id: " ".join(dict.fromkeys(f"`{key_text(key)}`" for key in action.keys.split(","))) for action in ACTIONS}


async def test_no_two_entries_of_the_palette_read_alike_but_for_their_key(cockpit):
    async with cockpit(World(two_cards())) as screen:
        entries = [hit.text.rpartition(" (")[0] async for hit in ActionCommands(screen.app.screen).discover()]
        assert len(set(entries)) == len(entries) and {"plan: the next use case", "plan: the use case before"} <= set(entries)
