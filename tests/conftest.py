"""What every test stands on: a home of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

_DIRECTORIES = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
    "XDG_RUNTIME_DIR": ".runtime",
}
# What points programs at model stores or settings of the person who runs the tests.
_FOREIGN = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS", "OLLAMA_HOST", "RIGTUI_NVML_STUB")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory: no test reads or writes the real one, nor do the processes it starts."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    for variable, below in _DIRECTORIES.items():
        directory = path / below
        directory.mkdir(mode=0o700, parents=True)
        monkeypatch.setenv(variable, str(directory))
    for variable in _FOREIGN:
        monkeypatch.delenv(variable, raising=False)
    return path
