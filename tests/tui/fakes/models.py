"""Models, use cases and an engine made by hand."""

from __future__ import annotations

from rigtui.engines.engine import Build
from rigtui.intent.intent import UseCase
from rigtui.models.library import LibraryEntry
from rigtui.models.model import Experts, Model
from rigtui.text import MIB


def model(name: str, gib: float, architecture: str, quantization: str, trained: int, experts: int = 0) -> Model:
    """A model without tensors."""
    return Model(
        name=name,
        path=f"/models/{name}.gguf",
        files=(f"/models/{name}.gguf",),
        format="gguf",
        architecture=architecture,
        layers=48,
        context_trained=trained,
        embedding_length=5120,
        vocabulary=151936,
        heads=(40,) * 48,
        kv_heads=(8,) * 48,
        key_length=128,
        value_length=128,
        experts=Experts(count=experts, used=8, feed_forward=768) if experts else None,
        quantization=quantization,
        weights_bytes=int(gib * 1024 * MIB),
    )


MODELS = (
    model("Qwen3-Coder-30B-A3B-Instruct-Q4_K_M", 17.3, "qwen3moe", "Q4_K_M", 262144, 128),
    model("Qwen3-32B-Q4_K_M", 18.4, "qwen3", "Q4_K_M", 40960),
    model("gemma-3-27b-it-Q4_K_M", 15.4, "gemma3", "Q4_K_M", 131072),
    model("gpt-oss-20b-mxfp4", 11.3, "gpt-oss", "MXFP4", 131072, 32),
    model("GLM-4.7-Flash-Q4_K_M", 16.9, "deepseek2", "Q4_K_M", 202752, 64),
)
BROKEN = LibraryEntry(
    ref="/models/half.gguf",
    name="half-downloaded-Q8_0",
    source="~/models",
    path="/models/half.gguf",
    size_bytes=4 << 30,
    error="half.gguf ends in the middle of its header: download it again",
)


def candidates(*models: Model) -> tuple[LibraryEntry, ...]:
    """Rows of the picker."""
    return tuple(
        LibraryEntry(ref=one.path, name=one.name, source="~/models", path=one.path, size_bytes=one.weights_bytes, model=one)
        for one in models
    )


USE_CASES = (
    UseCase(name="chat", description="one person, long talks", context=65536, context_least=4096),
    UseCase(name="coding", description="agents: long prompts and tool schemas", context=65536, context_least=8192),
    UseCase(name="long", description="whole books and repositories", context=262144, context_least=32768),
    UseCase(name="batch", description="many short requests at once", context=8192, context_least=4096, parallel=8),
)
BUILD = Build(engine="llama.cpp", label="llama-server b6500 (CUDA)", version="b6500", argv=("/usr/bin/llama-server",))
