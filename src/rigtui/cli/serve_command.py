"""`rigtui serve`: the screen in a browser on this machine, read-only unless it is asked for more."""

from __future__ import annotations

import argparse

from rigtui.cli.output import note
from rigtui.errors import EXIT_DONE, MissingError

MISSING = "`rigtui serve` needs the extra `serve`: pip install 'rigtui[serve]'"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--port", type=_port, default=8000, metavar="P", help="where it listens on 127.0.0.1 (default 8000; 0: any free)")
    parser.add_argument("--allow-control", action="store_true", help="let the browser launch, stop and write; without it it only shows")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port (1 to 65535, or 0 for any free one)")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from rigtui.web.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("textual_serve", "aiohttp", "aiohttp_jinja2", "jinja2"):
            raise MissingError(MISSING) from error
        raise
    note("anyone who has this address can " + ("control rigtui" if args.allow_control else "see this rig") + "; Ctrl-C ends it")
    serve(screen_options(args), args.port, lambda address: print(address, flush=True))
    return EXIT_DONE


def screen_options(args: argparse.Namespace) -> list[str]:
    """The global options that each screen gets."""
    options = [] if args.allow_control else ["--read-only"]
    options += ["--rig", args.rig_file] if args.rig_file else []
    options += ["--profiles-dir", args.profiles_dir] if args.profiles_dir else []
    return [*options, *(["--no-color"] if args.no_color else [])]
