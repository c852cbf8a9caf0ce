"""Runs inside vLLM's own environment: answers questions on stdin, one JSON object, with vLLM's own code. Not imported by the tests.

`arguments`: command lines after `vllm serve`; answered with what the parser makes of them, or its message.
`splits`: layers and stages; answered with the layers of each stage.
`graphs`: cache blocks and requests at once of a model with states; answered with None where graphs are captured, else the message.
`caches`: layers with their specs, the memory of every worker, a length; answered with blocks per worker and the tokens that are logged.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from types import SimpleNamespace
from typing import Any


def arguments(lines: list[list[str]]) -> list[str | None]:
    """None for what the parser accepts, else its message."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.launchers.launcher import validate_api_server_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    answers: list[str | None] = []
    for line in lines:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                found = parser.parse_args(line)
            validate_parsed_serve_args(found)
            validate_api_server_args(found)
            answers.append(None)
        except SystemExit:
            answers.append(said.getvalue().strip().splitlines()[-1])
        except (KeyError, TypeError, ValueError) as error:
            answers.append(str(error))
    return answers


def splits(asked: list[list[int]]) -> list[list[int]]:
    """Layers of every stage."""
    from vllm.distributed.utils import get_pp_indices

    found = []
    for layers, stages in asked:
        edges = [get_pp_indices(layers, rank, stages) for rank in range(stages)]
        found.append([end - start for start, end in edges])
    return found


def caches(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of every worker, and the tokens they are logged as."""
    from vllm.v1.core import kv_cache_utils as kv

    found = []
    for case in asked:
        config = _config(case)
        specs = [{name: _spec(spec) for name, spec in worker.items()} for worker in case["workers"]]
        try:
            configs = kv.get_kv_cache_configs(config, specs, case["memory"])
        except ValueError as error:
            found.append({"error": str(error)})
            continue
        tokens, _ = kv.get_kv_cache_capacity(config, configs[0])
        found.append({"blocks": [one.num_blocks for one in configs], "tokens": tokens})
    return found


def graphs(asked: list[list[int]]) -> list[str | None]:
    """What stands in the way of capturing graphs, eager (None as mode) or not."""
    from vllm.config import CompilationConfig, CUDAGraphMode
    from vllm.v1.attention.backend import AttentionCGSupport

    found: list[str | None] = []
    for blocks, requests, eager in asked:
        config = CompilationConfig(cudagraph_mode=CUDAGraphMode.NONE if eager else CUDAGraphMode.FULL_AND_PIECEWISE)
        cache = SimpleNamespace(has_mamba_layers=True, num_blocks=blocks)
        try:
            config.resolve_cudagraph_mode_and_sizes(
                AttentionCGSupport.UNIFORM_BATCH, "a backend", kv_cache_config=cache, max_num_reqs=requests
            )
            found.append(None)
        except ValueError as error:
            found.append(str(error))
    return found


def _spec(given: dict[str, Any]) -> Any:
    import torch
    from vllm.v1 import kv_cache_interface as interface

    kind = given.pop("kind")
    if kind == "state":
        shapes = tuple(tuple(shape) for shape in given["shapes"])
        dtypes = tuple(getattr(torch, name) for name in given["dtypes"])
        return interface.MambaSpec(
            block_size=given["block_size"],
            shapes=shapes,
            dtypes=dtypes,
            page_size_padded=given["page_size_padded"],
            mamba_cache_mode="align",
        )
    given["dtype"] = getattr(torch, given["dtype"])
    return {"full": interface.FullAttentionSpec, "sliding": interface.SlidingWindowSpec}[kind](**given)


def _config(case: dict[str, Any]) -> Any:
    from vllm.config import VllmConfig

    config = VllmConfig()
    config.model_config = SimpleNamespace(max_model_len=case["context"], original_max_model_len=case["context"])  # type: ignore[assignment]
    config.cache_config.block_size = case["block_size"]
    config.cache_config.kv_cache_layout = "LBNHC"
    config.cache_config.mamba_cache_mode = "align"
    config.parallel_config.pipeline_parallel_size = len(case["workers"])
    # On a GPU, with the runner it uses there, this is a batch for every stage and one more; here the runner is another.
    VllmConfig.max_in_flight_tokens = property(lambda _: case["in_flight"])  # type: ignore[assignment,method-assign]
    return config


if __name__ == "__main__":
    questions = json.load(sys.stdin)
    answer = {name: globals()[name](asked) for name, asked in questions.items()}
    print("\n" + json.dumps(answer))
