"""The theme chosen on the screen holds at the next start; a picture of the screen finds a place in any home."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.errors import UsageError
from rigtui.intent.config import load_config
from rigtui.paths import config_dir, state_dir
from rigtui.tui.kept_theme import keep_theme, with_theme
from tui.fakes.rigs import two_cards
from tui.fakes.world import World

OWN = """# mine
[models]
folders = ["/data"]  # big disk
"""


def test_a_theme_is_kept_without_touching_what_stands_there():
    config_dir().mkdir(parents=True)
    path = config_dir() / "config.toml"
    path.write_text(OWN)
    keep_theme("rigtui-light")
    assert path.read_text().endswith(OWN) and load_config().theme == "rigtui-light"
    keep_theme("nord")
    assert path.read_text() == f'theme = "nord"\n{OWN}'


@pytest.mark.parametrize("line", ["theme = 'dracula'   # at night", 'theme="dracula"   # at night'])
def test_another_theme_takes_the_place_of_the_first_and_its_comment_stays(line):
    assert with_theme(f"# top\n{line}\n", "nord").splitlines()[1].endswith('"nord"   # at night')


def test_a_file_it_cannot_follow_stays_as_it_is():
    with pytest.raises(UsageError, match='write theme = "nord"'):
        with_theme('"theme" = "dracula"\n', "nord")
    with pytest.raises(UsageError, match="not valid TOML"):
        with_theme("theme = \n", "nord")


async def test_the_theme_chosen_in_the_picker_is_kept(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await screen.press("t")
        await screen.until(lambda: "Search for themes" in screen.text())
        await screen.press(*"nord", "enter")
        await screen.until(lambda: world.themes == ["nord"])
        assert screen.app.theme == "nord"


async def test_a_screen_that_only_shows_keeps_no_theme(cockpit):
    world = World(two_cards())
    async with cockpit(world, read_only=True) as screen:
        screen.app.theme = "nord"
        await screen.until(lambda: screen.app._shown_theme == "nord")
        assert world.themes == []


@pytest.mark.parametrize("folder", ["Pictures", "Downloads", None])
async def test_a_picture_finds_a_place_and_that_is_told(cockpit, monkeypatch, tmp_path, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    if folder:
        (tmp_path / folder).mkdir()
    expected: Path = tmp_path / folder if folder else state_dir() / "pictures"
    async with cockpit(World(two_cards())) as screen:
        screen.app.deliver_screenshot()
        await screen.until(lambda: str(expected) in screen.told)
        assert len(list(expected.glob("rigtui*.svg"))) == 1
