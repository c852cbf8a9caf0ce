"""What the doctor found."""

from __future__ import annotations

from rigtui.doctor.check import Check

CHECKS = (
    Check(id="driver", status="ok", text="driver 580.95, CUDA 13.0, 2 GPUs"),
    Check(id="gpu0", status="ok", text="GPU 0 NVIDIA GeForce RTX 4090: 23.1 GiB of 24.0 GiB free"),
    Check(id="gpu1", status="ok", text="GPU 1 NVIDIA GeForce RTX 5070 Ti: 12.5 GiB of 15.9 GiB free, drives the desktop"),
    Check(id="engine", status="ok", text="llama-server b6500 (CUDA), sees CUDA0, CUDA1"),
    Check(id="ram", status="ok", text="49.8 GiB of 62.5 GiB RAM free"),
    Check(
        id="permissions",
        status="fail",
        text="/home/anna/.local/state/rigtui cannot be written: no run can be started",
        mend="sudo chown -R $USER /home/anna/.local/state/rigtui",
    ),
    Check(
        id="cuda_order",
        status="warn",
        text="CUDA numbers cards by speed, nvidia-smi by PCI bus; rigtui passes UUIDs, but other programs may take the wrong card",
        mend="export CUDA_DEVICE_ORDER=PCI_BUS_ID",
    ),
    Check(id="docker", status="unknown", text="no Docker client here; it is needed only for engines in containers"),
)
