"""Whether the user's theme files changed since the last look: a stat for each, nothing read until one did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rigtui.tui.theme import Themes, directories, load_themes

INTERVAL_S = 2.0


class ThemeWatch:
    """Looks at the folders of themes again and again."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._folders = tuple(directories() if folders is None else folders)
        self._seen = self._look()

    def _look(self) -> tuple[tuple[Path, int, int], ...]:
        found = []
        for folder in self._folders:
            for path in sorted(folder.glob("*.toml")):
                try:
                    entry = path.stat()
                except OSError:
                    continue
                found.append((path, entry.st_mtime_ns, entry.st_size))
        return tuple(found)

    def changed(self) -> Themes | None:
        """All themes anew when a file came, went or changed; None: nothing did."""
        now = self._look()
        if now == self._seen:
            return None
        self._seen = now
        return load_themes(self._folders)
