"""What is said to a command line that cannot be understood."""

from __future__ import annotations

import pytest

from rigtui.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan x --explian", "unrecognized arguments: --explian (did you mean --explain?); `rigtui plan --help`"),
        ("--read-onli run x", "unrecognized arguments: --read-onli (did you mean --read-only?); `rigtui run --help`"),
        ("gpus --jsn=1", "unrecognized arguments: --jsn=1 (did you mean --json?); `rigtui gpus --help`"),
        ("gpus nothing", "unrecognized arguments: nothing; `rigtui gpus --help`"),
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
