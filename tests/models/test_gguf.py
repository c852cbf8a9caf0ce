"""What is read from sound GGUF files."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import pytest
from gguf import GGUFReader

from rigtui.errors import RigtuiError
from rigtui.models.gguf import NotAModelError, read_gguf
from rigtui.models.model import Model
from tools.make_gguf import model, sparse, tiny_llama
from tools.specs import NAMES, Spec, spec


def altered(name: str, **metadata: object) -> Spec:
    """A spec with other metadata; None removes a key."""
    base = spec(name)
    merged = {k: v for k, v in (base["metadata"] | metadata).items() if v is not None}
    return base | {"metadata": merged, "vocabulary": 300}


def small(architecture: str, layers: int, tmp_path: Path, **metadata: object) -> Model:
    """A model of `architecture` with hardly any tensors, for rules that read the metadata alone."""
    keys = {
        "block_count": layers,
        "context_length": 4096,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }
    merged = {k: v for k, v in (keys | {k.replace("__", "."): v for k, v in metadata.items()}).items() if v is not None}
    content: Spec = {"architecture": architecture, "name": "small", "file_type": 0, "vocabulary": 300, "pre": "gpt-2", "metadata": merged}
    content["tensors"] = [["token_embd.weight", [64, 300], "F32"], ["blk.0.attn_norm.weight", [64], "F32"]]
    return read_gguf(sparse(tmp_path / "small.gguf", content))


@pytest.mark.parametrize("name", NAMES)
def test_tensors_agree_with_the_reference_reader(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / f"{name}.gguf", spec(name) | {"vocabulary": 1000})
    ours = read_gguf(path)
    theirs = GGUFReader(path)
    assert [(t.name, t.shape, t.type.upper(), t.bytes) for t in ours.tensors] == [
        (t.name, tuple(int(n) for n in t.shape), t.tensor_type.name, t.n_bytes) for t in theirs.tensors
    ]
    assert ours.weights_bytes == sum(t.n_bytes for t in theirs.tensors)
    assert ours.parameters == sum(t.n_elements for t in theirs.tensors)
    assert ours.vocabulary == len(theirs.fields["tokenizer.ggml.tokens"].data)


def test_a_dense_model() -> None:
    m = model("llama-3.1-8b-q4_k_m")
    assert (m.name, m.architecture, m.quantization) == ("Llama-3.1-8B-Instruct", "llama", "Q4_K_M")
    assert (m.layers, m.context_trained, m.embedding_length, m.vocabulary) == (32, 131072, 4096, 128256)
    assert (m.heads, m.kv_heads, m.key_length, m.value_length) == ((32,) * 32, (8,) * 32, 128, 128)
    assert m.feed_forward == (14336,) * 32
    assert (m.experts, m.recurrent, m.sliding_window, m.mla, m.tied, m.embedding_model) == (None, None, 0, False, False, False)
    assert round(m.parameters / 1e9, 2) == 8.03


def test_experts() -> None:
    m = model("qwen3-30b-a3b-q4_k_m")
    assert m.experts is not None
    assert (m.experts.count, m.experts.used, m.experts.feed_forward, m.experts.shared) == (128, 8, 768, 0)
    assert model("glm-4.7-flash-q4_k_m").experts == type(m.experts)(count=64, used=4, feed_forward=1536, shared=1)


@pytest.mark.parametrize(
    ("name", "window", "full"),
    [
        ("gemma-3-27b-q4_k_m", 1024, [il for il in range(62) if il % 6 == 5]),
        ("gpt-oss-20b-mxfp4", 128, [il for il in range(24) if il % 2 == 1]),
        ("gemma-2-9b-q4_k_m", 4096, [il for il in range(42) if il % 2 == 1]),
    ],
)
def test_sliding_windows_by_the_architecture(name: str, window: int, full: list[int]) -> None:
    m = model(name)
    assert m.sliding_window == window
    assert [il for il, slides in enumerate(m.swa_layers) if not slides] == full


def test_a_window_that_llama_cpp_ignores_is_none() -> None:
    assert (model("phi-3-mini-q4_k_m").sliding_window, model("phi-3-mini-q4_k_m").swa_layers) == (0, ())


@pytest.mark.parametrize(("architecture", "rotates"), [("granitehybrid", False), ("llama", True)])
def test_granites_header_says_whether_positions_are_rotated_in(architecture: str, rotates: bool, tmp_path: Path) -> None:
    assert small(architecture, 2, tmp_path, rope__scaling__finetuned=False).rotates == rotates
    assert small(architecture, 2, tmp_path, rope__scaling__finetuned=True).rotates
    assert small(architecture, 2, tmp_path).rotates


def test_a_list_in_the_header_beats_the_architectures_pattern(tmp_path: Path) -> None:
    m = small("gemma3", 4, tmp_path, attention__sliding_window=512, attention__sliding_window_pattern=[False, True, True, False])
    assert m.swa_layers == (False, True, True, False)
    m = small("gemma3", 4, tmp_path, attention__sliding_window=512, attention__sliding_window_pattern=2)
    assert m.swa_layers == (True, False, True, False)


def test_llama4_has_its_window_even_when_the_header_does_not_say(tmp_path: Path) -> None:
    m = small("llama4", 8, tmp_path)
    assert (m.sliding_window, m.swa_layers) == (8192, (True, True, True, False) * 2)
    assert small("llama4", 8, tmp_path, attention__sliding_window=0).sliding_window == 0


def test_a_window_without_its_layers_is_noted(tmp_path: Path) -> None:
    m = small("mimo2", 4, tmp_path, attention__sliding_window=128)
    assert m.sliding_window == 0
    assert any("128 tokens" in note for note in m.notes)


def test_mla_has_one_compressed_row() -> None:
    m = model("glm-4.7-flash-q4_k_m")
    assert (m.mla, m.key_length, set(m.kv_heads)) == (True, 576, {1})
    assert model("deepseek-v2-lite-q4_k_m").mla


def test_multi_token_prediction_blocks_are_not_layers() -> None:
    m = model("glm-4.7-flash-q4_k_m")
    assert (m.layers, m.mtp_layers, len(m.heads), len(m.kv_heads)) == (47, 1, 47, 47)
    assert any(t.layer == 47 for t in m.tensors)


def test_hybrids_say_which_layers_keep_a_state() -> None:
    m = model("qwen3-next-80b-q4_k_m")
    assert m.recurrent is not None
    assert [il for il, recurrent in enumerate(m.recurrent.layers) if not recurrent] == list(range(3, 48, 4))
    assert [il for il, heads in enumerate(m.kv_heads) if heads] == list(range(3, 48, 4))
    r = m.recurrent
    assert (r.conv_kernel - 1) * (r.inner_size + 2 * r.group_count * r.state_size) == 24576
    assert r.inner_size * r.state_size == 524288
    hybrid = model("granite-4.0-h-tiny-q4_k_m")
    assert hybrid.recurrent is not None
    assert [il for il, recurrent in enumerate(hybrid.recurrent.layers) if not recurrent] == [5, 15, 25, 35]
    assert [hybrid.kv_heads[il] for il in (4, 5)] == [0, 4]


def state_elements(m: Model) -> int:
    assert m.recurrent is not None
    assert m.recurrent.known
    r = m.recurrent
    return (r.conv_kernel - 1) * (r.inner_size + 2 * r.group_count * r.state_size) + r.inner_size * r.state_size


def test_other_kinds_of_state_fit_the_one_formula(tmp_path: Path) -> None:
    rwkv = small("rwkv7", 2, tmp_path, wkv__head_size=16, attention__head_count=0, attention__head_count_kv=0)
    assert state_elements(rwkv) == 2 * 64 + 64 * 16
    assert rwkv.kv_heads == (0, 0)
    lfm = small("lfm2", 3, tmp_path, shortconv__l_cache=3, attention__head_count_kv=[0, 2, 0])
    assert state_elements(lfm) == 64 * 2
    assert lfm.recurrent is not None
    assert lfm.recurrent.layers == (True, False, True)
    kimi = small("kimi-linear", 2, tmp_path, kda__head_dim=8, ssm__conv_kernel=4, attention__head_count_kv=[0, 1])
    assert state_elements(kimi) == 3 * 3 * (4 * 8) + 8 * 8 * 4
    mamba = small("mamba", 2, tmp_path, ssm__conv_kernel=4, ssm__inner_size=128, ssm__state_size=16, attention__head_count=0)
    assert state_elements(mamba) == 3 * 128 + 16 * 128


def test_falcon_h1_has_both_in_every_layer(tmp_path: Path) -> None:
    m = small("falcon-h1", 2, tmp_path, ssm__conv_kernel=4, ssm__inner_size=128, ssm__state_size=16, ssm__group_count=1)
    assert m.recurrent is not None
    assert (m.recurrent.layers, m.kv_heads) == ((True, True), (2, 2))


def test_nemotron_h_has_layers_that_are_neither(tmp_path: Path) -> None:
    ssm = {"ssm__conv_kernel": 4, "ssm__inner_size": 128, "ssm__state_size": 16, "ssm__group_count": 1}
    m = small("nemotron_h", 3, tmp_path, **ssm, attention__head_count_kv=[0, 0, 2], feed_forward_length=[0, 256, 0])
    assert m.recurrent is not None
    assert (m.recurrent.layers, m.kv_heads, m.feed_forward) == ((True, False, False), (0, 0, 2), (0, 256, 0))


def test_layers_that_share_their_kv_cache_have_none(tmp_path: Path) -> None:
    swa = {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True, False, True, False]}
    m = small("gemma4", 4, tmp_path, **swa, attention__shared_kv_layers=2, attention__key_length_swa=32, attention__value_length_swa=32)
    assert m.kv_heads == (2, 2, 0, 0)
    assert (m.key_length_swa, m.value_length_swa) == (32, 32)


def test_an_unknown_state_is_said(tmp_path: Path) -> None:
    m = small("deepseek4", 2, tmp_path, attention__sliding_window=128)
    assert m.recurrent is not None
    assert not m.recurrent.known
    assert m.notes


def test_embedding_models() -> None:
    m = model("nomic-embed-f16")
    assert m.embedding_model
    assert set(m.kv_heads) == {0}
    assert not model("qwen2.5-7b-q4_k_m").embedding_model


def test_a_decoder_with_pooling_is_an_embedding_model(tmp_path: Path) -> None:
    assert small("qwen3", 2, tmp_path, pooling_type=3).embedding_model
    assert not small("qwen3", 2, tmp_path, pooling_type=0).embedding_model


def test_head_lengths_default_to_the_embedding_over_the_heads(tmp_path: Path) -> None:
    m = small("llama", 2, tmp_path)
    assert (m.key_length, m.value_length) == (16, 16)


def test_kv_heads_default_to_the_heads(tmp_path: Path) -> None:
    assert small("llama", 2, tmp_path, attention__head_count_kv=None).kv_heads == (4, 4)


def test_any_shard_gives_the_whole_model(tmp_path: Path) -> None:
    whole = model("qwen2.5-7b-q4_k_m")
    first = sparse(tmp_path / "qwen.gguf", spec("qwen2.5-7b-q4_k_m"), shards=5)
    for number in (1, 3, 5):
        m = read_gguf(tmp_path / f"qwen-{number:05d}-of-00005.gguf")
        assert m.path == str(first)
        assert len(m.files) == 5
        assert m.weights_bytes == whole.weights_bytes
        assert m.fingerprint == whole.fingerprint


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    sparse(tmp_path / "qwen.gguf", spec("qwen2.5-7b-q4_k_m") | {"vocabulary": 300}, shards=3)
    (tmp_path / "qwen-00003-of-00003.gguf").unlink()
    with pytest.raises(RigtuiError, match=r"part 3 \(qwen-00003-of-00003\.gguf\) is missing"):
        read_gguf(tmp_path / "qwen-00001-of-00003.gguf")


def test_shards_of_another_download_are_refused(tmp_path: Path) -> None:
    for name in ("qwen2.5-7b-q4_k_m", "gemma-3-4b-q4_k_m"):
        sparse(tmp_path / f"{name}.gguf", spec(name) | {"vocabulary": 300}, shards=2)
    os.replace(tmp_path / "gemma-3-4b-q4_k_m-00002-of-00002.gguf", tmp_path / "qwen2.5-7b-q4_k_m-00002-of-00002.gguf")
    with pytest.raises(RigtuiError, match="not from one download"):
        read_gguf(tmp_path / "qwen2.5-7b-q4_k_m-00001-of-00002.gguf")


def test_a_renamed_shard_is_refused(tmp_path: Path) -> None:
    first = sparse(tmp_path / "qwen.gguf", spec("qwen2.5-7b-q4_k_m") | {"vocabulary": 300}, shards=2)
    with pytest.raises(RigtuiError, match="one of 2 parts"):
        read_gguf(first.rename(tmp_path / "model.gguf"))


def test_the_fingerprint_follows_the_content_not_the_name(tmp_path: Path) -> None:
    one = read_gguf(tiny_llama(tmp_path / "one.gguf"))
    renamed = read_gguf(tiny_llama(tmp_path / "two.gguf", name="other"))
    deeper = read_gguf(tiny_llama(tmp_path / "three.gguf", layers=5))
    assert one.fingerprint == renamed.fingerprint
    assert one.fingerprint != deeper.fingerprint


def test_no_file_type_means_the_dominant_type(tmp_path: Path) -> None:
    content = altered("qwen2.5-7b-q4_k_m") | {"file_type": 1024}
    assert read_gguf(sparse(tmp_path / "m.gguf", content)).quantization == "Q4_K"


def test_a_model_without_a_name_is_called_like_its_file(tmp_path: Path) -> None:
    content = altered("qwen2.5-7b-q4_k_m") | {"name": ""}
    assert read_gguf(sparse(tmp_path / "My-Model-Q4_K_M.gguf", content)).name == "My-Model-Q4_K_M"


def test_names_cannot_carry_control_sequences(tmp_path: Path) -> None:
    content = altered("qwen2.5-7b-q4_k_m") | {"name": "evil\x1b[2J\x1b]0;owned\x07 model"}
    assert read_gguf(sparse(tmp_path / "m.gguf", content)).name == "evil model"


def test_a_chat_template_is_noticed(tmp_path: Path) -> None:
    content = altered("qwen2.5-7b-q4_k_m", **{"tokenizer.chat_template": "{{ messages }}" * 5000})
    assert read_gguf(sparse(tmp_path / "m.gguf", content)).chat_template
    assert not model("qwen2.5-7b-q4_k_m").chat_template


@pytest.mark.parametrize(
    ("architecture", "metadata", "what"),
    [
        ("clip", {}, "mmproj"),
        ("llama", {"general.type": "adapter"}, "LoRA"),
        ("llama", {"general.type": "mmproj"}, "mmproj"),
        ("eagle3", {}, "draft"),
        ("glm4moe", {"nextn_predict_layers": 1}, "draft"),
    ],
)
def test_companions_of_models_are_recognised(architecture: str, metadata: dict[str, object], what: str, tmp_path: Path) -> None:
    content: Spec = {"architecture": architecture, "name": "x", "file_type": 1, "vocabulary": 0, "pre": "", "metadata": metadata}
    content["tensors"] = [["v.blk.1.ln1.weight", [64], "F32"]]
    with pytest.raises(NotAModelError, match=what):
        read_gguf(sparse(tmp_path / "x.gguf", content))


def test_a_vocabulary_alone_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="only a vocabulary"):
        read_gguf(sparse(tmp_path / "vocab.gguf", altered("qwen2.5-7b-q4_k_m") | {"tensors": []}))


def test_a_long_vocabulary_is_counted_without_being_kept(tmp_path: Path) -> None:
    content = altered("qwen2.5-7b-q4_k_m") | {"vocabulary": 250_000}
    m = read_gguf(sparse(tmp_path / "m.gguf", content, merges=250_000))
    assert m.vocabulary == 250_000
    assert m.parameters == sum(prod(t.shape) for t in m.tensors)


def test_long_strings_in_a_list_are_skipped_right(tmp_path: Path) -> None:
    labels = ["x" * (n % 400) for n in range(3000)]
    m = read_gguf(sparse(tmp_path / "m.gguf", altered("qwen2.5-7b-q4_k_m", **{"classifier.output_labels": labels})))
    assert m.layers == 28
