"""`--read-only` on the command line: whatever launches, stops or writes is refused, whatever shows is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigtui.cli.commands import COMMANDS
from rigtui.cli.main import main
from rigtui.cli.read_only import CHANGES
from rigtui.runs import watch
from tools.make_gguf import tiny_llama

SHOWS = {"gpus", "models", "preview", "ps", "logs", "results", "doctor"}


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return str(tiny_llama(tmp_path / "tiny.gguf"))


@pytest.mark.parametrize(
    "words",
    [
        "run MODEL --detach", "run MODEL", "plan MODEL --verify", "stop x", "stop --all", "step x 1", "profiles edit gpt-oss-20b",
        "profiles remove x", "tune x", "forget x", "import x.conf", "export gpt-oss-20b --to sh -o FILE", "rig save FILE",
        "serve --allow-control", "demo --headless",
    ],
)  # fmt: skip
def test_what_would_change_something_is_refused(words: str, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    named = {"MODEL": tiny, "FILE": str(tmp_path / "written")}
    assert main(["--read-only", *(named.get(word, word) for word in words.split())]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("rigtui: with --read-only nothing is launched, stopped or written")
    assert sorted(tmp_path.rglob("*")) == before
    assert watch.all_runs() == []


@pytest.mark.parametrize(("words", "instead"), [("plan MODEL --verify", "leave out --verify"), ("stop x", "leave out --read-only")])
def test_a_refusal_says_what_to_leave_out(words: str, instead: str, tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--read-only", *(tiny if word == "MODEL" else word for word in words.split())]) == 2
    assert capsys.readouterr().err.endswith(f"; {instead}\n")


@pytest.mark.parametrize("words", ["run MODEL --dry-run", "plan MODEL", "ps", "profiles", "profiles show gpt-oss-20b", "gpus"])
def test_what_only_shows_works(words: str, tiny: str) -> None:
    assert main(["--read-only", *(tiny if word == "MODEL" else word for word in words.split())]) == 0


@pytest.mark.parametrize(
    "words", ["models FOLDER", "plan MODEL", "run MODEL --dry-run", "gpus", "ps", "doctor", "results tiny", "profiles"]
)
def test_what_only_shows_leaves_no_file_behind(words: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    before = sorted(tmp_path.rglob("*"))
    named = {"MODEL": tiny, "FOLDER": str(tmp_path)}
    main(["--read-only", *(named.get(word, word) for word in words.split())])
    assert sorted(tmp_path.rglob("*")) == before
    main([named.get(word, word) for word in ("models", "FOLDER")])
    assert sorted(tmp_path.rglob("*")) != before, "without it the headers are kept"


def test_every_command_is_known_to_change_something_or_to_show_only() -> None:
    assert set(COMMANDS) == CHANGES.keys() | SHOWS
    assert not CHANGES.keys() & SHOWS
