"""What people use models for: shipped as data, extended by files of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rigtui.errors import UsageError
from rigtui.intent.use_cases import load_use_cases, read_use_cases, use_case, user_dir


def own(name: str, text: str) -> Path:
    user_dir().mkdir(parents=True, exist_ok=True)
    path = user_dir() / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "wanted", "least", "parallel", "batch", "ubatch"),
    [
        ("chat", 65536, 4096, 1, 2048, 512),
        ("coding", 65536, 8192, 1, 2048, 512),
        ("long", 262144, 32768, 1, 2048, 512),
        ("benchmark", 10240, 4096, 1, 512, 512),
        ("batch", 8192, 4096, 8, 2048, 512),
        ("embedding", None, None, 1, 2048, 512),
    ],
)
def test_what_ships(name: str, wanted: int | None, least: int | None, parallel: int, batch: int, ubatch: int) -> None:
    found = use_case(name)
    assert (found.context, found.context_least, found.parallel, found.batch, found.ubatch) == (wanted, least, parallel, batch, ubatch)
    assert found.name == name
    assert found.description
    assert found.embedding is (name == "embedding")


def test_every_shipped_use_case_is_named_in_the_table_above() -> None:
    assert set(load_use_cases()) == {"chat", "coding", "long", "benchmark", "batch", "embedding"}


def test_a_use_case_of_ones_own_is_added_and_may_replace_a_shipped_one() -> None:
    own("mine.toml", "[use_case.review]\ncontext = 131072\n[use_case.chat]\ncontext = 1000\n")
    assert use_case("review").context == 131072
    assert use_case("chat").context == 1000
    assert use_case("coding").context == 65536


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no use case `codin`; did you mean coding"):
        use_case("codin")
    with pytest.raises(UsageError, match="known are chat, coding"):
        use_case("zzz")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[use_case.x]\ncontxt = 1\n", "unknown key `contxt`.*did you mean `context`"),
        ("[use_cases.x]\ncontext = 1\n", "unknown key `use_cases`.*did you mean `use_case`"),
        ("[use_case.x]\ncontext = -5\n", "context` must be a whole number >= 1"),
        ("[use_case.x]\nparallel = 0\n", "parallel` must be"),
        ("[use_case.x]\ncontext = 10\ncontext_least = 20\n", "swap the two"),
        ('[use_case.x]\nkv_types = ["q8"]\n', "KV type `q8`.*did you mean q8_0"),
        ("[use_case.x]\nkv_types = []\n", "allows no KV type"),
        ('[use_case.x]\nname = "y"\n', "leave out the key `name`"),
        ("use_case = 3\n", "`use_case` must be a table"),
        ("[use_case]\nx = 3\n", "must be a table"),
        ('[use_case."a\\u001b[2Jb"]\n', "plain name"),
        ("what\n", "not valid TOML"),
    ],
)
def test_a_bad_file_is_named_and_skipped(text: str, sentence: str) -> None:
    path = own("bad.toml", text)
    own("good.toml", "[use_case.review]\n")
    found = read_use_cases()
    assert {"chat", "review"} <= set(found.known)
    assert "x" not in found.known
    (problem,) = found.problems
    assert str(path) in problem
    assert "\n" not in problem
    assert "\x1b" not in problem
    assert re.search(sentence, problem)


def test_a_bad_file_is_named_when_what_it_held_is_asked_for() -> None:
    path = own("bad.toml", "[use_case.review]\ncontxt = 1\n")
    with pytest.raises(UsageError, match=r"no use case `review`.*contxt") as caught:
        use_case("review")
    assert str(path) in str(caught.value)
