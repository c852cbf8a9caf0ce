"""`rigtui models`: the models found on this machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rigtui.cli.output import note, print_json
from rigtui.errors import EXIT_DONE
from rigtui.text import clean, gib

if TYPE_CHECKING:
    from rigtui.models.library import LibraryEntry

MODELS_SCHEMA = "rigtui.models/1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="look into these folders too")
    parser.add_argument("--json", action="store_true", help="as JSON (rigtui.models/1)")


def run(args: argparse.Namespace) -> int:
    """Search and print; progress on stderr when that is a terminal."""
    from rigtui.intent.config import load_config
    from rigtui.models.library import scan
    from rigtui.models.places import places

    folders = (*args.paths, *load_config().models.folders)
    entries = scan(folders, _progress if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if args.json:
        print_json({"schema": MODELS_SCHEMA, "models": [_scalar(entry) for entry in entries]})
    elif not entries:
        looked = ", ".join(place.label for place in places(folders)) or "no folder with models is there"
        note(f'no model was found ({looked}); put a GGUF file into ~/models, or name folders in config.toml: [models] folders = ["/data"]')
    else:
        print("\n".join(_table(entries)))
    return EXIT_DONE


def _progress(entries: tuple[LibraryEntry, ...], looked: int) -> None:
    sys.stderr.write(f"\r\x1b[K{looked} files, {len(entries)} models")
    sys.stderr.flush()


def _scalar(entry: LibraryEntry) -> dict[str, Any]:
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


def _table(entries: tuple[LibraryEntry, ...]) -> list[str]:
    lines = []
    for entry in entries:
        model = entry.model
        if model is None:
            lines.append(f"{clean(entry.name)}: cannot be used: {clean(entry.error or 'unknown')}")
        else:
            context = f"{model.context_trained:,} tokens" if model.context_trained else "context unknown"
            what = f"{model.quantization or '?'}, {model.architecture}, {gib(entry.size_bytes)}, {context}"
            lines.append(f"{clean(entry.name)}: {what} ({entry.source})")
        lines.append(f"    {clean(entry.ref)}")
    return lines
