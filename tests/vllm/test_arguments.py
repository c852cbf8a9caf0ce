"""What arguments of `vllm serve` mean for a plan, in every spelling people use."""

from __future__ import annotations

import pytest

from rigtui.engines.vllm.arguments import partition_of, read
from rigtui.errors import UsageError


@pytest.mark.parametrize(
    ("words", "tokens"),
    [("4096", 4096), ("32k", 32000), ("32K", 32768), ("1.5k", 1500), ("1M", 1 << 20)],
)
def test_lengths_as_vllm_reads_them(words: str, tokens: int) -> None:
    assert read(("--max-model-len", words)).context == tokens
    assert read((f"--max_model_len={words}",)).context == tokens


def test_automatic_length_is_not_a_number() -> None:
    for words in ("auto", "-1"):
        own = read((f"--max-model-len={words}",))
        assert (own.context, own.context_auto) == (None, True)


def test_every_spelling_of_a_division_and_of_no_graphs() -> None:
    assert read(("-tp", "2", "-pp=3")).tensor_parallel == 2
    assert read(("-tp", "2", "-pp=3")).stages == 3
    for words in (("--enforce-eager",), ("-O0",), ("-cc.cudagraph_mode=NONE",)):
        assert read(words).eager is True
    assert read(("--no-enforce-eager",)).eager is False
    assert read(("-O2",)).eager is None


def test_the_last_one_wins_and_strangers_are_passed_over() -> None:
    own = read(("/models/m", "--max-num-seqs", "8", "--served-model-name", "m", "--max-num-seqs=4", "--trust-remote-code", "--seed", "1"))
    assert (own.model, own.sequences) == ("/models/m", 4)
    assert {"--max-num-seqs", "--served-model-name", "--trust-remote-code", "--seed"} <= own.flags


@pytest.mark.parametrize(
    "words",
    [("--max-model-len", "many"), ("--gpu-memory-utilization", "1.2"), ("--gpu-memory-utilization=x",), ("--max-num-seqs", "0")],
)
def test_a_number_that_is_none_is_one_sentence(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        read(words)


def test_a_partition_is_checked_as_vllm_would() -> None:
    assert partition_of(None, 2, 10) is None
    assert partition_of("4,6", 2, 10) == (4, 6)
    for text, words in (("4,5", "adds up to 9"), ("10", "names 1 stages"), ("a,b", "such as 20,12"), ("-1,11", "adds up")):
        with pytest.raises(UsageError, match=words):
            partition_of(text, 2, 10)
