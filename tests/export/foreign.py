"""Names and arguments that formats trip over, and plans made of them."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from export.plans import BOTH, plan
from rigtui.export.exported import Exported
from rigtui.intent.profile import Profile
from rigtui.planning.plan import Plan

# What some format or other takes for a sign of its own, beside letters of several scripts and spaces that are none.
SIGNS = " \t'\"`$%#;:\\{}[]()<>|&*!?@,=~^-+./0aZé漢😀\u00a0\u2028\u0085\u200b\ufeff\x07\x7f"
ARGUMENTS = st.text(SIGNS, max_size=12)
"""One line each."""
NAMES = st.text(SIGNS.replace("/", ""), min_size=1, max_size=12).filter(lambda name: name.strip(".") != "")
ODD = ("--json", '{"a": "$HOME ${x} `x` \'y\'"}', "--note", "#1", "", "two  blanks", "*", "%h %% $$", "back\\slash\\", "é漢😀")


def entry(*args: str, name: str = "my coder", path: str = "/models/glm/GLM-Q8_0.gguf", **more: object) -> Exported:
    """A profile whose plan for two cards ends with `args`."""
    return Exported(Profile(name=name, model=path), plan(*args, path=path, **({"devices": BOTH} | more)))


def vllm(*args: str, path: str = "/models/qwen", **more: object) -> Plan:
    """A plan for vLLM on both cards."""
    command = ("/opt/vllm/bin/vllm", "serve", path, "--max-model-len", "8192", *args)
    made = plan(devices=BOTH, path=path, engine="vllm", engine_build="0.33.0", **more)
    return replace(made, command=command, model=replace(made.model, name="Qwen3-32B-AWQ"))
