"""Folders of safetensors, whole and broken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from rigtui.errors import RigtuiError
from rigtui.models.gguf import NotAModelError
from rigtui.models.model import Model
from rigtui.models.safetensors import read_safetensors
from tools.refusal import refusal, showable

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "vocab_size": 300,
}


def folder(path: Path, config: dict[str, Any] = CONFIG, *, shards: int = 1) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    tensors = {f"model.layers.{i}.self_attn.q_proj.weight": np.zeros((64, 64), np.float16) for i in range(2)}
    tensors["lm_head.weight"] = np.zeros((300, 64), np.float16)
    names = list(tensors)
    if shards == 1:
        save_file(tensors, path / "model.safetensors")
        return path
    where = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, path / file)
        where |= dict.fromkeys(part, file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return path


@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_is_one_model_however_it_is_split(tmp_path: Path, shards: int) -> None:
    model = read_safetensors(folder(tmp_path / "m", shards=shards))
    assert (model.format, model.architecture, model.layers, model.context_trained) == ("safetensors", "qwen2", 2, 4096)
    assert (model.heads, model.kv_heads, model.key_length) == ((4, 4), (2, 2), 16)
    assert model.weights_bytes == 2 * (2 * 64 * 64 + 300 * 64)
    assert len(model.files) == shards
    assert not model.tied
    assert {tensor.layer for tensor in model.tensors} == {0, 1, None}


def test_kinds_of_layers_and_quantization(tmp_path: Path) -> None:
    config = {
        "model_type": "mixed",
        "text_config": CONFIG | {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512},
        "quantization_config": {"quant_method": "awq", "bits": 4},
    }
    model = read_safetensors(folder(tmp_path / "m", config))
    assert (model.sliding_window, model.swa_layers, model.quantization) == (512, (True, False), "AWQ-INT4")
    linear = CONFIG | {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_conv_kernel_dim": 4,
        "linear_num_value_heads": 8,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 4,
        "linear_key_head_dim": 16,
    }
    model = read_safetensors(folder(tmp_path / "l", linear))
    assert model.kv_heads == (0, 2)
    assert model.recurrent is not None
    assert (model.recurrent.inner_size, model.recurrent.state_size, model.recurrent.group_count) == (128, 16, 4)


def layers(path: Path, **config: Any) -> Model:
    return read_safetensors(folder(path, CONFIG | config))


def test_sliding_windows_where_no_list_names_the_layers(tmp_path: Path) -> None:
    assert layers(tmp_path / "a", model_type="mistral", sliding_window=512).swa_layers == (True, True)
    assert layers(tmp_path / "b", model_type="gemma2", sliding_window=512).swa_layers == (True, False)
    assert layers(tmp_path / "c", sliding_window=512, use_sliding_window=False).sliding_window == 0
    assert layers(tmp_path / "d", sliding_window=512, use_sliding_window=True, max_window_layers=1).swa_layers == (False, True)
    assert layers(tmp_path / "e", model_type="phi3", sliding_window=4096).sliding_window == 0


def test_mla_keeps_one_row(tmp_path: Path) -> None:
    m = layers(
        tmp_path / "m", kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=8, n_shared_experts=1
    )
    assert (m.mla, m.key_length, m.kv_heads) == (True, 576, (1, 1))
    assert m.experts is not None
    assert (m.experts.count, m.experts.shared) == (8, 1)


def test_layers_with_a_state_of_unknown_size_are_said(tmp_path: Path) -> None:
    m = layers(tmp_path / "m", model_type="granitemoehybrid", layer_types=["mamba", "attention"])
    assert m.recurrent is not None
    assert (m.recurrent.layers, m.recurrent.known, m.kv_heads) == ((True, False), False, (0, 2))
    assert m.notes


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"quant_method": "awq", "bits": 4}, "AWQ-INT4"),
        ({"quant_method": "gptq", "bits": 8}, "GPTQ-INT8"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "mxfp4"}, "MXFP4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "NVFP4"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}}, "FP8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}}, "INT4"),
        (None, "F16"),
    ],
)
def test_quantization_is_named(tmp_path: Path, given: dict[str, Any] | None, label: str) -> None:
    assert layers(tmp_path / "m", quantization_config=given).quantization == label


def test_packed_weights_count_as_many_as_they_are(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", CONFIG | {"quantization_config": {"quant_method": "awq", "bits": 4}})
    tensors = {
        "model.layers.0.mlp.up_proj.qweight": np.zeros((64, 16), np.int32),
        "model.layers.0.mlp.up_proj.scales": np.ones((1, 128), np.float16),
    }
    save_file(tensors, path / "model.safetensors")
    assert read_safetensors(path).parameters == 64 * 128


def test_vectors_or_text(tmp_path: Path) -> None:
    assert not layers(tmp_path / "a").embedding_model
    assert layers(tmp_path / "b", architectures=["XLMRobertaModel"]).embedding_model
    path = folder(tmp_path / "c")
    (path / "modules.json").write_text("[]")
    assert read_safetensors(path).embedding_model


def test_a_folder_of_the_hub_is_called_like_its_repository(tmp_path: Path) -> None:
    assert read_safetensors(folder(tmp_path / "models--owner--My-Model" / "snapshots" / "0a1b2c")).name == "My-Model"


def test_parts_without_their_index_must_all_be_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", shards=3)
    (path / "model.safetensors.index.json").unlink()
    assert len(read_safetensors(path).files) == 3
    (path / "model-00003-of-00003.safetensors").unlink()
    with pytest.raises(RigtuiError, match="model-00003-of-00003"):
        read_safetensors(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = folder(tmp_path / "m")
    (path / "model.safetensors").unlink()
    os.mkfifo(path / "model.safetensors")
    with pytest.raises(RigtuiError, match="is not a file"):
        read_safetensors(path)


def test_parts_of_image_pipelines_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError):
        layers(tmp_path / "unet", _class_name="UNet2DConditionModel")


def test_a_missing_shard_and_a_cut_file_are_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", shards=3)
    gone = path / "model-00002-of-00003.safetensors"
    data = gone.read_bytes()
    gone.unlink()
    with pytest.raises(RigtuiError, match="model-00002-of-00003"):
        read_safetensors(path)
    gone.write_bytes(data[:-5])
    with pytest.raises(RigtuiError, match="incomplete"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 16, (1 << 62).to_bytes(8, "little") + b"{}", (20).to_bytes(8, "little") + b"{", (4).to_bytes(8, "little") + b"[[]]"],
)
def test_rubbish_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = folder(tmp_path / "m")
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(RigtuiError) as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", shards=2)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    with pytest.raises(RigtuiError, match="cannot be its own"):
        read_safetensors(path)


@settings(max_examples=150)
@given(st.data())
def test_any_header_and_any_config_is_a_model_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = folder(tmp_path_factory.mktemp("fuzz"))
    target = path / data.draw(st.sampled_from(["config.json", "model.safetensors"]))
    content = bytearray(target.read_bytes()[:600])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    target.write_bytes(bytes(content))
    said = refusal(lambda: read_safetensors(path))
    assert showable(said)
    assert not said or str(path) in said
