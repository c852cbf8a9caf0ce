"""The lesson that is drawn from one run, in sentences. Pure."""

from __future__ import annotations

from rigtui.planning.experience import runtime_of
from rigtui.planning.outcomes import AttemptResult, RunResult
from rigtui.planning.remembered import described
from rigtui.text import MIB, clean, mib

WORTH_SAYING_BYTES = 16 * MIB
WORTH_SAYING_SPEED = 0.1


def lesson_of(run: RunResult) -> tuple[str, ...]:
    """What later plans take from the run."""
    if run.forgotten:
        return ("forgotten: later plans take nothing from it",)
    if run.simulated:
        return ("planned for another rig: later plans take nothing from it",)
    if not run.attempt:
        return ()
    last = run.attempt[-1]
    found = []
    if run.trial is not None:
        cards = {gpu.uuid: clean(gpu.name) for gpu in run.gpus if gpu.uuid}
        found.append(f"tried {described(run.trial.settings, cards)}" + (": the best, later plans begin with it" if run.chosen else ""))
    found += [f"from now on {clean(c.text)}" for c in last.constraints if c.origin in ("failure", "spill")]
    if last.spilled is not None:
        return (*found, "a part of it lay in RAM unplanned: later plans take neither speed nor memory from it")
    if last.outcome == "ready":
        found += [*_memory(last), *_speed(last)]
        return tuple(found) or ("it went as planned, and the same again is planned just like it",)
    return tuple(found)


def _memory(attempt: AttemptResult) -> list[str]:
    found = []
    for device in attempt.devices:
        runtime = runtime_of(attempt, device)
        if runtime is None or device.floor_bytes is None or abs(runtime - device.floor_bytes) < WORTH_SAYING_BYTES:
            continue
        text = f"beside its buffers the engine takes {mib(runtime)} on {clean(device.name)}, not {mib(device.floor_bytes)}"
        found.append(f"{text}: plans count with that")
    return found


def _speed(attempt: AttemptResult) -> list[str]:
    real, estimate = attempt.decode_tok_s, attempt.estimated_tok_s
    if not real or not estimate or abs(real / estimate - 1) < WORTH_SAYING_SPEED:
        return []
    return [f"decode was {real:,.1f} tok/s where {estimate:,.1f} were estimated: estimates for models like it are corrected by that"]
