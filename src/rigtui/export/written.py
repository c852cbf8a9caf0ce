"""An export as a file."""

from __future__ import annotations

from pathlib import Path

from rigtui.files import write_atomic


def write_out(path: Path, text: str) -> str:
    """Write an export, a script so that it can be started; returns where it lies, for people. Raises RigtuiError."""
    new = not path.parent.exists()
    write_atomic(path, text.encode("utf-8"))
    if text.startswith("#!"):
        path.chmod(0o755)
    return f"{path}, in the new folder {path.parent}" if new else str(path)
