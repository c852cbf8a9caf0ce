"""The command that gets a model from the Hugging Face hub."""

from __future__ import annotations

import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

from rigtui.text import clean


@cache
def program() -> str:
    """How `hf` is called here: by its name where PATH has it, else the one that came with rigtui."""
    beside = Path(sys.executable).with_name("hf")
    return "hf" if shutil.which("hf") is not None or not beside.is_file() else shlex.quote(str(beside))


def command(repository: str, *files: str, include: str | None = None) -> str:
    """`hf download …` for some files of a repository, for those that `include` matches, or for all."""
    chosen = [clean(name) for name in files] if include is None else ["--include", f"'{clean(include)}'"]
    return " ".join([program(), "download", clean(repository), *chosen])
