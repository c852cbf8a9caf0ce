"""Text from outside made safe to show, and numbers made readable."""

from __future__ import annotations

import re
from collections.abc import Iterable

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

# CSI, OSC/DCS/SOS/PM/APC strings up to their terminator, other two-character escapes; then lone C0/C1 controls.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
)
# Also the bidirectional controls, which can make a file name read as another one.
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Foreign text as one plain line: control sequences removed, tabs widened, only what follows the last carriage return.

    Bytes of a file name that are no UTF-8 become U+FFFD.
    """
    text = text.rstrip("\r\n")
    if "\r" in text:
        text = text.rsplit("\r", 1)[1]
    return storable(_CONTROLS.sub("", _ESCAPES.sub("", text))).replace("\t", "    ")


def storable(text: str) -> str:
    """`text` as UTF-8, and so JSON and TOML, can hold it: what Python made of other bytes in a file name becomes U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def utf8_problem(name: str) -> str | None:
    """What is wrong with a name that is not UTF-8 text, one sentence; None when it is."""
    if storable(name) == name:
        return None
    return f"{clean(name)} is not UTF-8 text, as names in JSON and in rigtui's files must be; rename it"


def mib(size: int | None) -> str:
    """Bytes as whole MiB with thousands separators, `?` when unknown."""
    return "?" if size is None else f"{round(size / MIB):,} MiB"


def gib(size: int | None) -> str:
    """Bytes as GiB with one decimal (MiB below a tenth of one), `?` when unknown."""
    if size is None:
        return "?"
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 or not size else mib(size)


def kilo(text: str) -> int | None:
    """`64k`, as people write a length, as the number it means (`k` is 1,024); None where `text` is nothing of the kind."""
    found = re.fullmatch(r"([0-9]{1,6})[kK]", text.strip())
    return int(found[1]) * KIB if found else None


def tokens(text: str) -> int | None:
    """A number of tokens as people write one: `65536`, `65,536` or `64k`; None where `text` is nothing of the kind."""
    if (short := kilo(text)) is not None:
        return short
    digits = re.sub(r"[,_]", "", text.strip())
    return int(digits) if re.fullmatch(r"[0-9]{1,12}", digits) else None


def counted(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that `name` most likely means, or None; `likeness` (0 to 1): how alike they must be, more among many names."""
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return found[0] if found else None


def slug(name: str) -> str:
    """`name` as an identifier of letters, digits, `-` and `_` (never empty)."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "model"
