"""vLLM's own code as the judge of what rigtui derives: its argument parser, its even split, its arithmetic for the KV cache."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from engine.build_vllm import vllm
from rigtui.engines.vllm import tools
from rigtui.engines.vllm.cache import Cache, cache
from rigtui.engines.vllm.footprint import demand
from rigtui.engines.vllm.partition import even, firsts
from rigtui.engines.vllm.refusals import too_few_blocks
from rigtui.engines.vllm.settings import Settings
from rigtui.intent.intent import Intent, Overrides
from rigtui.intent.use_cases import load_use_cases
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from rigtui.planning.choose import ranked
from rigtui.rig.rigfile import load
from tools.make_safetensors import coder_27b, dense, write
from tools.toy_checkpoints import toy

pytestmark = pytest.mark.engine

RIGS = sorted((Path(__file__).parents[1] / "rigs").glob("*.toml"))
STAGES = (1, 2, 3)


def ask(questions: dict[str, Any]) -> dict[str, Any]:
    """The judge's answers."""
    script = Path(__file__).with_name("vllm_judge.py")
    env = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [vllm() / "bin" / "python", script], input=json.dumps(questions), capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def models(folder: Path) -> Iterator[Model]:
    yield read_safetensors(write(folder / "coder", *coder_27b()))
    yield read_safetensors(write(folder / "dense", *dense(torch_dtype="float16")))
    yield replace(read_safetensors(write(folder / "qwen3", *dense(28, heads=16, hidden=2048, width=6144))), architecture="qwen3")


def test_every_command_of_the_grid_is_accepted(tmp_path: Path) -> None:
    """Rigs, models and use cases, with settings of the user's and without: whatever fits is a command vLLM understands."""
    own = (Overrides(), Overrides(parallel=3, context=5000, ubatch=512), Overrides(engine_args=("--enforce-eager", "-pp", "2")))
    lines: dict[tuple[str, ...], None] = {}
    for model in models(tmp_path):
        for path in RIGS:
            for use_case in load_use_cases().values():
                for overrides in own:
                    wanted = Intent(use_case=use_case, overrides=overrides, engine="vllm")
                    for plan in ranked(load(path), model, wanted, []):
                        if plan.status != "no_fit":
                            assert plan.command[:2] == ("vllm", "serve")
                            lines[plan.command[2:]] = None
    assert len(lines) > 60
    refused = [
        (line, said) for line, said in zip(lines, ask({"arguments": [list(line) for line in lines]})["arguments"], strict=True) if said
    ]
    assert refused == []
    assert ask({"arguments": [["/m", "--no-such-option"]]})["arguments"][0] is not None


def test_every_tool_parser_is_one_of_the_engines() -> None:
    names = sorted({name for _, name in tools._BY_NAME} | set(tools._BY_ARCHITECTURE.values()))
    lines = [["/m", "--enable-auto-tool-choice", "--tool-call-parser", name] for name in (*names, "no-such-parser")]
    *known, unknown = ask({"arguments": lines})["arguments"]
    assert [(name, said) for name, said in zip(names, known, strict=True) if said] == []
    assert unknown is not None


def test_the_even_split_is_the_engines() -> None:
    asked = [[layers, stages] for layers in (1, 7, 28, 61, 64, 65, 80) for stages in range(1, 9) if stages <= layers]
    assert ask({"splits": asked})["splits"] == [list(even(layers, stages)) for layers, stages in asked]


def test_graphs_are_refused_where_the_engine_refuses_them(tmp_path: Path) -> None:
    """Each request of a hybrid needs a block for its state, but only for graphs: the engine's own check, at the edges."""
    coder = read_safetensors(write(tmp_path / "coder", *coder_27b()))
    cases = [(blocks, requests, eager) for blocks in (1, 41, 255, 256, 257) for requests in (1, 41, 42, 256) for eager in (False, True)]
    said = ask({"graphs": cases})["graphs"]
    for (blocks, requests, eager), answer in zip(cases, said, strict=True):
        refused = too_few_blocks(demand(coder, Settings(context=4096, sequences=requests, eager=eager)), blocks)
        assert (refused is None) is (answer is None), (blocks, requests, eager)
        if refused is not None:
            assert f"max_num_seqs to at most {blocks}" in answer
            assert f"--max-num-seqs {blocks} passes" in refused.text


def shapes(folder: Path) -> Iterator[Model]:
    """One kind of layer, hybrids, windows in several proportions."""
    yield toy(20, kv_heads=4)
    yield read_safetensors(write(folder / "coder", *coder_27b()))
    for full in (6, 2, 3):
        windows = tuple((il + 1) % full != 0 for il in range(24))
        yield replace(toy(24, kv_heads=2), sliding_window=1024, swa_layers=windows)
    yield replace(toy(25, kv_heads=2), sliding_window=512, swa_layers=tuple(il % 2 == 0 for il in range(25)))


def worker(model: Model, held: Cache, first: int, count: int) -> dict[str, Any]:
    """The layers of a worker as vLLM describes them to its cache."""
    block = next((group.block_tokens for group in held.groups if group.kind == "full"), 16)
    found: dict[str, Any] = {}
    for layer in range(first, first + count):
        state = model.recurrent
        if state is not None and state.layers[layer]:
            convolution = [state.conv_kernel - 1, state.inner_size + 2 * state.group_count * state.state_size]
            shapes_ = [convolution, [state.inner_size, state.state_size]]
            page = max(group.page_bytes for group in held.groups)
            spec: dict[str, Any] = {"kind": "state", "block_size": block, "shapes": shapes_, "dtypes": ["bfloat16", "float32"]}
            found[f"layers.{layer}"] = spec | {"page_size_padded": page}
            continue
        spec = {"kind": "full", "block_size": block, "num_kv_heads": model.kv_heads[layer], "head_size": model.key_length}
        if model.swa_layers and model.swa_layers[layer]:
            spec |= {"kind": "sliding", "sliding_window": model.sliding_window}
        found[f"layers.{layer}"] = spec | {"dtype": "bfloat16"}
    return found


def test_the_cache_has_as_many_blocks_as_the_engine_makes(tmp_path: Path) -> None:
    """Random partitions and memories, kinds of layers of all sorts: blocks and logged tokens are vLLM's own."""
    random = Random(6)
    asked, expected = [], []
    for model in shapes(tmp_path):
        for stages in STAGES:
            for _ in range(4):
                cuts = sorted(random.sample(range(1, model.layers), stages - 1))
                partition = [b - a for a, b in zip((0, *cuts), (*cuts, model.layers), strict=True)]
                assert list(accumulate(partition))[-1] == model.layers
                context = random.choice((2048, 8192, 30000))
                settings = Settings(stages=stages, context=context)
                held = cache(model, settings)
                memory = [random.randrange(1 << 30, 6 << 30) for _ in partition]
                blocks = min(size // held.block_bytes(a, n) for size, a, n in zip(memory, firsts(partition), partition, strict=True))
                fits = blocks - 1 >= held.blocks(context)
                expected.append({"blocks": [blocks] * stages, "tokens": held.tokens(blocks, context)} if fits else None)
                asked.append(
                    {
                        "context": context,
                        "block_size": 16,
                        "in_flight": settings.tokens_in_flight,
                        "memory": memory,
                        "workers": [worker(model, held, a, n) for a, n in zip(firsts(partition), partition, strict=True)],
                    }
                )
    answers = [None if "error" in answer else answer for answer in ask({"caches": asked})["caches"]]
    assert answers == expected
    assert sum(answer is not None for answer in answers) > len(answers) // 2
