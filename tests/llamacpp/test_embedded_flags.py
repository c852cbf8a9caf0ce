"""The embedded engine takes llama-server's flags with llama-server's defaults, and refuses every other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui.engines.llamacpp.abilities import parse_options
from rigtui.engines.llamacpp.embedded_flags import FLAGS, FlagError, Settings, parse, usage


def test_nothing_but_a_model_gives_llama_server_s_defaults() -> None:
    settings = parse(["-m", "x.gguf"])
    assert settings == Settings(model="x.gguf")
    assert (settings.host, settings.port, settings.parallel, settings.batch_size, settings.ubatch_size) == (
        ("127.0.0.1",),
        8080,
        -1,
        2048,
        512,
    )
    assert (settings.ctx_size, settings.fit, settings.fit_ctx, settings.cache_ram_mib, settings.verbosity) == (None, True, 4096, 8192, 3)


def test_flags_mean_what_llama_server_means() -> None:
    words = "-m x -c 0 -np 2 -ub 256 -fit off -fitt 128,1024 -fa on -ctk q8_0 -ctv q4_0 -ngl all -sm none -mg 1 -ts 3/1 -t 4"
    words += " -lm none --no-warmup --metrics --no-slots --alias a,b --api-key k1,k2 --pooling mean"
    words += " --embeddings -lv 4 --no-kv-offload -kvu -dev none --port 0"
    settings = parse(words.split())
    assert (settings.ctx_size, settings.parallel, settings.ubatch_size, settings.fit, settings.fit_target_mib) == (
        0,
        2,
        256,
        False,
        (128, 1024),
    )
    assert (settings.flash_attn, settings.cache_type_k, settings.cache_type_v, settings.gpu_layers) == ("on", "q8_0", "q4_0", -2)
    assert (settings.split_mode, settings.main_gpu, settings.tensor_split, settings.load_mode) == ("none", 1, (3.0, 1.0), "none")
    assert (settings.warmup, settings.metrics, settings.slots, settings.alias, settings.api_keys) == (
        False,
        True,
        False,
        ("a", "b"),
        ("k1", "k2"),
    )
    assert (settings.kv_offload, settings.kv_unified, settings.devices, settings.port) == (False, True, ("none",), 0)
    # The last one wins, as with llama-server; keys add up.
    last = parse(["-m", "x", "-c", "1", "-c", "2", "--api-key", "a", "--api-key", "b"])
    assert (last.ctx_size, last.api_keys) == (2, ("a", "b"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-m x --no-mmap", "invalid argument: --no-mmap"),
        ("-m x -ot a=CPU", "invalid argument: -ot"),
        ("-m x --log-jsonl", "invalid argument: --log-jsonl"),
        ("-m x --ctx-size=4096", "invalid argument: --ctx-size=4096"),
        ("-m x -c", "expected value for argument: -c"),
        ("-m x -c 4k", '"-c": its value must be a whole number from 0'),
        ("-m x -c ١", '"-c"'),
        ("-m x --port 70000", "from 0 to 65535"),
        ("-m x -ctk f8", "one of f32, f16"),
        ("-m x -sm row", "one of none, layer"),
        ("-m x -ts 0,nan", "shares such as 3,1"),
        ("-m x -fitt 1,,2", "whole number"),
        ("-m x --api-key-file /none", "a readable file"),
        ("-c 4096", "no model given"),
        ("", "no model given"),
    ],
)
def test_anything_else_is_refused(words: str, why: str) -> None:
    with pytest.raises(FlagError) as raised:
        parse(words.split())
    assert why in str(raised.value)


def test_a_key_is_never_repeated(tmp_path: Path) -> None:
    for words in (["--api-key", "a", "SECRET"], ["--api-key-file", "SECRET"], ["-m", "SECRET\x1b"]):
        with pytest.raises(FlagError) as raised:
            parse([*words, "--bad"])
        assert "SECRET" not in str(raised.value)
    keys = tmp_path / "keys"
    keys.write_text("one\n\ntwo\n")
    assert parse(["-m", "x", "--api-key-file", str(keys)]).api_keys == ("one", "two")


def test_help_is_read_like_llama_server_s() -> None:
    assert parse_options(usage()) == {name for flag in FLAGS for name in flag.names}
    # A head that reaches into the column of the texts has its text on the next line.
    assert f"\n-ctxcp,--ctx-checkpoints, --swa-checkpoints N\n{' ' * 40}context checkpoints" in usage()
    assert f"\n{'-m,    --model FNAME':<40}model to load" in usage()


@given(st.lists(st.one_of(st.sampled_from([name for flag in FLAGS for name in flag.names]), st.text(max_size=12))))
def test_no_words_break_the_parser(words: list[str]) -> None:
    try:
        parse(words)
    except FlagError as error:
        assert "\n" not in str(error)
