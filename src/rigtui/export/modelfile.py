"""A profile and its plan as a Modelfile of Ollama. Pure.

A Modelfile holds the model, its context and how it answers. Where the layers lie, what stays free and the type of the cache are the
server's own affair: what of a plan the server can be told stands in comments, and so does what it cannot be told.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from rigtui.export.arguments import BARE, take
from rigtui.export.exported import CannotSayError, Exported
from rigtui.export.served import Served, by_option, plain, refusing, served, several, title
from rigtui.planning.plan import Plan
from rigtui.text import clean, slug

WHAT = "a Modelfile"
CACHE_TYPES = ("f16", "q8_0", "q4_0")
_SAMPLING = {
    "temperature": ("--temp", "--temperature"),
    "top_k": ("--top-k",),
    "top_p": ("--top-p",),
    "min_p": ("--min-p",),
    "repeat_penalty": ("--repeat-penalty",),
    "repeat_last_n": ("--repeat-last-n",),
    "seed": ("-s", "--seed"),
    "num_predict": ("-n", "--predict", "--n-predict"),
    "stop": ("-r", "--reverse-prompt"),
}
"""Parameters of a Modelfile, and llama-server's options for them. `stop` may be given several times."""
_PARAMETERS = {option: parameter for parameter, options in _SAMPLING.items() for option in options}
_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_OWN = ("model", "context", "parallel", "batch", "kv_k", "kv_v", "fit_target", "main_gpu", "verbosity", "load_mode", "alias")
"""Options of a plan that stand here in other words, or that say how rigtui starts and watches an engine."""


def write(entries: Sequence[Exported]) -> str:
    """The text of a Modelfile of the one entry. Raises RigtuiError with the profile and the reason."""
    several(entries, WHAT, "holds")
    (entry,) = entries
    with refusing(entry, WHAT):
        one = served(entry, WHAT)
        _refuse(one.plan)
        parameters, left = _parameters(one)
        lines = [
            "# Written by `rigtui export --to modelfile`.",
            f"# {plain(one.title)}: {title(one.plan)}",
            f"# Make the model with: ollama create {slug(one.title).lower()} -f FILE",
            f"FROM {_value(one.plan.model.path)}",
            *(f"PARAMETER {name} {_value(value)}" for name, value in parameters),
            *_server(one.plan, left),
        ]
        return "\n".join(lines) + "\n"


def _refuse(plan: Plan) -> None:
    if plan.engine != "llama.cpp":
        raise CannotSayError(f"it runs with {plan.engine}, and Ollama takes GGUF models")
    if _PART.search(plan.model.path):
        raise CannotSayError("its model is in several files, and Ollama takes one; join them with llama-gguf-split --merge")


def _parameters(one: Served) -> tuple[list[tuple[str, str]], list[str]]:
    """The parameters, and the arguments that no parameter stands for."""
    found = [("num_ctx", str(one.plan.context_per_slot))]
    args = [word for word in one.args if word not in BARE and word != "--jinja"]
    for name in _OWN:
        _, args = take(args, name)
    split, args = take(args, "split_mode")
    # Ollama has one size for both kinds of batch; the smaller one decides the memory.
    ubatch, args = take(args, "ubatch")
    layers, args = take(args, "gpu_layers")
    device, args = take(args, "device")
    if ubatch is not None:
        found.append(("num_batch", ubatch))
    if device == "none" or (layers or "").isdecimal():
        found.append(("num_gpu", "0" if device == "none" else layers or ""))
    left = [] if device in (None, "none") else [f"--device {device}"]
    left += [] if split in (None, "layer", "none") else [f"--split-mode {split}"]
    for option, *values in by_option(args):
        parameter = _PARAMETERS.get(option)
        if parameter is None or len(values) != 1:
            left.append(shlex.join([option, *values]))
            continue
        found = [pair for pair in found if pair[0] != parameter or parameter == "stop"]
        found.append((parameter, values[0]))
    return found, left


def _server(plan: Plan, left: Sequence[str]) -> list[str]:
    """Comments: what the server is told for all its models, and what it cannot be told."""
    env = dict(plan.env)
    if plan.parallel > 1:
        env["OLLAMA_NUM_PARALLEL"] = str(plan.parallel)
    if len(plan.devices) > 1:
        env["OLLAMA_SCHED_SPREAD"] = "1"
    k, v = plan.kv_type
    if (k, v) != ("f16", "f16") and k == v and k in CACHE_TYPES:
        env |= {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": k}
    elif (k, v) != ("f16", "f16"):
        left = [f"KV cache {k}/{v} (Ollama: {', '.join(CACHE_TYPES)}, one for both)", *left]
    targets, _ = take(list(plan.command), "fit_target")
    if targets is not None:
        env["LLAMA_ARG_FIT_TARGET"] = targets
    lines = ["", "# Ollama decides itself where the layers go and what stays free; a Modelfile cannot say it."]
    if env:
        lines.append("# Its server comes nearest to the plan with these variables (for all its models; LLAMA_ARG_… from Ollama 0.30 on):")
    lines += [f"#   {plain(f'{name}={shlex.quote(value)}')}" for name, value in sorted(env.items())]
    return lines + ([f"# Not carried over: {plain('; '.join(left))}"] if left else [])


def _value(text: str) -> str:
    """A value as Ollama's parser gives it back: it drops what is no print, and takes quotes and blanks at the ends off."""
    if any(not char.isprintable() and char not in "\n\t" for char in text) or '"""' in text:
        raise CannotSayError(f"`{clean(text)}` has three quotes together or a character that Ollama leaves out")
    if text.startswith('"') or text != text.strip(" \t") or "\n" in text or not text:
        return f'"""{text}"""'
    return text
