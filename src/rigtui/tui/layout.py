"""How a part of the screen gets the size of what it shows now, however often that changes before the screen is laid out."""

from __future__ import annotations

from textual.geometry import Size
from textual.screen import Screen, ScreenResultType


class LaidOut(Screen[ScreenResultType]):
    """A screen that measures a part anew whenever the part asked for it.

    Textual 8.2.8 keeps a part's measure under the number of times it asked to be laid out (`Widget._get_box_model`), but counts a second
    time only once the first was heard (`Widget.refresh`). A part that changes, is measured by a resize before it was heard, and changes
    again would then keep the first measure for good.
    """

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        super()._refresh_layout(size, scroll)
        for part in self._compositor.widgets:
            if part._layout_required:
                part._layout_updates += 1
