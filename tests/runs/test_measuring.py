"""What is measured of a run that is ready, and what an engine that cannot be measured shows."""

from __future__ import annotations

from pathlib import Path

from rigtui.runs import watch
from runs.support import Runs


def test_an_engine_without_completions_still_serves(runs: Runs) -> None:
    state = runs.wait(runs.launch("--no-speed"), "ready", measured=True)
    assert any("could not be measured" in note and "501" in note for note in state.notes)
    assert state.measured is not None
    assert state.measured.decode_tok_s is None


def test_an_embedding_model_is_measured_without_a_decode_figure(runs: Runs) -> None:
    state = runs.wait(runs.launch("--no-speed", embedding=True), "ready", measured=True)
    assert state.measured is not None
    assert state.measured.prefill_tok_s is not None
    assert state.measured.decode_tok_s is None
    assert state.notes == () or not any("measured" in note for note in state.notes)


def test_the_key_opens_the_measurement_and_is_stored_nowhere(runs: Runs, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("very-secret-key\n")
    directory = runs.launch(api_key_file=str(key))
    state = runs.wait(directory, "ready", measured=True)
    assert state.measured is not None
    assert state.measured.decode_tok_s is not None
    watch.stop_and_wait(state)
    for path in (*directory.path.rglob("*"), *(tmp_path / "home").rglob("*.toml")):
        if path.is_file():
            assert b"very-secret-key" not in path.read_bytes(), path
