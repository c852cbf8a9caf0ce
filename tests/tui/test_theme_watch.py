"""Themes follow their files while the screen is open."""

from __future__ import annotations

import pytest

from rigtui.paths import config_dir
from rigtui.tui.app import RigtuiApp
from rigtui.tui.theme_watch import ThemeWatch
from tui.fakes.rigs import two_cards
from tui.fakes.world import World


def write(name: str, text: str) -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text)


def test_nothing_is_read_until_a_file_comes_changes_or_goes(tmp_path):
    watch = ThemeWatch([tmp_path])
    assert watch.changed() is None
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nprimary = "#112233"\n')
    assert [theme.name for theme in watch.changed().themes] == ["mine"]
    assert watch.changed() is None
    path.write_text('name = "mine"\nprimary = "nocolour"\n')
    assert "mine.toml" in watch.changed().problems[0]
    path.unlink()
    assert watch.changed().themes == ()


async def test_the_theme_in_use_is_drawn_anew_and_a_bad_file_is_named(cockpit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RigtuiApp, "theme_interval_s", 0.05)
    write("mine", 'name = "mine"\nprimary = "#112233"\n')
    async with cockpit(World(two_cards()), theme="mine") as screen:
        assert screen.app.theme_variables["primary"].lower() == "#112233"
        write("mine", 'name = "mine"\nprimary = "#445566"\nsecondary = "#000000"\n')
        await screen.until(lambda: screen.app.theme_variables["primary"].lower() == "#445566")
        write("mine", 'name = "mine"\nprimary = "#44556"\n# being written\n')
        await screen.until(lambda: "mine.toml" in screen.told and "left out" in screen.told)
        assert screen.app.theme_variables["primary"].lower() == "#445566", "the last good one stays"
        write("other", 'name = "other"\nprimary = "#778899"\n')
        await screen.until(lambda: "other" in screen.app.available_themes)
