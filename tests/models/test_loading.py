"""What only a transformers checkpoint says: how its weights are read, and what its layers keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from tools.make_safetensors import coder_27b, dense, write


def read(folder: Path, **more: Any) -> Model:
    return read_safetensors(write(folder, *dense(8, hidden=512, heads=8, kv_heads=2, width=1024, vocabulary=1000, **more)))


@pytest.mark.parametrize(
    ("config", "method", "group"),
    [
        ({}, "", 0),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, "awq", 128),
        ({"quantization_config": {"quant_method": "AWQ", "w_bit": 4, "q_group_size": 64}}, "awq", 64),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8", 0),
        ({"quantization_config": {"quant_algo": "NVFP4"}}, "modelopt", 0),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"group_size": 32}}}}},
            "compressed-tensors",
            32,
        ),
    ],
)
def test_the_quantizer_and_its_groups(tmp_path: Path, config: dict[str, Any], method: str, group: int) -> None:
    loading = read(tmp_path / "m", **config).transformers
    assert loading is not None
    assert (loading.quant_method, loading.quant_group) == (method, group)


@pytest.mark.parametrize(("given", "dtype"), [("bfloat16", "bf16"), ("float16", "f16"), ("float32", "f32"), (None, "bf16"), (7, "bf16")])
def test_the_type_of_the_weights(tmp_path: Path, given: object, dtype: str) -> None:
    loading = read(tmp_path / "m", torch_dtype=given).transformers
    assert loading is not None
    assert loading.dtype == dtype


def test_a_tied_head_is_tied_even_where_the_file_holds_it_again(tmp_path: Path) -> None:
    assert read(tmp_path / "a", tie_word_embeddings=True).tied
    config, tensors = dense(2, tie_word_embeddings=False)
    assert read_safetensors(write(tmp_path / "b", config | {"tie_word_embeddings": True}, tensors)).tied
    assert not read_safetensors(write(tmp_path / "c", config, tensors)).tied


def test_layers_by_an_interval(tmp_path: Path) -> None:
    config, tensors = coder_27b()
    del config["layer_types"]
    config["full_attention_interval"] = 4
    model = read_safetensors(write(tmp_path / "m", config, tensors))
    assert model.recurrent is not None
    assert model.recurrent.known
    assert [layer for layer, heads in enumerate(model.kv_heads) if heads] == list(range(3, 64, 4))
    assert model.transformers is not None
    assert model.transformers.state_dtype == "f32"


def test_states_of_mamba_2_under_either_name(tmp_path: Path) -> None:
    layers = ["mamba", "attention"] * 4
    granite = {"mamba_d_conv": 4, "mamba_n_heads": 16, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1}
    nemotron = {"conv_kernel": 4, "mamba_num_heads": 16, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 1}
    found = [read(tmp_path / str(at), layer_types=layers, **own).recurrent for at, own in enumerate((granite, nemotron))]
    for state in found:
        assert state is not None
        assert (state.known, state.inner_size, state.state_size, state.conv_kernel) == (True, 1024, 128, 4)
