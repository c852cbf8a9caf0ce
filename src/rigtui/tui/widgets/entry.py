"""A line to type into, as wide as its place: a letter repaints the line and nothing else."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Input


class Entry(Input):
    """Textual 8.2.8 lays the whole screen out for every letter, and sends all of it, because `virtual_size` follows the text."""

    virtual_size = Reactive(Size(0, 0))
