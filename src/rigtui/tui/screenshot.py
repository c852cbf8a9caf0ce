"""A picture of the screen as SVG, made by the program itself.

`python -m rigtui.tui.screenshot OUT.svg [--rig FILE] [--models DIR] [--size 120x36] [--keys u,right_square_bracket] [--theme NAME]`
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.errors import EXIT_DONE, RigtuiError
from rigtui.tui.app import RigtuiApp
from rigtui.tui.theme import load_themes
from rigtui.tui.tips import TIPS
from rigtui.tui.wiring import services as local_services

if TYPE_CHECKING:
    from rigtui.models.library import LibraryEntry
    from rigtui.tui.services import ScanReport, Services

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


def only_below(services: Services, folder: Path) -> Services:
    """The same services with the models of one folder alone, without the runs of this machine and the first steps of its user."""

    def scan(_report: ScanReport, cancelled: Callable[[], bool]) -> tuple[LibraryEntry, ...]:
        found = services.scan(lambda _found, _looked: None, cancelled)
        return tuple(entry for entry in found if Path(entry.path).is_relative_to(folder))

    return replace(services, scan=scan, read_runs=lambda: (), read_tips=lambda: frozenset(TIPS))


async def picture(app: RigtuiApp, size: tuple[int, int], keys: list[str]) -> str:
    """Open the screen without a terminal, press keys, and return it as SVG. Raises RigtuiError when no plan comes."""
    async with app.run_test(size=size) as pilot:
        await _planned(app)
        for key in keys:
            await pilot.press(key)
            await _planned(app)
        await pilot.pause(0.2)
        return tidy(app.export_screenshot(title="rigtui"))


async def _planned(app: RigtuiApp) -> None:
    deadline = time.monotonic() + 30
    while True:
        await asyncio.sleep(0.05)
        state = app.cockpit.state
        placed = [entry for entry in state.candidates if entry.path in state.placements]
        usable = [entry for entry in state.candidates if entry.model is not None]
        current = all(state.placements[entry.path].choice == state.survey for entry in placed)
        if not state.scanning and state.plan is not None and len(placed) >= len(usable) and current:
            return
        if time.monotonic() > deadline:
            raise RigtuiError(f"no plan came: {state.plan_problem or 'no model was found'}")


def main(argv: list[str] | None = None) -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="rigtui.tui.screenshot", description="A picture of the screen as SVG.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rig", dest="rig_file", default=None, metavar="FILE")
    parser.add_argument("--models", type=Path, default=None, metavar="DIR", help="show the models of this folder alone")
    parser.add_argument("--size", default="120x36", metavar="WxH")
    parser.add_argument("--keys", default="", metavar="KEY,…", help="pressed one after the other, by Textual's names")
    parser.add_argument("--theme", default=None)
    args = parser.parse_args(argv)
    width, _, height = args.size.partition("x")
    folders = (str(args.models),) if args.models else ()
    options = argparse.Namespace(rig_file=args.rig_file, profiles_dir=None, no_color=False, read_only=True, model_folders=folders)
    services = local_services(options)
    if args.models:
        services = only_below(services, args.models)
    app = RigtuiApp(services, themes=load_themes(), theme=args.theme)
    svg = asyncio.run(picture(app, (int(width), int(height)), [key for key in args.keys.split(",") if key]))
    args.out.write_text(svg, encoding="utf-8")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
