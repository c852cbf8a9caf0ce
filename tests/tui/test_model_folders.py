"""Adding a folder to config.toml leaves what the user wrote as it is."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from rigtui.errors import UsageError
from rigtui.intent.config import load_config
from rigtui.paths import config_dir
from rigtui.tui.model_folders import add_folder, with_folder
from tools.refusal import refusal, showable
from tui.fakes.rigs import two_cards
from tui.fakes.world import World


def test_without_a_file_one_is_made_that_the_reader_follows(tmp_path):
    add_folder(str(tmp_path))
    assert load_config().models.folders == (str(tmp_path),)


def test_the_same_folder_twice_is_once(tmp_path):
    add_folder(str(tmp_path))
    before = (config_dir() / "config.toml").read_text()
    add_folder(str(tmp_path))
    assert (config_dir() / "config.toml").read_text() == before


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        add_folder(str(tmp_path / "nothing"))
    assert not (config_dir() / "config.toml").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '[models]\nfolders = ["/new"]\n'),
        ('theme = "x"\n', 'theme = "x"\n\n[models]\nfolders = ["/new"]\n'),
        ('theme = "x"', 'theme = "x"\n\n[models]\nfolders = ["/new"]\n'),
        ("[models]\n", '[models]\nfolders = ["/new"]\n'),
        ('# mine\n[models]  # here\nfolders = ["/old"]  # kept\n', '# mine\n[models]  # here\nfolders = ["/new", "/old"]  # kept\n'),
        ("[models]\nfolders = []\n", '[models]\nfolders = ["/new"]\n'),
        (
            '[models]\nfolders = [\n  "/a", # first\n]\n\n[engines]\nllama_server = "/x"\n',
            '[models]\nfolders = ["/new", \n  "/a", # first\n]\n\n[engines]\nllama_server = "/x"\n',
        ),
        ('[models]\n\n[engines]\nllama_server = "/x"\n', '[models]\nfolders = ["/new"]\n\n[engines]\nllama_server = "/x"\n'),
    ],
)
def test_the_text_keeps_comments_and_order(text, expected):
    assert with_folder(text, "/new") == expected


@pytest.mark.parametrize("text", ['models = {folders = ["/a"]}\n', 'models.folders = ["/a"]\n'])
def test_another_way_of_writing_it_is_left_alone_with_advice(text):
    with pytest.raises(UsageError, match="yourself"):
        with_folder(text, "/new")


def test_odd_characters_in_a_name_survive(tmp_path):
    folder = tmp_path / 'a "b" \\ ü'
    folder.mkdir()
    add_folder(str(folder))
    assert load_config().models.folders == (str(folder),)


@pytest.mark.parametrize("content", [b"\xff\xfe not text", b"[models\n"])
def test_a_configuration_that_cannot_be_read_is_named_and_left_as_it_is(content, tmp_path):
    path = config_dir() / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    said = refusal(lambda: add_folder(str(tmp_path)))
    assert str(path) in said and showable(said)
    assert path.read_bytes() == content


async def test_a_folder_that_is_none_is_told_in_the_dialog_which_keeps_what_was_typed(cockpit, home):
    world = World(two_cards())
    world.folders = type("Folders", (), {"append": staticmethod(add_folder)})
    (home / "gguf").mkdir()
    async with cockpit(world, size=(80, 24)) as screen:
        theme = screen.app.theme
        await screen.press("f")
        await screen.until(lambda: screen.app.screen.query(Input))
        await screen.press(*"~/gguft", "enter")
        await screen.until(lambda: "is not a folder" in screen.text())
        await screen.press("t", "backspace", "backspace", "enter")
        await screen.until(lambda: screen.app.screen is screen.app.cockpit)
        assert "~/gguf" in (config_dir() / "config.toml").read_text()
        assert screen.app.theme == theme
