"""The outer contracts of `plan`, `preview` and the command line itself: keys, exit codes, one sentence for whatever is wrong."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rigtui.cli.main import main
from tools.make_gguf import model_file, tiny_llama

RIG = str(Path(__file__).parents[1] / "rigs" / "golden-4090-5070ti.toml")
PLAN_KEYS = {
    "schema", "status", "engine", "engine_build", "model", "use_case", "context", "context_per_slot", "parallel", "kv_type", "split_mode",
    "devices", "host", "engine_view", "basis", "fit_target_mib", "command", "env", "expected", "reasons", "warnings", "alternatives",
}  # fmt: skip
DEVICE_KEYS = {
    "device", "kind", "endpoint", "uuid", "name", "layers", "first_layer", "output", "weights_bytes", "kv_bytes", "compute_bytes",
    "floor_bytes", "used_bytes", "free_before_bytes", "free_after_bytes", "headroom_bytes",
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_llama(tmp_path / "tiny.gguf")


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    assert main(list(argv)) == code
    return json.loads(capsys.readouterr().out)


def test_plan_json_is_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model_file("qwen3-32b-q4_k_m", tmp_path)
    plan = said(capsys, "--rig", RIG, "plan", str(path), "--use-case", "coding", "--json")
    assert set(plan) == PLAN_KEYS
    assert plan["schema"] == "rigtui.plan/1"
    assert set(plan["model"]) == {"name", "path", "architecture", "layers", "weights_bytes", "context_trained", "experts"}
    assert [set(device) for device in plan["devices"]] == [DEVICE_KEYS] * 2
    assert set(plan["host"]) == {"weights_bytes", "kv_bytes", "compute_bytes", "offloaded_layers"}
    assert set(plan["engine_view"]) == {"ngl", "tensor_split", "override_tensor", "pipeline_parallel", "flash_attention", "slots", "fit"}
    assert set(plan["engine_view"]["fit"]) == {"status", "message"}
    assert set(plan["expected"]) == {"decode_tok_s", "prefill_tok_s", "basis"}
    assert all(set(reason) == {"code", "text"} for reason in plan["reasons"] + plan["warnings"])
    assert all(set(other) == {"engine", "summary", "status", "context", "expected"} for other in plan["alternatives"])
    assert plan["fit_target_mib"] == [128, 1024]
    assert plan["status"] == "fits"


def test_global_options_stand_before_or_after_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(model_file("llama-3.1-8b-q4_k_m", tmp_path))
    assert said(capsys, "--rig", RIG, "plan", path, "--json") == said(capsys, "plan", path, "--json", "--rig", RIG)


def test_options_reach_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(model_file("llama-3.1-8b-q4_k_m", tmp_path))
    options = [
        "--context",
        "8192",
        "--parallel",
        "2",
        "--kv-type",
        "q8_0,f16",
        "--gpus",
        "1,0",
        "--fit-target",
        "300,400",
        "--ubatch",
        "256",
    ]
    plan = said(capsys, "--rig", RIG, "plan", path, "--json", *options, "--engine-arg=--no-warmup", "--engine-arg", "7")
    assert (plan["context"], plan["context_per_slot"], plan["parallel"]) == (16384, 8192, 2)
    assert plan["kv_type"] == ["q8_0", "f16"]
    assert plan["fit_target_mib"] == [300, 400]
    assert [device["device"] for device in plan["devices"]] == ["CUDA1", "CUDA0"]
    assert plan["command"][-2:] == ["--no-warmup", "7"]
    assert "CUDA1,CUDA0" in plan["command"]


def test_plan_as_text_gives_reasons_and_what_else_would_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(model_file("qwen3-32b-q4_k_m", tmp_path))
    assert main(["--rig", RIG, "plan", path, "--explain"]) == 0
    text = capsys.readouterr().out
    for word in ("FITS", "FIT_TARGET 128,1024", "why", "instead", "llama-server"):
        assert word in text
    # The command at the end is for copying; all else is read at 80 columns.
    assert all(len(line) <= 110 for line in text.splitlines()[:8])


def test_an_estimate_that_could_not_be_verified_does_not_advise_to_verify(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    advice = "estimated: rigtui's own arithmetic; --verify asks the engine"
    assert main(["--rig", RIG, "plan", str(tiny)]) == 0
    assert advice in capsys.readouterr().out
    assert main(["--rig", RIG, "plan", str(tiny), "--verify"]) == 0
    said = capsys.readouterr().out
    assert "estimated: rigtui's own arithmetic\n" in said
    assert "--verify asks" not in said


def test_columns_of_a_plan_stand_apart_however_large_a_number_is(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rig", RIG, "plan", str(tiny), "--context", "2000000000", "--parallel", "100"]) == 3
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.startswith("MiB"))
    *cards, ram = (line for line in lines if line.startswith(("CUDA", "RAM ")))
    assert max(len(number) for number in ram.split()) > 9, "a size beyond what the columns are made for"
    assert len(ram.split()) == 5
    assert len(cards) == 2
    assert all(len(line) == len(head) and line[21] == " " and len(line[22:].split()) == 7 for line in cards)


def test_no_fit_is_exit_3_with_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = tmp_path / "small.toml"
    rig.write_text('[rig]\nname = "small"\nplatform = "linux"\nram_total_mib = 8000\nram_free_mib = 6000\n')
    plan = said(capsys, "--rig", str(rig), "plan", str(model_file("llama-3.3-70b-q4_k_m", tmp_path)), "--json", code=3)
    assert plan["status"] == "no_fit"
    assert "RAM" in plan["reasons"][0]["text"]


def test_preview_follows_a_command_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(model_file("llama-3.3-70b-q4_k_m", tmp_path))
    words = ["llama-server", "-m", path, "-c", "131072", "-ngl", "99"]
    plan = said(capsys, "--rig", RIG, "preview", "--json", "--", *words, code=3)
    assert set(plan) == PLAN_KEYS
    assert plan["command"] == words
    assert plan["engine_view"]["fit"] == {"status": "failed", "message": "n_gpu_layers already set by user to 99, abort"}


@pytest.mark.parametrize(
    "more", [["-dev", "CUDA7"], ["-ctv", "q8_0", "-fa", "off"], ["-c", "many"], ["-ctk", "q9"], ["-m", "/nowhere.gguf"], ["-fa"]]
)
def test_preview_of_what_llama_server_refuses_is_exit_1_with_the_reason(
    more: list[str], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = said(capsys, "--rig", RIG, "preview", "--json", "--", "llama-server", "-m", str(tiny), *more, code=1)
    assert refused["engine_view"]["fit"]["status"] == "refused"
    assert refused["engine_view"]["fit"]["message"]


@pytest.mark.parametrize(("folder", "rig", "told"), [("bin", [], True), ("bin", ["--rig", RIG], False), ("other", [], False)])
def test_preview_says_what_the_engine_found_here_does_not_know(
    folder: str, rig: list[str], told: bool, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a program that is not the one found, and on a rig that is only described, nothing is known."""
    for place in ("bin", "other"):
        server = tmp_path / place / "llama-server"
        server.parent.mkdir()
        server.write_text("#!/bin/sh\nprintf -- '--model M\\n--port P\\n--list-devices\\nversion: 7 (abc)\\n'\n")
        server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    command = [str(tmp_path / folder / "llama-server"), "-m", str(tiny), "-cc", "4"]
    plan = said(capsys, *rig, "preview", "--json", "--", *command)
    found = [warning["text"] for warning in plan["warnings"] if warning["code"] == "unknown_option"]
    assert found == (["llama-server b7 (CPU only) does not know -cc and will not start with that"] if told else [])


