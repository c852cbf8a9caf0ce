"""What every test stands on: a home of its own, and a driver library that shows the rig a test describes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import nvml_stub as stub
from rigtui.rig import sampler

# How long drawing and testing take says how busy the machine is, not whether rigtui is right.
settings.register_profile("rigtui", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rigtui")

# A shell that starts the tests in the background lets them, and with them all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture
def nvml_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Callable[[str], stub.StubRig]:
    """`nvml_stub(text)`: from here on NVML shows the rig of `text`, in this process and in the ones it starts.

    The rig that comes back can be changed while programs look at it; the format stands in tests/nvml_stub/rig_state.h.
    """
    library = stub.build(pytestconfig.cache.mkdir("nvml_stub"))

    def show(text: str) -> stub.StubRig:
        import ctypes

        import pynvml

        rig = stub.StubRig(tmp_path / "nvml", library, text)
        for name, value in rig.env.items():
            monkeypatch.setenv(name, value)
        # The bindings keep the library and its functions for the life of the process.
        monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        # A reader takes a UUID for the card that it knows by it, and the cards of all tests have the same ones.
        monkeypatch.setattr(sampler, "_shared", None)
        return rig

    return show
