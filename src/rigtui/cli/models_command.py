"""`rigtui models`: the models found on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE, UsageError
from rigtui.text import clean, gib

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rigtui.models.library import LibraryEntry

MODELS_SCHEMA = "rigtui.models/1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="look into these folders (or at these files), and nowhere else")
    parser.add_argument("--hub", metavar="QUERY", help="search the Hugging Face hub for GGUF models instead")
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.models/1)")


def run(args: argparse.Namespace) -> int:
    """Search and print; progress on stderr when that is a terminal."""
    if args.hub is not None:
        return _hub(args)
    from rigtui.intent.config import load_config
    from rigtui.models.library import scan
    from rigtui.models.places import places

    if absent := next((path for path in args.paths if not os.path.exists(path)), None):  # noqa: PTH110
        raise UsageError(f"there is no folder or file {clean(absent)}")
    folders = tuple(args.paths) or load_config().models.folders
    everywhere = not args.paths
    entries = scan(folders, _progress if sys.stderr.isatty() else None, stores=everywhere)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if args.json:
        print_json({"schema": MODELS_SCHEMA, "models": [_scalars(entry) for entry in entries]})
    elif not entries:
        looked = ", ".join(place.label for place in places(folders, stores=everywhere)) or "no folder with models is there"
        note(f'no model was found ({looked}); put a GGUF file into ~/models, or name folders in config.toml: [models] folders = ["/data"]')
    else:
        print("\n".join(_table(entries)))
    return EXIT_DONE


def _hub(args: argparse.Namespace) -> int:
    from rigtui.models.hub import search

    if args.paths:
        raise UsageError("--hub searches the hub, not folders; leave the paths out")
    if not args.hub.strip():
        raise UsageError("say what to search the hub for: rigtui models --hub qwen3-32b")
    found = search(args.hub)
    if args.json:
        rows = [
            {"ref": model.ref, "source": "Hugging Face", "size_bytes": model.size_bytes, "files": list(model.files), "gated": model.gated}
            for model in found
        ]
        print_json({"schema": MODELS_SCHEMA, "models": rows})
    elif not found:
        note(f"the hub has no GGUF model for {clean(args.hub)}; try fewer words")
    else:
        print(
            "\n".join(f"{gib(model.size_bytes):>10}  {clean(model.ref)}{'  (asks for consent)' if model.gated else ''}" for model in found)
        )
        note("`rigtui plan REF` says how one of them would run here, before anything is downloaded")
    return EXIT_DONE


def _progress(entries: tuple[LibraryEntry, ...], looked: int) -> None:
    sys.stderr.write(f"\r\x1b[K{looked} files, {len(entries)} models")
    sys.stderr.flush()


def _scalars(entry: LibraryEntry) -> dict[str, Any]:
    model = entry.model
    return {
        "ref": entry.ref,
        "name": entry.name,
        "source": entry.source,
        "path": entry.path,
        "size_bytes": entry.size_bytes,
        "error": entry.error,
        "format": model.format if model else None,
        "architecture": model.architecture if model else None,
        "quantization": model.quantization if model else None,
        "layers": model.layers if model else None,
        "parameters": model.parameters if model else None,
        "context_trained": model.context_trained if model else None,
        "experts": model.experts.count if model and model.experts else 0,
        "embedding_model": model.embedding_model if model else None,
        "fingerprint": model.fingerprint if model else None,
    }


_HEADINGS = ("NAME", "QUANT", "ARCHITECTURE", "SIZE", "CONTEXT", "SOURCE", "MODEL")


def _table(entries: Iterable[LibraryEntry]) -> list[str]:
    """Aligned columns; what the command line takes as MODEL stands last, whole, so that it can be copied."""
    rows = [_HEADINGS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]


def _row(entry: LibraryEntry) -> tuple[str, ...]:
    model = entry.model
    name, ref = _short(clean(entry.name), 40), clean(entry.ref)
    if model is None:
        why = clean(entry.error or "unknown").removeprefix(f"{ref}: ").removeprefix(f"{ref} ")
        return (name, "cannot be used", "", gib(entry.size_bytes), "", clean(entry.source), f"{ref} ({why})")
    context = f"{model.context_trained:,}" if model.context_trained else "?"
    return (name, model.quantization or "?", model.architecture, gib(entry.size_bytes), context, _short(clean(entry.source), 24), ref)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
