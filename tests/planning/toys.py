"""Toy models and rigs whose numbers add up in the head: one layer is 100 MiB, KV is 1 MiB per 1,024 tokens and layer."""

from __future__ import annotations

from rigtui.intent.intent import Intent, Overrides, UseCase
from rigtui.models.model import Experts, Model, Tensor
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import GIB, MIB

LAYER = 100 * MIB
HEAD = 50 * MIB


def matrix(name: str, size: int) -> Tensor:
    """An f16 tensor of `size` bytes with 1,024 rows: nothing to pad."""
    return Tensor(name, (size // 2048, 1024), "f16", size)


def toy_model(layers: int = 10, *, context: int = 65536, experts: bool = False, mtp: int = 0, name: str = "toy") -> Model:
    """100 MiB a layer (of a mixture 20 MiB dense and three times 26.67 MiB experts), 50 MiB embedding, 50 MiB head.

    One KV head of 256: 2 x 256 x 2 B = 1 KiB per token and layer in f16. `mtp`: blocks that predict further tokens, which count in a split.
    """
    tensors = [matrix("token_embd.weight", HEAD), matrix("output.weight", HEAD)]
    for block in range(layers):
        if experts:
            tensors.append(matrix(f"blk.{block}.attn_q.weight", 20 * MIB))
            tensors += [matrix(f"blk.{block}.ffn_{part}_exps.weight", 80 * MIB // 4) for part in ("up", "gate")]
            tensors.append(matrix(f"blk.{block}.ffn_down_exps.weight", 40 * MIB))
        else:
            tensors += [matrix(f"blk.{block}.attn_q.weight", 40 * MIB), matrix(f"blk.{block}.ffn_down.weight", 60 * MIB)]
    return Model(
        name=name,
        path=f"/models/{name}.gguf",
        files=(f"/models/{name}.gguf",),
        format="gguf",
        architecture="qwen3moe" if experts else "llama",
        layers=layers,
        mtp_layers=mtp,
        context_trained=context,
        embedding_length=256,
        vocabulary=1000,
        heads=(4,) * layers,
        kv_heads=(1,) * layers,
        key_length=256,
        value_length=256,
        feed_forward=(512,) * layers,
        experts=Experts(count=8, used=2, feed_forward=64) if experts else None,
        tensors=tuple(tensors),
        weights_bytes=sum(t.bytes for t in tensors),
        fingerprint=name,
    )


def gpu(
    index: int, free_mib: int, *, bandwidth: float = 500.0, display: bool = False, runtime_mib: int = 0, name: str | None = None
) -> Gpu:
    """A card with so much free; no runtime unless asked for, so that sums stay simple."""
    return Gpu(
        index=index,
        name=name or f"Card {index}",
        uuid=f"GPU-{index}",
        total_bytes=(free_mib + 500) * MIB,
        free_bytes=free_mib * MIB,
        display=display,
        runtime_bytes=runtime_mib * MIB,
        bandwidth_gb_s=bandwidth,
    )


def rig(*gpus: Gpu, ram_gib: int = 64, platform: str = "linux") -> Rig:
    """A machine with these cards."""
    return Rig(name="toy", platform=platform, gpus=gpus, ram_total_bytes=ram_gib * GIB, ram_free_bytes=ram_gib * GIB)  # type: ignore[arg-type]


def intent(context: int = 8192, least: int = 4096, *, kv: tuple[str, ...] = ("f16",), parallel: int = 1, **own: object) -> Intent:
    """A use case that wants `context` and accepts `least`; `own` are the user's settings."""
    use_case = UseCase(name="toy", context=context, context_least=least, kv_types=kv, parallel=parallel)
    return Intent(use_case=use_case, overrides=Overrides(**own))  # type: ignore[arg-type]