def test_preview_follows_the_variables_of_a_printed_plan(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["env", "CUDA_VISIBLE_DEVICES=1", "LLAMA_ARG_CTX_SIZE=2048", "llama-server", "-m", str(tiny), "-np", "1"]
    plan = said(capsys, "--rig", RIG, "preview", "--json", "--", *words)
    assert [device["name"] for device in plan["devices"]] == ["NVIDIA GeForce RTX 5070 Ti"]
    assert plan["context"] == 2048
    assert plan["env"] == {"CUDA_VISIBLE_DEVICES": "1", "LLAMA_ARG_CTX_SIZE": "2048"}


def test_slots_that_share_a_cache_are_not_promised_all_of_it_each(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rig", RIG, "preview", "--", "llama-server", "-m", str(tiny), "-c", "4096"]) == 0
    assert "4,096 tokens of context shared by 4 requests" in capsys.readouterr().out
    assert main(["--rig", RIG, "preview", "--", "llama-server", "-m", str(tiny), "-c", "4096", "-np", "4"]) == 0
    assert "1,024 tokens of context for each of 4 requests" in capsys.readouterr().out


def test_a_shipped_profile_does_not_hide_a_model_of_its_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "models").mkdir()
    tiny_llama(home / "models" / "qwen3-32b.gguf", name="Qwen3-32b")
    assert said(capsys, "plan", "qwen3-32b", "--json")["model"]["path"] == str(home / "models" / "qwen3-32b.gguf")


def test_a_profile_may_name_its_model_as_it_is_called_here(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "models").mkdir()
    file = tiny_llama(home / "models" / "small-q8.gguf")
    (tmp_path / "mine.toml").write_text('[profile]\nname = "mine"\nmodel = "small-q8"\n')
    assert said(capsys, "--rig", RIG, "--profiles-dir", str(tmp_path), "plan", "mine", "--json")["model"]["path"] == str(file)


def test_a_dry_run_is_json_when_asked(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = said(capsys, "run", str(tiny), "--dry-run", "--json")
    assert dry["schema"] == "rigtui.run/1"
    assert str(tiny) in dry["command"]


def test_an_exported_models_conf_comes_back_to_the_same_model(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profiles = ["--profiles-dir", str(tmp_path / "profiles")]
    conf = tmp_path / "elsewhere" / "models.conf"
    conf.parent.mkdir()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text(f'[profile]\nname = "mine"\nmodel = "{tiny}"\n')
    assert main([*profiles, "--rig", RIG, "export", "mine", "--to", "models.conf", "-o", str(conf)]) == 0
    assert main([*profiles, "import", str(conf), "--replace"]) == 0
    capsys.readouterr()
    assert said(capsys, *profiles, "--rig", RIG, "plan", "mine", "--json")["model"]["path"] == str(tiny)


def gguf(entries: int = 1, key_length: int = 4) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, entries) + struct.pack("<Q", key_length) + b"name"


BAD = {
    "truncated.gguf": None,
    "text.gguf": b"this is a text file\n" * 100,
    "empty.gguf": b"",
    "string.gguf": gguf(key_length=2 << 30),
    "entries.gguf": gguf(entries=1 << 60),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_file_is_one_sentence(name: str, tiny: Path, tmp_path: Path) -> None:
    content = BAD[name]
    path = tmp_path / name
    path.write_bytes(tiny.read_bytes()[:2000] if content is None else content)
    done = subprocess.run([sys.executable, "-m", "rigtui", "plan", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("rigtui: ")
    assert len(done.stderr.strip().splitlines()) == 1


TWO = "".join(f'[[gpu]]\nname = "{name}"\ntotal_mib = 9000\nfree_mib = 8000\n' for name in "AB")


@pytest.mark.parametrize(
    ("files", "argv", "code", "words"),
    [
        ({"p.toml": '[profile]\nname = "p"\nmodell = "x"\n'}, ["run", "p"], 2, "model"),
        ({"p.toml": '[profile]\nname = "p"\nmodel = "/nowhere/x.gguf"\n'}, ["run", "p"], 4, "/nowhere/x.gguf"),
        ({"p.toml": '[profile]\nname = "p"\nmodel = "hf:a/b:Q4_K_M"\n'}, ["plan", "p"], 4, "hf download a/b"),
        (
            {"r.toml": '[rig]\nname = "r"\nplatform = "linux"\n[[gpu]]\nname = "A"\ntotal_mib = -5\n'},
            ["--rig", "r.toml", "gpus"],
            2,
            "total_mib",
        ),
        ({"r.toml": "[rig"}, ["--rig", "r.toml", "gpus"], 2, "r.toml"),
        ({}, ["--rig", "missing.toml", "gpus"], 2, "missing.toml"),
        ({}, ["plan"], 2, "MODEL"),
        ({}, ["plan", "x", "--context", "-4"], 2, "--context"),
        ({}, ["plan", "x", "--use-case", "codding"], 2, "coding"),
        ({}, ["plan", "x", "--fit-target", "-1"], 2, "--fit-target"),
        ({}, ["plan", "x", "--fit-target", "128,-1"], 2, "--fit-target"),
        ({}, ["plan", "x", "--fit-target", "99999999999"], 2, "--fit-target"),
        ({"r.toml": TWO}, ["--rig", "r.toml", "plan", "x.gguf", "--gpus", "0,"], 2, "a GPU without a name"),
        ({"r.toml": TWO}, ["--rig", "r.toml", "plan", "x.gguf", "--gpus", "0,0"], 2, "GPU 0 (A) is named twice"),
        ({}, ["plan", "x", "--kv-type", "q8_0,"], 2, "not one type or two"),
        ({}, ["run", "x", "--save", ""], 2, "--save needs a name"),
        ({}, ["nonsense"], 2, "nonsense"),
        ({}, ["preview", "--", "ls", "-la"], 2, "ls is no engine that rigtui knows"),
        ({}, ["preview", "--", "ollama", "run", "llama3"], 2, "ollama is no engine that rigtui knows: llama-server and vllm are"),
        ({}, ["preview", "--", "/usr/bin/ollama", "serve"], 2, "ollama is no engine that rigtui knows"),
        ({}, ["serve", "--port", "abc"], 2, "'abc' is not a port"),
        ({}, ["serve", "--port", "70000"], 2, "'70000' is not a port"),
        ({}, ["rig", "save", "nosuch/dir/x.toml"], 1, "there is no folder nosuch/dir"),
    ],
)
def test_bad_input_is_one_sentence_and_the_exit_code_of_its_kind(
    files: dict[str, str], argv: list[str], code: int, words: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    tiny_llama(tmp_path / "x.gguf")
    command = [sys.executable, "-m", "rigtui", "--profiles-dir", str(tmp_path), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    *_, said = done.stderr.splitlines()
    assert said.startswith("rigtui: ")
    assert done.stderr.count("rigtui: ") == 1


@pytest.mark.parametrize(
    "argv", [["gpus", "--json"], ["plan", "MODEL", "--json"], ["ps", "--json"], ["doctor", "--json"], ["models", "--json"]]
)
def test_the_command_line_loads_nothing_heavy(argv: list[str], tiny: Path) -> None:
    argv = [str(tiny) if word == "MODEL" else word for word in argv]
    heavy = ["textual", "rich", "huggingface_hub", "docker", "xllamacpp", "numpy", "asyncio"]
    code = (
        f"import sys; from rigtui.cli.main import main; main({argv!r}); print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert json.loads(done.stdout)["schema"].startswith("rigtui.")


def test_a_context_that_the_engine_rounds_up_is_said_with_the_number_that_was_set(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tiny), "--context", "1000"]) == 0
    assert "llama.cpp rounds your 1,000 tokens of context up to 1,024" in capsys.readouterr().out
    plan = said(capsys, "plan", str(tiny), "--context", "1024", "--json")
    assert "context_rounded" not in {reason["code"] for reason in plan["reasons"]}


def test_a_context_that_is_too_large_is_what_is_named(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = tmp_path / "small.toml"
    rig.write_text('[rig]\nname = "small"\nplatform = "linux"\nram_total_mib = 8000\nram_free_mib = 6000\n')
    plan = said(capsys, "--rig", str(rig), "plan", str(tiny), "--context", "99999999", "--json", code=3)
    texts = " ".join(reason["text"] for reason in plan["reasons"])
    assert "99,999,999 tokens of context are your own setting and take" in texts
    assert "100,000,000" not in texts
    assert "smaller" not in {reason["code"] for reason in plan["reasons"]}


def test_a_file_that_cannot_be_used_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.gguf"
    path.write_bytes(b"this is a text file\n" * 100)
    assert main(["models", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(str(path)) == 1


def test_a_card_whose_memory_is_unknown_is_said_to_be_left_out(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = tmp_path / "half.toml"
    rig.write_text('[[gpu]]\nname = "A"\ntotal_mib = 9000\nfree_mib = 8000\n[[gpu]]\nname = "B"\n')
    plan = said(capsys, "--rig", str(rig), "plan", str(tiny), "--json")
    assert [device["name"] for device in plan["devices"]] == ["A"]
    assert {"code": "gpu_left_out", "text": "GPU 1 (B) is left out: how much of its memory is free is unknown"} in plan["warnings"]


def test_what_fits_nowhere_is_told_without_promising_a_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig = tmp_path / "small.toml"
    rig.write_text("[rig]\nram_total_mib = 8000\nram_free_mib = 6000\n")
    path = str(model_file("llama-3.3-70b-q4_k_m", tmp_path))
    plan = said(capsys, "--rig", str(rig), "plan", path, "--json", code=3)
    assert [reason["code"] for reason in plan["reasons"]] == ["no_fit", "smaller"]
    assert main(["--rig", str(rig), "plan", path]) == 3
    text = capsys.readouterr().out
    assert "tok/s" not in text
    assert "--verify" not in text
    assert main(["--rig", str(rig), "run", path, "--dry-run"]) == 3
    assert "cannot run on this rig: it does not fit with 4,096 tokens" in capsys.readouterr().err


def test_an_engine_that_others_can_reach_is_said_to_be_open(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tiny), "--dry-run", "--host", "0.0.0.0"]) == 0
    assert "--api-key-file" in capsys.readouterr().err
    assert main(["run", str(tiny), "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


def test_a_model_that_does_not_say_its_context_needs_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tiny_llama(tmp_path / "mute.gguf", context=0))
    assert main(["plan", path]) == 2
    assert "set one with --context" in capsys.readouterr().err
    assert said(capsys, "plan", path, "--context", "2048", "--json")["context"] == 2048


def test_a_name_that_is_not_utf8_is_one_sentence_and_hides_no_other_model(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "fine.gguf").write_bytes(tiny.read_bytes())
    with open(os.fsencode(folder) + b"/bad\xff.gguf", "wb") as stream:
        stream.write(tiny.read_bytes())

    def rigtui(*argv: str | bytes) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "rigtui", *argv], capture_output=True, text=True, check=False)

    listed = rigtui("models", "--json", str(folder))
    assert listed.returncode == 0, listed.stderr
    models = json.loads(listed.stdout)["models"]
    assert {model["name"]: model["error"] for model in models}["tiny"] is None
    assert ["is not UTF-8 text" in model["error"] for model in models if model["error"]] == [True]
    assert "bad\ufffd" in rigtui("models", str(folder)).stdout
    planned = rigtui("plan", os.fsencode(folder) + b"/bad\xff.gguf")
    assert planned.returncode == 2
    assert planned.stderr.count("\n") == 1
    assert "is not UTF-8 text" in planned.stderr


def test_a_link_to_nothing_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "blob")
    assert main(["plan", str(tmp_path / "gone.gguf")]) == 4
    assert "is a link to a file that is not there" in capsys.readouterr().err
