"""Whether a new build of an engine is slower or takes more memory than the one before, by what runs measured. Pure.

Compared are runs of one model with the same settings on the same cards. A difference counts when it is beyond the noise: more than the
earlier runs differ among themselves, and more than a measurement of a minute can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rigtui.planning.outcomes import AttemptResult, RunResult, cards_of
from rigtui.text import MIB, clean, mib

COMPARED = 5
"""Latest runs of the earlier build."""
SPEED_NOISE = 0.1
"""Share by which speeds of equal runs differ: clocks, temperature, a busy desktop."""
MEMORY_NOISE_BYTES = 64 * MIB


def regressions(run: RunResult, runs: Sequence[RunResult]) -> tuple[str, ...]:
    """What got worse with `run`'s build against the build before it, one sentence each; `runs` are all, oldest first."""
    now = run.attempt[-1] if run.attempt else None
    if now is None or now.outcome != "ready" or not _teaches(run):
        return ()
    before = [
        other
        for other in runs
        if _teaches(other)
        and other.started < run.started
        and (other.fingerprint, other.engine, cards_of(other)) == (run.fingerprint, run.engine, cards_of(run))
        and other.build != run.build
        and any(_alike(attempt, now) for attempt in other.attempt)
    ]
    if not before:
        return ()
    build = before[-1].build
    past = [attempt for other in before if other.build == build for attempt in other.attempt if _alike(attempt, now)][-COMPARED:]
    than = f"than with {clean(build)}"
    return (*_slower(now, past, than), *_fatter(now, past, than))


def _teaches(run: RunResult) -> bool:
    return not (run.simulated or run.forgotten) and run.trial is None


def _alike(attempt: AttemptResult, now: AttemptResult) -> bool:
    """Ready, nothing spilled, with the same settings and the same layers on the same cards."""
    return attempt.outcome == "ready" and attempt.spilled is None and _settings(attempt) == _settings(now)


def _settings(attempt: AttemptResult) -> tuple[object, ...]:
    placed = tuple((device.uuid or device.name, device.layers, device.output) for device in attempt.devices)
    return attempt.context_per_slot, attempt.parallel, attempt.kv_type, attempt.batch, attempt.ubatch, attempt.prompt_tokens, placed


def _slower(now: AttemptResult, past: Sequence[AttemptResult], than: str) -> list[str]:
    found = []
    for name, speed, known in (
        ("decode", now.decode_tok_s, [attempt.decode_tok_s for attempt in past]),
        ("prefill", now.prefill_tok_s, [attempt.prefill_tok_s for attempt in past]),
    ):
        speeds = [value for value in known if value]
        if not speed or not speeds:
            continue
        usual = median(speeds)
        noise = max(SPEED_NOISE, (max(speeds) - min(speeds)) / usual)
        if speed < usual * (1 - noise):
            found.append(f"{name} is slower {than}: {speed:,.1f} instead of {usual:,.1f} tok/s ({speed / usual - 1:+.0%})")
    return found


def _fatter(now: AttemptResult, past: Sequence[AttemptResult], than: str) -> list[str]:
    found = []
    for index, device in enumerate(now.devices):
        peaks = [attempt.devices[index].peak_bytes for attempt in past if attempt.peak_basis == now.peak_basis]
        known = [peak for peak in peaks if peak is not None]
        if device.peak_bytes is None or not known:
            continue
        more = device.peak_bytes - max(known)
        if more > max(MEMORY_NOISE_BYTES, max(known) - min(known)):
            found.append(f"{clean(device.name)} holds {mib(more)} more {than}: {mib(device.peak_bytes)} instead of {mib(max(known))}")
    return found
