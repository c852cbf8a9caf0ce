"""A picture of the screen as SVG, made by the program itself: `python -m rigtui.tui.screenshot OUT.svg --rig FILE [--model PATH]`."""

from __future__ import annotations

import re

_TEXT = re.compile(r'(<text [^>]*?x=")([0-9.]+)("[^>]*?textLength=")([0-9.]+)("[^>]*>)((?:&#160;)+)?([^<]*?)((?:&#160;)*)(</text>)')


def tidy(svg: str) -> str:
    """The SVG without spaces at the ends of its texts: some renderers drop leading ones and shift what follows."""

    def trim(found: re.Match[str]) -> str:
        head, x, middle, length, tail, leading, text, trailing, end = found.groups()
        before, after = len(leading or "") // 6, len(trailing) // 6
        inside = len(re.sub(r"&[^;]+;", "x", text))
        total = before + inside + after
        if not inside or not total:
            return "" if not inside else found.group(0)
        cell = float(length) / total
        return f"{head}{float(x) + before * cell:g}{middle}{inside * cell:g}{tail}{text}{end}"

    return _TEXT.sub(trim, svg)
