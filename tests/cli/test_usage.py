"""What is said to a command line that cannot be understood."""

from __future__ import annotations

import pytest

from rigtui.cli.main import main
from rigtui.cli.parser import parse


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan x --explian", "unrecognized arguments: --explian (did you mean --explain?); `rigtui plan --help`"),
        ("--read-onli run x", "unrecognized arguments: --read-onli (did you mean --read-only?); `rigtui run --help`"),
        ("gpus --jsn=1", "unrecognized arguments: --jsn=1 (did you mean --json?); `rigtui gpus --help`"),
        ("gpus nothing", "unrecognized arguments: nothing; `rigtui gpus --help`"),
        ("ps --al", "unrecognized arguments: --al (did you mean --all?); `rigtui ps --help`"),
        ("modles", "there is no command 'modles' (did you mean models?); `rigtui --help`"),
        ("--read-only docter --json", "there is no command 'docter' (did you mean doctor?); `rigtui --help`"),
        ("plan x --engine vlm", "'vllm', 'ollama') (did you mean vllm?); `rigtui plan --help`"),
        ("zzz", "there is no command 'zzz' (there are gpus, models, plan, "),
        ("--zzz", "unrecognized arguments: --zzz; `rigtui --help`"),
    ],
)
def test_an_option_that_is_not_there_is_told_its_nearest_and_where_to_look(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words.split())
    assert left.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "meant"), [("64k", 65536), ("32K", 32768), ("50,000", 50000), ("auto", "auto")])
def test_a_context_is_taken_as_people_write_it(typed: str, meant: int | str) -> None:
    assert parse(["plan", "x", "--context", typed]).context == meant


@pytest.mark.parametrize("typed", ["many", "0", "0k", "-64k", "1.5k", "64kb"])
def test_what_is_no_context_is_told_in_one_sentence(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", "x", f"--context={typed}"])
    assert left.value.code == 2
    said = f"argument --context: '{typed}' is neither a number of tokens such as 65536 or 64k nor auto"
    assert capsys.readouterr().err.count(said) == 1
