"""What rigtui ships is found in an editable install and in a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
from rigtui.intent.profiles import all_profiles, directories
from rigtui.paths import shipped
from rigtui.tui.theme import load_themes
found = all_profiles(directories())
print(shipped("themes"), len(found.entries), len(load_themes().themes), found.problems)
"""


def asked(python_path: str | None = None) -> list[str]:
    """Folder of the shipped themes, number of profiles and themes, problems."""
    code = f"import sys; sys.path.insert(0, {python_path!r}){ASK}" if python_path else ASK
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_an_editable_install_finds_the_repositorys_folders() -> None:
    where, profiles, themes, problems = asked()
    assert Path(where) == ROOT / "themes"
    assert int(profiles) == len(list((ROOT / "profiles").glob("*.toml"))) > 5
    assert int(themes) == len(list((ROOT / "themes").glob("*.toml"))) >= 3
    assert problems == "()"


@pytest.mark.engine
def test_a_wheel_carries_them_and_all_data(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--disable-pip-version-check", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    wheel = next(tmp_path.glob("rigtui-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    for wanted in (
        "rigtui/py.typed",
        "rigtui/rig/cards.toml",
        "rigtui/demo/rig.toml",
        "rigtui/intent/use_cases.toml",
        "rigtui/tui/cockpit.tcss",
    ):
        assert wanted in names
    where, profiles, themes, problems = asked(str(tmp_path / "installed"))
    assert Path(where) == tmp_path / "installed" / "rigtui" / "_data" / "themes"
    assert (int(profiles), int(themes), problems) == (
        len(list((ROOT / "profiles").glob("*.toml"))),
        len(list((ROOT / "themes").glob("*.toml"))),
        "()",
    )
