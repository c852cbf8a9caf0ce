"""Every page of the screen in a real terminal of 80 by 24, by keys alone."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator

import pytest

import nvml_stub as stub
from rigtui.paths import config_dir
from tools.make_gguf import tiny_llama

pytestmark = pytest.mark.engine


@pytest.fixture
def holder() -> Iterator[int]:
    """A live process that the driver names."""
    with subprocess.Popen(["sleep", "900"]) as process:
        yield process.pid
        process.kill()


def whole(screen: str, *, page: bool) -> None:
    """The first and the last line are there: a page that is too high loses one of them."""
    lines = screen.splitlines()
    assert len(lines) == 24 and max(map(len, lines)) <= 80
    assert lines[0].strip("─ "), "the title is on the first line"
    assert "? help" in lines[-1] and ("Esc back" in lines[-1]) is page


def test_every_page_by_keys_at_80x24(terminal, home, nvml_stub, holder):
    (home / "models").mkdir()
    tiny_llama(home / "models" / "alpha.gguf", name="alpha", context=8192)
    nvml_stub(stub.RTX_4090 + f"  process compute {holder} 2048\n" + stub.RTX_5070_TI)
    screen = terminal(80, 24)
    whole(screen.wait("0 RTX 4090", "KV cache", "w more"), page=False)

    screen.keys("v")
    whole(screen.wait("Who holds the VRAM", "sleep", "2.0 GiB", f"kill {holder}", "y copy command"), page=True)
    screen.keys("Escape")
    screen.wait("KV cache", gone="Who holds")

    screen.keys("d")
    whole(screen.wait("Doctor ·", "ok ", "r examine again"), page=True)
    screen.keys("r")
    screen.wait("r examine again")
    screen.keys("?")
    screen.wait("Help", "Launch the engine")
    screen.keys("Escape")
    screen.wait("Doctor ·", gone="Launch the engine")
    screen.keys("q")
    screen.wait("KV cache", gone="Doctor ·")

    screen.keys("w")
    screen.wait("▸ slots")
    screen.keys("Right")
    screen.wait("2 (yours)", "r undo mine")
    screen.keys("Down", "Enter")
    screen.wait("Cards, their order", "in  0 RTX 4090", "in  1 RTX 5070 Ti")
    screen.keys("+", "-", "Enter")
    screen.wait("1,0 (yours)", gone="Cards, their order")
    screen.keys("r")
    whole(screen.wait("KV cache", gone="yours"), page=False)

    screen.keys("p")
    screen.wait("Save as a profile", "alpha-chat")
    screen.keys("Enter")
    screen.wait("saved as")
    screen.keys("P")
    whole(screen.wait("Profiles ·", "alpha-chat", "downloaded", "Nothing was measured", "Enter load"), page=True)
    screen.keys("x")
    screen.wait("Section for models.conf", "MODEL=")
    screen.keys("Escape")
    screen.wait("Profiles ·", gone="Section for")
    screen.keys("c")
    screen.wait("Copy a profile")
    screen.text("alpha-copy")
    screen.keys("Enter")
    screen.wait("alpha-copy", "copied to")
    screen.keys("Delete")
    screen.wait("removed, z brings it back", "z undo")
    screen.keys("Up")
    screen.wait("Enter load")
    screen.keys("Enter")
    whole(screen.wait("KV cache", gone="Profiles ·"), page=False)
    profiles = [tomllib.loads(path.read_text()) for path in (config_dir() / "profiles").glob("*.toml")]
    assert [one["profile"]["name"] for one in profiles] == ["alpha-chat"], "the copy was removed with the page"
    screen.keys("q")
    screen.wait("LEFT")
