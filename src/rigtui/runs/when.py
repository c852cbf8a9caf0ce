"""Times as the run's files have them."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp() -> str:
    """Now, as ISO 8601 in UTC: `2026-03-01T19:20:21Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
