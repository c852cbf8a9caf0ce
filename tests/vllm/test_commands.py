"""vLLM on the command line: plans and previews as text and JSON, with their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rigtui.cli.main import main
from tools.make_safetensors import coder_27b, dense, write

RIGS = Path(__file__).parents[1] / "rigs"


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write(tmp_path_factory.mktemp("models") / "coder-27b", *coder_27b()))


def call(*words: str) -> int:
    try:
        return int(main(list(words)) or 0)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_a_plan_without_vllm_installed_says_why_in_words(coder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("plan", coder, "--engine", "vllm", "--use-case", "coding", "--rig", str(RIGS / "octo-3060.toml"), "--explain") == 0
    text = capsys.readouterr().out
    assert "fewest" in text
    assert "even split" in text
    assert "--gpu-memory-utilization" in text
    assert "vllm serve" in text
    assert "VLLM_PP_LAYER_PARTITION=" in text
    assert "FIT_TARGET" not in text


def test_the_json_has_the_contracts_fields(coder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("plan", coder, "--rig", str(RIGS / "dual-3090.toml"), "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["schema"], plan["engine"], plan["split_mode"]) == ("rigtui.plan/1", "vllm", "tensor")
    assert plan["fit_target_mib"] == []
    assert plan["engine_view"]["kv_tokens"] > plan["context"] > 0
    assert {"llama.cpp"} <= {other["engine"] for other in plan["alternatives"]}


def test_what_does_not_fit_ends_with_3_and_what_is_refused_with_1(coder: str, capsys: pytest.CaptureFixture[str]) -> None:
    rig = ("--rig", str(RIGS / "octo-3060.toml"), "preview", "--json", "--")
    assert call(*rig, "vllm", "serve", coder, "-pp", "2", "--max-model-len", "65536") == 3
    assert "LM head" in json.loads(capsys.readouterr().out)["reasons"][1]["text"]
    assert call(*rig, "vllm", "serve", coder, "-tp", "3") == 1
    refused = json.loads(capsys.readouterr().out)
    assert (refused["engine"], refused["engine_view"]["fit"]["status"]) == ("vllm", "refused")
    assert call(*rig, "VLLM_PP_LAYER_PARTITION=15,18,18,13", "vllm", "serve", coder, "-pp", "4", "--max-model-len", "8K") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [device["layers"] for device in plan["devices"]] == [15, 18, 18, 13]
    assert plan["context"] == 8192


def test_a_preview_says_for_which_vllm_it_holds(
    coder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one named, else the one installed, else the newest known; the verdict and the exit code are that one's."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    def preview(*before: str) -> tuple[int, str]:
        words = ("vllm", "serve", coder, "--max-model-len", "4096", "--gpu-memory-utilization", "0.85")
        code = call("--rig", str(RIGS / "one-4090.toml"), "preview", *before, "--", *words)
        return code, capsys.readouterr().out

    code, text = preview()
    assert code == 3
    assert "under vLLM 0.33, the newest that rigtui knows" in text
    assert "vLLM 0.33 does not start; --max-num-seqs" in text
    code, text = preview("--vllm-version", "0.19")
    assert code == 0
    assert "under vLLM 0.19, which you named" in text
    assert "does not start" not in text
    installed(tmp_path / "env", "0.18.1")
    code, text = preview()
    assert code == 0
    assert f"under vLLM 0.18.1, the one at {tmp_path / 'env' / 'bin' / 'vllm'}" in text
    assert call("--rig", str(RIGS / "one-4090.toml"), "preview", "--vllm-version", "new", "--", "vllm", "serve", coder) == 2
    assert "--vllm-version takes a version such as 0.19.1, not 'new'" in capsys.readouterr().err


def test_a_preview_finds_a_repository_that_is_downloaded(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = home / ".cache" / "huggingface" / "hub" / "models--someone--coder"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    write(repository / "snapshots" / "abc", *coder_27b())  # not a copy: that fills the holes of its weights, with 15 GB
    words = ("--max-model-len", "4096", "--enforce-eager")
    assert call("--rig", str(RIGS / "one-4090.toml"), "preview", "--", "vllm", "serve", "someone/coder", *words) == 0
    assert "requests of 4,096 at once" in capsys.readouterr().out


def installed(folder: Path, version: str) -> None:
    """An environment with a vLLM in it, as far as looking at names goes."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "vllm").write_text(f"#!{folder}/bin/python\n")
    (folder / "bin" / "vllm").chmod(0o755)
    (folder / "lib" / "python3.12" / "site-packages" / f"vllm-{version}.dist-info").mkdir(parents=True)


def test_a_refused_utilization_is_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(write(tmp_path / "m", *dense(8)))
    own = ("--engine-arg=--gpu-memory-utilization", "--engine-arg=0.99")
    assert call("plan", folder, "--rig", str(RIGS / "one-4090.toml"), *own) == 3
    assert "passes" in capsys.readouterr().out


def test_a_preview_of_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("vllm", "serve"), ("vllm", "serve", "owner/repo")):
        assert call("--rig", str(RIGS / "one-4090.toml"), "preview", "--", *words) == 2
        assert "\n" not in capsys.readouterr().err.strip()
