"""What frees the VRAM that a process holds: one sentence and, where there is one, the command. Pure."""

from __future__ import annotations

import re
import shlex

from msgspec import Struct

from rigtui.rig.rig import GpuProcess


class Freeing(Struct, frozen=True):
    """How to get the memory back."""

    text: str
    """One sentence: what this is and what to do."""
    command: str | None = None
    """Frees it when it is run; None where no one command does."""


_KILL = "kill"
_COMFYUI_FREE = (
    """curl -X POST http://127.0.0.1:8188/free -H 'Content-Type: application/json' -d '{"unload_models":true,"free_memory":true}'"""
)
_RULES: tuple[tuple[re.Pattern[str], Freeing], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), Freeing(text, command))
    for pattern, text, command in (
        (r"comfyui", "ComfyUI keeps its models between jobs; this unloads them (8188 is its usual port).", _COMFYUI_FREE),
        (r"\b(lm.?studio|lms)\b", "LM Studio keeps a model loaded; this unloads all of them.", "lms unload --all"),
        (r"^llama[-_](server|cli)", "Another llama.cpp, not started by rigtui; ending it frees its model.", _KILL),
        (
            r"\b(vllm|sglang|koboldcpp|tabbyapi)\b",
            "Another inference server, not started by rigtui; ending it frees its model.",
            _KILL,
        ),
        (
            r"\b(firefox|chrome|chromium|brave|msedge|opera|vivaldi|librewolf)\b",
            "A browser: close tabs with video or 3D, or turn off its hardware acceleration; ending it frees all.",
            _KILL,
        ),
        (
            r"^(xorg|xwayland|gnome-shell|kwin|plasmashell|hyprland|sway|mutter|cinnamon|xfwm4|weston|cosmic-comp|sddm|gdm)",
            "The desktop itself: it goes with your session. Plug the screen into another card or the board to free this one.",
            None,
        ),
        (r"", "Ending it frees its memory; save its work first.", _KILL),
    )
)


def what_frees(process: GpuProcess, *, mine: bool | None = None, model: str | None = None, run: str | None = None) -> Freeing:
    """What gives the VRAM of `process` back.

    `mine`: it belongs to the user who asks (None: unknown); `model`: the model an Ollama process serves, as Ollama calls it;
    `run`: the id of the run of rigtui that it belongs to.
    """
    if process.engine or run:
        return Freeing("An engine that rigtui started; stopping its run frees it.", f"rigtui stop {run}" if run else "rigtui ps")
    if process.name.lower().startswith("ollama"):
        return _ollama(model)
    found = next(freeing for pattern, freeing in _RULES if pattern.search(process.name))
    if found.command != _KILL:
        return found
    return Freeing(found.text, f"{'sudo ' if mine is False else ''}kill {process.pid}")


def _ollama(model: str | None) -> Freeing:
    if model:
        text = "Ollama keeps a model loaded for some minutes after its last answer; this unloads it."
        return Freeing(text, f"ollama stop {shlex.quote(model)}")
    return Freeing("Ollama keeps a model loaded for some minutes; `ollama ps` names it, `ollama stop NAME` unloads it.", "ollama ps")
