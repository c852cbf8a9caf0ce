"""What vLLM says when memory is short, with all the numbers that it gives away. Pure.

Sources (vLLM 0.33): v1/worker/utils.py:718 and cpu_worker.py (what is free at the start), v1/core/kv_cache_planning.py:50 (KV cache),
config/model.py (longer than the model was made for), config/compilation.py:1519 of 0.32 (states while graphs are captured), torch's
allocators.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from rigtui.engines.engine import Failure, Stage
from rigtui.text import GIB, KIB, MIB, gib

_ROUNDED_GIB = 0.005
"""Sizes are printed with two decimals."""
_UNITS = {"bytes": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}


class Said(Struct, frozen=True, kw_only=True):
    """An error in the log."""

    text: str
    line: str
    """To show."""
    logged: bool = True
    """As an error; False: printed without a level, which may be anything."""
    device: str | None = None
    """Of the worker that said it."""
    functions: tuple[str, ...] = ()
    """Of the traceback before it, outermost first."""
    source: str = ""
    """The last line of code in that traceback."""

    @property
    def shown(self) -> str:
        """The line; with the code for an exception that says nothing."""
        return f"{self.line} ({self.source})" if self.source and self.line.endswith(("Error", "Exception")) else self.line


def memory_failure(said: Sequence[Said], *, cpu: bool) -> Failure | None:
    """What the first line that tells of too little memory or too long a context means; `cpu`: the engine has no cards."""
    for one in said:
        for pattern, read in _PATTERNS:
            if match := pattern.search(one.text):
                return read(match, one, cpu)
    return None


# The function of a worker that was running, outermost first, says for what memory was asked.
_STAGES: dict[str, Stage] = {
    "load_model": "weights",
    "initialize_from_config": "kv",
    "initialize_kv_cache": "kv",
    "determine_available_memory": "compute",
    "compile_or_warm_up_model": "compute",
    "execute_model": "runtime",
    "sample_tokens": "runtime",
}
_DOING: dict[Stage, str] = {
    "weights": " while loading the weights",
    "kv": " while making the KV cache",
    "compute": " while measuring or capturing its graphs",
    "runtime": " while computing",
}


def _stage(one: Said) -> Stage | None:
    if "Failed to load model" in one.text:
        return "weights"
    if "warming up" in one.text:
        return "compute"
    return next((_STAGES[name] for name in one.functions if name in _STAGES), None)


def _out_of_vram(match: re.Match[str], one: Said, _cpu: bool) -> Failure:
    found = match.groupdict()
    device = f"CUDA{found['index']}" if found.get("index") else one.device
    asked = round(float(found["asked"]) * _UNITS[found["unit"]]) if found.get("asked") else None
    free = round(float(found["free"]) * _UNITS[found["free_unit"]]) if found.get("free") else None
    stage = _stage(one)
    what = f" for {gib(asked)}" if asked is not None else ""
    left = f", {gib(free)} were free" if free is not None else ""
    return Failure(
        code="out_of_vram",
        text=f"{device or 'a GPU'} had no VRAM left{what}{_DOING[stage] if stage else ''}{left}",
        line=one.line,
        device=device,
        stage=stage,
        asked_bytes=asked,
        missing_bytes=asked - free if asked is not None and free is not None and asked > free else None,
    )


def _out_of_ram(match: re.Match[str], one: Said, _cpu: bool) -> Failure:
    asked = match.groupdict().get("asked")
    what = f" for {gib(int(asked))}" if asked else ""
    text = f"the system had no RAM left{what}; choose a smaller context or model, or free memory"
    return Failure(code="out_of_ram", text=text, line=one.line, device="CPU", stage=_stage(one), asked_bytes=int(asked) if asked else None)


def _less_free(match: re.Match[str], one: Said, _cpu: bool) -> Failure:
    """The share of the card that was asked for is more than is free."""
    free, total, wanted = (float(match[name]) for name in ("free", "total", "wanted"))
    cpu = match["node"] is not None
    device = "CPU" if cpu else f"CUDA{match['index']}" if match["index"] else one.device
    # What passes for certain, whatever was lost in rounding.
    share = max(math.floor(100 * (free - _ROUNDED_GIB) / (total + _ROUNDED_GIB)) / 100, 0.0) if total > 0 else None
    passes = f"; {share:.2f} would pass" if share else ""
    where, kind = ("this machine", "RAM") if cpu else (device or "a GPU", "VRAM")
    return Failure(
        code="out_of_ram" if cpu else "out_of_vram",
        text=f"{match['share']} of {where} ({wanted:.2f} GiB) is more than the {free:.2f} of {total:.2f} GiB {kind} that are free{passes}",
        line=one.line,
        device=device,
        stage="runtime",
        missing_bytes=round(max(wanted - free, 0) * GIB) or None,
        utilization=share or None,
    )


def _no_ram_for_kv(match: re.Match[str], one: Said, _cpu: bool) -> Failure:
    free, wanted = float(match["free"]), float(match["wanted"])
    return Failure(
        code="out_of_ram",
        text=f"the KV cache was to have {wanted:.2f} GiB and {free:.2f} GiB RAM are free; choose a smaller context, or free memory",
        line=one.line,
        device="CPU",
        stage="kv",
        missing_bytes=round(max(wanted - free, 0) * GIB) or None,
    )


def _context_over_kv(match: re.Match[str], one: Said, cpu: bool) -> Failure:
    needed, there = float(match["needed"]), float(match["there"])
    longest = int(match["longest"]) if match["longest"] else None
    # Small models: both print as 0.0.
    sizes = f" needs {needed:g} GiB of KV cache and {there:g} GiB are left for it" if needed > there else " does not fit in the KV cache"
    fits = f"; {longest:,} tokens would fit" if longest else "; not even a short one fits"
    return Failure(
        code="context_too_long",
        text=f"one request of {int(match['asked']):,} tokens{sizes}{fits}",
        line=one.line,
        device="CPU" if cpu else None,
        stage="kv",
        missing_bytes=round(max(needed - there, 0) * GIB) or None,
        context=longest,
    )


def _no_kv(_match: re.Match[str], one: Said, cpu: bool) -> Failure:
    where = "of the RAM that it may take" if cpu else "of the share of the card that vLLM may take"
    return Failure(
        code="out_of_ram" if cpu else "out_of_vram",
        text=f"weights and computing leave nothing {where} for the KV cache",
        line=one.line,
        device="CPU" if cpu else one.device,
        stage="kv",
    )


def _states_over_kv(match: re.Match[str], one: Said, cpu: bool) -> Failure:
    """Every request of a model with recurrent layers holds a block of the cache while CUDA graphs are captured."""
    asked, there = int(match["asked"]), int(match["blocks"])
    return Failure(
        code="out_of_vram",
        text=f"graphs for {asked} requests at once need a cache block for the state of each, and {there} are there; {there} would pass",
        line=one.line,
        device="CPU" if cpu else one.device,
        stage="kv",
        sequences=there or None,
    )


def _context_over_model(match: re.Match[str], one: Said, _cpu: bool) -> Failure:
    most = math.floor(float(match["most"]))
    text = f"{int(match['asked']):,} tokens of context were asked for, the model was made for {most:,}"
    return Failure(code="context_too_long", text=text, line=one.line, context=most)


_Read = Callable[[re.Match[str], Said, bool], Failure]


def _pattern(pattern: str) -> re.Pattern[str]:
    """`#` is a number of bounded length."""
    return re.compile(pattern.replace("#", r"\d{1,9}(?:\.\d{1,6})?"), re.ASCII)


_PATTERNS: tuple[tuple[re.Pattern[str], _Read], ...] = (
    (
        _pattern(
            r"(?:Free memory on device (?:cuda:(?P<index>\d{1,3}) |[\w:]{1,20} )?|(?P<node>Available memory on node \d{1,3}) )"
            r"\((?P<free>#)/(?P<total>#) GiB\) on startup is less than [^(]{1,100}\((?P<share>#), (?P<wanted>#) GiB\)"
        ),
        _less_free,
    ),
    (
        _pattern(
            r"Available memory on node \d{1,3} \((?P<free>#)/# GiB\) on kv cache allocation is less than [^(]{1,60}\((?P<wanted>#)[ /]"
        ),
        _no_ram_for_kv,
    ),
    (
        _pattern(
            r"To serve at least one request with the models?'s max seq len \((?P<asked>\d{1,9})\), \((?P<needed>#) GiB KV cache is needed"
            r".{1,80}available KV cache memory \((?P<there>#) GiB\)(?:.{1,80}estimated maximum model length is (?P<longest>\d{1,9}))?"
        ),
        _context_over_kv,
    ),
    (_pattern(r"max_num_seqs \((?P<asked>\d{1,6})\) exceeds available Mamba cache blocks \((?P<blocks>\d{1,9})\)"), _states_over_kv),
    (_pattern(r"No available memory for the cache blocks|Cannot auto-fit max_model_len"), _no_kv),
    (
        _pattern(
            r"User-specified max_model_len \((?P<asked>\d{1,9})\) is greater than the derived max_model_len "
            r"\(\w{1,60}=(?P<most>#)"
        ),
        _context_over_model,
    ),
    (
        # torch; before 2.8 "capacty"
        _pattern(
            r"(?:CUDA|HIP|XPU) out of memory\. Tried to allocate (?P<asked>#) (?P<unit>[KMG]iB|bytes)\. GPU (?P<index>\d{1,3}) has a total "
            r"capac\w{1,4} of # [KMG]iB of which (?P<free>#) (?P<free_unit>[KMG]iB|bytes) is free"
        ),
        _out_of_vram,
    ),
    (
        _pattern(
            r"(?:CUDA|HIP|XPU) out of memory|CUDA (?:driver )?error: out of memory|HIP error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
            r"|Failed to load model - not enough GPU memory"
        ),
        _out_of_vram,
    ),
    (_pattern(r"can't allocate memory: you tried to allocate (?P<asked>\d{1,18}) bytes|^MemoryError|Cannot allocate memory"), _out_of_ram),
)
