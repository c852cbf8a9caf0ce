"""A store of profiles in memory, with what their runs measured."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from rigtui.errors import UsageError
from rigtui.intent.profile import Profile, ProfileOverrides
from rigtui.runs.results import AttemptResult, ResultDevice, RunResult
from rigtui.text import MIB
from rigtui.tui.exporting import ExportText, in_every_format
from rigtui.tui.services import LoadedProfile, ProfileRow
from tui.fakes.models import MODELS, USE_CASES, candidates
from tui.fakes.tunings import FakeTuner

PROFILES = (
    Profile(name="coder", model=MODELS[0].path, use_case="coding", overrides=ProfileOverrides(context=32768, kv_type="q8_0")),
    Profile(name="gpt-oss-120b", model="hf:ggml-org/gpt-oss-120b-GGUF", description="OpenAI's large model\nmore"),
    Profile(name="writer", model=MODELS[2].path, use_case="long"),
)


def result(started: str, build: str, decode: float | None, *, failure: str | None = None) -> RunResult:
    """A run of the profile coder."""
    devices = tuple(
        ResultDevice(device=f"CUDA{at}", name=name, layers=24, headroom_bytes=0, planned_bytes=planned * MIB, peak_bytes=peak * MIB)
        for at, (name, planned, peak) in enumerate((("RTX 4090", 13800, 13650), ("RTX 5070 Ti", 7400, 7420)))
    )
    attempt = AttemptResult(
        outcome="failed" if failure else "ready",
        failure=failure,
        context=32768,
        context_per_slot=32768,
        parallel=1,
        kv_type=("q8_0", "q8_0"),
        split_mode="layer",
        decode_tok_s=decode,
        prefill_tok_s=1204.0,
        ttft_s=0.21,
        devices=devices,
    )
    return RunResult(
        run=started,
        started=started,
        node="here",
        model=MODELS[0].name,
        use_case="coding",
        engine="llama.cpp",
        build=build,
        outcome=attempt.outcome,
        command=(),
        attempt=(attempt,),
    )


class FakeProfiles:
    """A store of profiles in memory."""

    def __init__(self) -> None:
        self.stored = {profile.name: profile for profile in PROFILES}
        self.measured = {
            "coder": (
                result("2026-02-11T18:02:00Z", "llama-server b6211 (CUDA)", 36.4),
                result("2026-02-20T09:40:00Z", "llama-server b6500 (CUDA)", None, failure="out_of_vram"),
                result("2026-03-01T19:20:21Z", "llama-server b6500 (CUDA)", 38.2),
            )
        }
        self.of_models: dict[str, tuple[RunResult, ...]] = {}
        self.removed: list[str] = []
        self.kept: dict[str, Profile] = {}
        self.written: list[tuple[str, str]] = []
        self.tuned = FakeTuner()
        self.untunable = ""

    def tuner(self, name: str, again: bool, say: Callable[[str], object]) -> FakeTuner:
        say("asking the engine")
        if again:
            self.tuned = FakeTuner()
        return self.tuned

    def read(self) -> tuple[tuple[ProfileRow, ...], tuple[str, ...]]:
        rows = (
            ProfileRow(
                profile=one,
                model_state="not downloaded" if one.model.startswith("hf:") else "here",
                missing=f"{one.model} is not downloaded; get it with: hf download {one.model[3:]}" if one.model.startswith("hf:") else "",
                shipped=one.name.startswith("gpt"),
                path=f"/config/profiles/{one.name}.toml",
            )
            for one in self.stored.values()
        )
        return tuple(sorted(rows, key=lambda row: row.profile.name)), ()

    def results(self, name: str) -> tuple[RunResult, ...]:
        return self.measured.get(name, ())

    def model_results(self, name: str) -> tuple[RunResult, ...]:
        return self.of_models.get(name, ())

    def load(self, name: str) -> LoadedProfile:
        profile = self.stored[name]
        chosen = next(one for one in MODELS if one.path == profile.model)
        return LoadedProfile(candidates(chosen)[0], profile.intent({one.name: one for one in USE_CASES}))

    def duplicate(self, name: str, new: str) -> str:
        self.stored[new] = replace(self.stored[name], name=new)
        return f"/config/profiles/{new}.toml"

    def rename(self, name: str, new: str) -> str:
        self.stored[new] = replace(self.stored.pop(name), name=new)
        return f"/config/profiles/{new}.toml"

    def remove(self, name: str) -> str:
        self.removed.append(name)
        self.kept[name] = self.stored.pop(name)
        return f"/config/profiles/{name}.toml"

    def restore(self, text: str) -> str:
        name = text.split('"')[1]
        if name in self.stored:
            raise UsageError(f"there is a profile {name} already")
        self.stored[name] = self.kept.pop(name)
        return f"/config/profiles/{name}.toml"

    def text(self, name: str) -> str:
        return f'[profile]\nname = "{name}"\nmodel = "{self.stored[name].model}"\n'

    def write(self, name: str, text: str) -> str:
        if "model" not in text:
            raise UsageError("the edited profile: `profile.model` is missing")
        self.written.append((name, text))
        return f"/config/profiles/{name}.toml"

    def edit_outside(self, name: str) -> str | None:
        return None

    def export(self, name: str) -> tuple[ExportText, ...]:
        texts = {"models.conf": f"[{name}]\nMODEL=model.gguf\n", "sh": f"#!/bin/sh\n# {name}\nexec llama-server\n"}
        return in_every_format(lambda one: texts.get(one, f"# {name} for {one}\n"), name, self.text(name))
