"""Plans and rigs written down by hand."""

from __future__ import annotations

from rigtui.planning.plan import Plan, PlanDevice, PlanModel
from rigtui.rig.rig import Gpu
from rigtui.text import GIB, MIB

RTX_4090 = Gpu(index=1, name="NVIDIA GeForce RTX 4090", uuid="GPU-4090", compute_capability="8.9", bandwidth_gb_s=1008, free_bytes=24 * GIB)
# In the first slot and of a newer generation, yet not the one CUDA counts first.
RTX_5070_TI = Gpu(
    index=0, name="NVIDIA GeForce RTX 5070 Ti", uuid="GPU-5070", compute_capability="12.0", bandwidth_gb_s=896, free_bytes=13 * GIB
)
DESK = (RTX_5070_TI, RTX_4090)


def device(gpu: Gpu, number: int, layers: int = 24, **more: object) -> PlanDevice:
    values: dict[str, object] = {
        "device": f"CUDA{number}",
        "uuid": gpu.uuid,
        "name": gpu.name,
        "layers": layers,
        "first_layer": 0,
        "weights_bytes": GIB,
        "kv_bytes": GIB,
        "compute_bytes": MIB,
        "floor_bytes": MIB,
        "used_bytes": 2 * GIB + 2 * MIB,
        "free_before_bytes": gpu.free_bytes,
        "free_after_bytes": 0,
        "headroom_bytes": 0,
    }
    return PlanDevice(**(values | more))  # type: ignore[arg-type]


def plan(*args: str, devices: tuple[PlanDevice, ...] = (), path: str = "/models/glm/GLM-Q8_0.gguf", **more: object) -> Plan:
    """A plan whose command is `llama-server -m PATH -c 131072 -np 1 -b 2048 -ub 512` and `args`."""
    values: dict[str, object] = {
        "status": "fits",
        "engine": "llama.cpp",
        "model": PlanModel(
            name="GLM-4.7-Flash", path=path, architecture="deepseek2", layers=47, weights_bytes=30 * GIB, context_trained=202752
        ),
        "use_case": "chat",
        "context": 131072,
        "context_per_slot": 131072,
        "parallel": 1,
        "kv_type": ("f16", "f16"),
        "devices": devices,
        "command": ("/usr/bin/llama-server", "-m", path, "-c", "131072", "-np", "1", "-b", "2048", "-ub", "512", *args),
        "env": {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-5070,GPU-4090"},
    }
    return Plan(**(values | more))  # type: ignore[arg-type]


BOTH = (device(RTX_5070_TI, 0), device(RTX_4090, 1))
"""Both cards in PCI order, as the plan's engine counts them."""
