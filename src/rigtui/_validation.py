"""What msgspec says about data that does not fit a type, in the words of the person who wrote the file."""

from __future__ import annotations

import re

import msgspec.inspect as ins

from rigtui.text import clean, nearest

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<where>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
_WORDS = {
    "`object`": "a table",
    "`array`": "a list",
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`null`": "nothing",
}


def sentence(message: str, kind: type) -> str:
    """One sentence for msgspec's `message` about data that was to be a `kind`."""
    matched = _AT.match(message)
    what, where = (matched["what"], matched["where"] or "") if matched else (message, "")
    found = _type_at(ins.type_info(kind), where)
    place = where.removeprefix(".").replace("[...]", ".*")
    if unknown := re.search(r"unknown field `(.*)`", what, re.DOTALL):
        name = clean(unknown[1])
        known = [f.encode_name for s in _structs(found) for f in s.fields]
        table = f" in [{place}]" if place else ""
        return f"unknown key `{name}`{table}; {_hint(name, known)}"
    if missing := re.search(r"missing required field `(.*)`", what):
        return f"the key `{place + '.' if place else ''}{missing[1]}` is missing"
    if wrong := re.search(r"Invalid enum value (.*)", what, re.DOTALL):
        value = clean(wrong[1].strip("'\""))
        return f"`{place}` cannot be `{value}`; {_hint(value, [str(v) for v in _values(found)])}"
    subject = f"`{place}`" if place else "the content"
    if expected := re.fullmatch(r"Expected (.*), got (.*)", what, re.DOTALL):
        return f"{subject} must be {_plain(expected[1])}, not {_plain(expected[2])}"
    if expected := re.fullmatch(r"Expected (.*)", what, re.DOTALL):
        return f"{subject} must be {_plain(expected[1])}"
    return clean(f"{subject}: {what}" if place else what)


def _hint(name: str, known: list[str]) -> str:
    if close := nearest(name, known):
        return f"did you mean `{close}`?"
    return "known are " + ", ".join(known) if known else "none is known here"


def _plain(text: str) -> str:
    for word, plain in _WORDS.items():
        text = text.replace(word, plain)
    parts = re.findall(r"`([^`]*)`", text)
    for part in parts:  # unions come as `int | null`
        text = text.replace(f"`{part}`", " or ".join(_WORDS.get(f"`{p}`", p) for p in part.split(" | ") if p != "null"))
    return clean(text)


def _options(kind: ins.Type) -> list[ins.Type]:
    return [option for t in kind.types for option in _options(t)] if isinstance(kind, ins.UnionType) else [kind]


def _structs(kinds: list[ins.Type]) -> list[ins.StructType]:
    return [k for k in kinds if isinstance(k, ins.StructType)]


def _values(kinds: list[ins.Type]) -> list[object]:
    values: list[object] = []
    for k in kinds:
        if isinstance(k, ins.LiteralType):
            values += k.values
        elif isinstance(k, ins.EnumType):
            values += [member.value for member in k.cls]
    return values


def _type_at(kind: ins.Type, where: str) -> list[ins.Type]:
    """The types that may stand at msgspec's path `where` (`.models.folders[0]`)."""
    kinds = _options(kind)
    for step in _STEP.finditer(where):
        inner: list[ins.Type] = []
        for k in kinds:
            if step["field"] is not None and isinstance(k, ins.StructType):
                inner += [f.type for f in k.fields if f.encode_name == step["field"]]
            elif isinstance(k, ins.DictType):
                inner.append(k.value_type)
            elif isinstance(k, ins.ListType | ins.VarTupleType | ins.SetType | ins.FrozenSetType):
                inner.append(k.item_type)
            elif isinstance(k, ins.TupleType):
                inner += k.item_types
        kinds = [option for t in inner for option in _options(t)]
    return kinds
