"""What is told in passing is told once, and belongs to the place it was told in: it goes when another page or dialog comes."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.css.query import NoMatches
from textual.widgets._toast import ToastRack


def stands(app: App[Any], text: str, title: str) -> bool:
    """Whether this is being told already: a key that is held down says why it does nothing once."""
    return any((note.message, note.title) == (text, title) for note in app._notifications)


def let_go(app: App[Any]) -> None:
    """Plain news are over; what failed and what is to be watched stays for its time, on the screen that is shown."""
    for note in [note for note in app._notifications if note.severity == "information"]:
        app._unnotify(note, refresh=False)
    try:
        # Textual 8.2.8 draws them below a dialog as well as above it. They come back with the screen.
        app.screen.get_child_by_type(ToastRack).display = False
    except NoMatches:
        return
