"""The values of a run: what was asked, what is going on, what was measured. Sizes are bytes, times seconds since the epoch."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rigtui import __version__
from rigtui.engines.engine import Build, Failure, Phase, Spawn
from rigtui.intent.intent import Intent, with_settings
from rigtui.planning.constraints import Constraint
from rigtui.planning.outcomes import GivenUp, Trial
from rigtui.planning.plan import Plan, Status

STATE_SCHEMA = "rigtui.state/1"
LIVE_PHASES: frozenset[Phase] = frozenset({"starting", "loading", "ready", "stopping"})


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """What a client asks `launch` for."""

    plan: Plan
    intent: Intent
    build: Build
    model: str
    """The model's name for people."""
    profile: str | None = None
    """The profile it was launched from."""
    save: str | None = None
    """The name of the profile it is saved as; its results go there."""
    fingerprint: str = ""
    embedding: bool = False
    """The model gives vectors, not text."""
    host: str = "127.0.0.1"
    port: int | None = None
    """None: the next free one."""
    api_key_file: str | None = None
    """The key itself is never stored."""
    simulated: bool = False
    """Planned on the rig of a rig file: what is measured here says nothing about that rig."""
    constraints: tuple[Constraint, ...] = ()
    """What the plan had to respect beside the user's settings: lessons, steps taken by hand."""
    given_up: GivenUp | None = None
    """The engine that could not serve the model, where another one does."""
    trial: Trial | None = None
    """What the run tries beside the intent; its plan has it already."""
    owner: tuple[int, int] | None = None
    """Process (pid, start time) that the run serves alone: it ends with it. None: it runs until it is stopped."""
    replace: bool = False
    beside: bool = False
    """Start a second run even where the same model runs already."""
    probe: str = "quick"
    """How the run is measured: `quick`, or `full` with a prompt near the whole context."""
    stop_grace_s: float = 10.0
    """Between the polite signal and the one that cannot be ignored."""
    rig_file: str | None = None
    """The rig file it was planned on; None: this machine."""
    attempts: int = 5
    """At most; 1: a failure is the end."""
    mending_s: float = 1800.0
    """From the first failure on no attempt is begun after this long, time spent serving left out."""
    stuck_s: float = 600.0
    """An engine that says and reads nothing for so long while it loads is given up."""

    @property
    def tried(self) -> Intent:
        """The intent with what the trial sets."""
        return self.intent if self.trial is None else with_settings(self.intent, self.trial.settings)

    @property
    def name(self) -> str | None:
        """The profile the run belongs to, or None."""
        return self.save or self.profile


class Asked(Struct, frozen=True, kw_only=True):
    """`run.toml`: all that is needed to launch, compare and replay the run."""

    run: str
    started: str
    spawn: Spawn
    request: LaunchRequest
    learned: tuple[Constraint, ...] = ()
    """What later launches are to respect although this attempt need not."""


class Measured(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was observed, by the engine's own timings, NVML or a clock; None: could not be observed."""

    load_s: float | None = None
    ttft_s: float | None = None
    """From the request to the first token."""
    prefill_tok_s: float | None = None
    decode_tok_s: float | None = None
    prompt_tokens: int | None = None
    peak_bytes: dict[str, int] = {}
    """Highest use per card, by UUID."""
    peak_basis: str | None = None
    """`process`: the engine's own processes; `card`: growth of the whole card since before the launch (no process list, as under WSL)."""
    graph_splits: int | None = None
    kv_tokens: int | None = None
    layers: int | None = None
    """Layers on GPUs as the engine counts them, the output head as one."""
    context: int | None = None
    """Total, as the engine says."""
    spilled: str | None = None
    """How it showed that a part lies in RAM unplanned, where it serves all the same."""


class AttemptState(Struct, frozen=True, kw_only=True):
    """One plan launched and observed."""

    outcome: str | None = None
    """`ready`, `stopped` or `failed`; None while it is not known."""
    failure: Failure | None = None
    change: str | None = None
    """What was changed against the attempt before."""


class OfferedStep(Struct, frozen=True, kw_only=True):
    """A way on from the last failure, as it may be taken by hand."""

    text: str
    """What happened and what is done about it."""
    summary: str
    """The plan it leads to: cards, KV type, what lies in RAM."""
    status: Status
    context: int
    """Total over all slots."""


class RunState(Struct, frozen=True, kw_only=True):
    """`state.json`: what a run does now."""

    schema: str = STATE_SCHEMA
    version: str = __version__
    """Of the rigtui that wrote it."""
    run: str
    node: str
    boot_id: str
    supervisor_pid: int | None = None
    supervisor_started: int | None = None
    """Start time in clock ticks since boot: together with pid and boot it names one process for certain."""
    pid: int | None = None
    """The engine's."""
    pid_started: int | None = None
    phase: Phase = "starting"
    attempt: int = 1
    attempts: tuple[AttemptState, ...] = (AttemptState(),)
    attempts_most: int = 5
    steps: tuple[OfferedStep, ...] = ()
    """The ways on from the last failure."""
    step: int | None = None
    """The one of `steps` that was taken; None: none of them."""
    host: str
    port: int
    url: str
    """`http://host:port`; the OpenAI base URL is that with `/v1`."""
    model: str
    """For people."""
    model_id: str
    """What the engine's API calls it."""
    model_path: str
    profile: str | None = None
    engine: str
    build: str
    context: int
    planned_bytes: dict[str, int] = {}
    """Per card UUID (device name where there is none)."""
    logged_bytes: dict[str, int] = {}
    """What the engine says it allocated, likewise."""
    runtime_bytes: dict[str, int] = {}
    """What the plan counts for the bare engine process, which no log line shows."""
    progress: float | None = None
    """Of loading, 0 to 1."""
    started: str
    ready_at: str | None = None
    ended: str | None = None
    heartbeat: float
    failure: Failure | None = None
    measured: Measured | None = None
    measuring: bool = False
    """Ready, and the short measurement is going on."""
    simulated: bool = False
    trial: bool = False
    """One of a tuning, which stops it."""
    acknowledged: tuple[str, ...] = ()
    """The last requests that were read, by file name."""
    notes: tuple[str, ...] = ()
    """What went wrong without ending the run, one sentence each."""

    @property
    def live(self) -> bool:
        """An engine runs, or is about to."""
        return self.phase in LIVE_PHASES


def supervisor_gone(state: RunState, *, rebooted: bool) -> RunState:
    """`state` as it is to be shown when it says it is live but no supervisor writes it any more."""
    why = "this machine was restarted while it ran" if rebooted else "its supervisor is gone (killed from outside), and the engine with it"
    if state.phase == "stopping":
        return replace(state, phase="stopped", notes=(*state.notes, f"while it was stopping, {why}"))
    failure = Failure(code="killed", text=f"{why}; run it again")
    attempts = (*state.attempts[:-1], replace(state.attempts[-1], outcome="failed", failure=failure)) if state.attempts else ()
    return replace(state, phase="failed", failure=failure, attempts=attempts)
