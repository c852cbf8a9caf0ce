"""Shapes of models that keep states: Mamba, Mamba-2 beside or between attention, and mixtures of them."""

from __future__ import annotations

from collections.abc import Callable

from tools.spec_parts import Spec, Tensors, attention_of, dense_of, ends_of, experts_of, keys_of, make_spec, scan2_of, state_keys


def _scan_of(b: str, embedding: int, inner: int, state: int, rank: int) -> Tensors:
    """One layer of Mamba without its norms."""
    return [
        [f"{b}ssm_in.weight", [embedding, 2 * inner], "Q4_K"],
        [f"{b}ssm_conv1d.weight", [4, inner], "F32"],
        [f"{b}ssm_conv1d.bias", [inner], "F32"],
        [f"{b}ssm_x.weight", [inner, rank + 2 * state], "Q4_K"],
        [f"{b}ssm_dt.weight", [rank, inner], "Q4_K"],
        [f"{b}ssm_dt.bias", [inner], "F32"],
        [f"{b}ssm_a", [state, inner], "F32"],
        [f"{b}ssm_d", [inner], "F32"],
        [f"{b}ssm_out.weight", [inner, embedding], "Q4_K"],
    ]


def mamba() -> Spec:
    """Nothing but scans."""
    tensors = ends_of(2560, 50280, tied=True)
    for i in range(64):
        tensors += [[f"blk.{i}.attn_norm.weight", [2560], "F32"], *_scan_of(f"blk.{i}.", 2560, 5120, 16, 160)]
    keys = keys_of(64, 1048576, 2560, 0, 0, 0, 0) | state_keys(5120, 16, 0, 160)
    return make_spec("mamba", "mamba-2.8b-hf", 50280, keys, tensors)


def jamba() -> Spec:
    """One attention layer in eight, experts in every second."""
    embedding, inner, rank = 4096, 8192, 256
    tensors = ends_of(embedding, 65536)
    for i in range(32):
        b = f"blk.{i}."
        if i % 8 == 4:
            tensors += attention_of(b, embedding, 4096, 1024, 1024)
        else:
            tensors += [[f"{b}attn_norm.weight", [embedding], "F32"], *_scan_of(b, embedding, inner, 16, rank)]
            tensors += [[f"{b}ssm_{name}_norm.weight", [size], "F32"] for name, size in (("dt", rank), ("b", 16), ("c", 16))]
        if i % 2:
            tensors += [[f"{b}ffn_norm.weight", [embedding], "F32"], *experts_of(b, embedding, 16, 14336, 0)]
        else:
            tensors += dense_of(b, embedding, 14336)
    keys = keys_of(32, 262144, embedding, 14336, 32, [8 * (i % 8 == 4) for i in range(32)], 128)
    keys |= state_keys(inner, 16, 0, rank) | {"expert_count": 16, "expert_used_count": 2}
    return make_spec("jamba", "Jamba-v0.1", 65536, keys, tensors)


def falcon_h1() -> Spec:
    """Attention and Mamba-2 side by side in every layer."""
    embedding, inner, state, ranks = 3072, 3072, 256, 24
    tensors = ends_of(embedding, 130048)
    for i in range(44):
        b = f"blk.{i}."
        norm, *matrices = dense_of(b, embedding, 12288)
        tensors += [*attention_of(b, embedding, 1536, 256, 256), [f"{b}ffn_norm", *norm[1:]], *matrices]
        tensors += scan2_of(b, embedding, inner, state, 1, ranks, norm=False)
    keys = keys_of(44, 262144, embedding, 12288, 12, 2, 128) | state_keys(inner, state, 1, ranks)
    return make_spec("falcon-h1", "Falcon-H1-7B-Instruct", 130048, keys, tensors)


def nemotron_3_nano() -> Spec:
    """Each layer is one part: Mamba-2, attention or experts without gate."""
    embedding, inner, state, groups, ranks, width = 2688, 4096, 128, 8, 64, 1856
    pattern = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
    tensors = ends_of(embedding, 131072)
    for i, kind in enumerate(pattern):
        b = f"blk.{i}."
        tensors.append([f"{b}attn_norm.weight", [embedding], "F32"])
        if kind == "M":
            tensors += scan2_of(b, embedding, inner, state, groups, ranks)
        elif kind == "*":
            tensors += attention_of(b, embedding, 4096, 256, 256)[1:]
        else:
            parts = [t for t in experts_of(b, embedding, 128, width, 3712) if "gate_exps" not in t[0] and "gate_shexp" not in t[0]]
            tensors += [*parts, [f"{b}exp_probs_b.bias", [128], "F32"]]
    keys = keys_of(len(pattern), 1048576, embedding, 0, 32, [2 * (kind == "*") for kind in pattern], 128)
    keys |= state_keys(inner, state, groups, ranks) | {
        "attention.layer_norm_epsilon": 1e-5,
        "feed_forward_length": [width * (kind == "E") for kind in pattern],
        "expert_count": 128,
        "expert_used_count": 6,
        "expert_feed_forward_length": width,
        "expert_shared_feed_forward_length": 3712,
        "expert_shared_count": 1,
        "expert_weights_norm": True,
        "rope.dimension_count": 128,
    }
    return make_spec("nemotron_h_moe", "Nemotron-3-Nano-30B-A3B", 131072, keys, tensors)


PROGRAMS: dict[str, Callable[[], Spec]] = {
    "mamba-2.8b-q4_k_m": mamba,
    "jamba-v0.1-q4_k_m": jamba,
    "falcon-h1-7b-q4_k_m": falcon_h1,
    "nemotron-3-nano-30b-a3b-q4_k_m": nemotron_3_nano,
}
