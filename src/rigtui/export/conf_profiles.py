"""Profiles from the sections of a `models.conf`, and back as they were written.

What a profile has a field for goes there; everything else on the command line is kept in `engine_args` as it stands. Because a profile
has no field for NAME, SPEED or the exact spelling, the section's lines are kept at the end of the description, below a line
`models.conf:`. As long as the profile still says what these lines say, an export gives the very lines back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from rigtui.engines.llamacpp.command import FIT_OFF
from rigtui.errors import UsageError
from rigtui.export.arguments import take
from rigtui.export.conf_file import BLANK, Conf, Section, ordered, parse
from rigtui.export.conf_placement import fastest_first
from rigtui.intent.profile import Profile, ProfileOverrides, check
from rigtui.rig.rig import Gpu
from rigtui.text import clean

DEFAULT_CONTEXT = 131072
DEFAULT_KV = "q8_0"
"""What that tool's docker-compose.yml gives when a section does not say."""

_KEPT = "\n\nmodels.conf:\n"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,11}")
_DEVICE = re.compile(r"CUDA([0-9]{1,3})")
_FITTED_SPLITS = ("layer", "none")


class Imported(Struct, frozen=True):
    """What a file gave: profiles in its order, and one sentence for everything its owner should know."""

    profiles: tuple[Profile, ...]
    remarks: tuple[str, ...]


def read(text: str, path: str, models_dir: str, gpus: Sequence[Gpu] = ()) -> Imported:
    """The profiles of a file's text; models lie below `models_dir`. `gpus` are the cards of the rig that the file was made for.

    Raises UsageError with the first bad line.
    """
    conf: Conf = parse(text, path)
    profiles: list[Profile] = []
    remarks = list(conf.remarks)
    for section in conf.sections:
        profiles.append(profile_of(section, path, models_dir, gpus))
        remarks += fit_remarks(section, named=profiles[-1].overrides.gpus is not None)
    return Imported(tuple(profiles), tuple(remarks))


def _numbers(section: Section, key: str, path: str) -> tuple[int, ...]:
    """The whole numbers, comma-separated, of a key; () when it is not there or empty."""
    text = section.values.get(key, "")
    parts = text.split(",") if text else []
    if not all(_WHOLE.fullmatch(part) for part in parts):
        raise UsageError(f"{path}, line {section.lines.get(key, section.line)}: {key} must be whole numbers, not `{clean(text)}`")
    return tuple(int(part) for part in parts)


def profile_of(section: Section, path: str, models_dir: str, gpus: Sequence[Gpu] = ()) -> Profile:
    """The profile that a section means. Cards that it names by CUDA's numbers are the profile's, where `gpus` has them: in a container
    the fastest card is the first, and where rigtui launches the numbers are those of the driver.

    Raises UsageError with the line of a value that cannot be used.
    """
    model = PurePosixPath(section.values["MODEL"])
    if model.is_absolute() or ".." in model.parts:
        raise UsageError(
            f"{path}, line {section.lines.get('MODEL', section.line)}: MODEL must lie below the models folder, not at `{clean(str(model))}`"
        )
    fit = section.values.get("FIT", "")
    if fit not in ("", "on", "off"):
        raise UsageError(f"{path}, line {section.lines.get('FIT', section.line)}: FIT is on or off, not `{clean(fit)}`")
    args = section.values.get("EXTRA_ARGS", "").split()
    front: list[str] = []
    if (layers := section.values.get("N_GPU_LAYERS", "")) not in ("", "auto"):
        front += ["--n-gpu-layers", layers]
    if fit == "off":
        front += ["--fit", "off"]
    sizes = _numbers(section, "CTX_SIZE", path)
    if len(sizes) > 1:
        raise UsageError(f"{path}, line {section.lines.get('CTX_SIZE', section.line)}: CTX_SIZE is one number")
    parallel, args = _whole(args, "parallel")
    ubatch, args = _whole(args, "ubatch")
    stated, args = _whole(args, "context")
    total = stated or (sizes[0] if sizes else DEFAULT_CONTEXT)
    context, left = divmod(total, parallel or 1)
    if left or context < 1:
        # A total that is no multiple of the slots, or 0 for the model's own: only the flag can say it.
        front, context = [*front, "--ctx-size", str(total)], 0
    targets, args = _targets(args, _numbers(section, "FIT_TARGET", path))
    kv_k, args = take(args, "kv_k")
    kv_v, args = take(args, "kv_v")
    cards, args = _cards(args, gpus)
    key, value = kv_k or DEFAULT_KV, kv_v or DEFAULT_KV
    profile = Profile(
        name=section.id,
        model=f"{models_dir.rstrip('/')}/{section.values['MODEL']}",
        use_case="benchmark" if section.id.startswith("bench-") else "chat",
        engine="llama.cpp",
        description=_description(section),
        overrides=ProfileOverrides(
            context=context or None,
            parallel=parallel,
            kv_type=key if key == value else (key, value),
            gpus=cards or None,
            fit_target_mib=targets or None,
            ubatch=ubatch,
            engine_args=(*front, *args),
        ),
    )
    check(profile, f"{path}, line {section.line}, [{section.id}]")
    return profile


def _whole(args: list[str], name: str) -> tuple[int | None, list[str]]:
    """A whole number above 0 taken out of the arguments; anything else stays there for the engine to judge."""
    text, rest = take(args, name)
    if text is not None and _WHOLE.fullmatch(text) and int(text) > 0:
        return int(text), rest
    return None, args


def _cards(args: list[str], gpus: Sequence[Gpu]) -> tuple[tuple[int, ...], list[str]]:
    """The indexes of the cards that the arguments name, in their order, and the arguments without their names; () and all of them where
    they name none, or others than these."""
    order = fastest_first([gpu for gpu in gpus if gpu.error is None])
    device, rest = take(args, "device")
    split, alone = take(rest, "split_mode")
    if device is None and split == "none":
        main, rest = take(alone, "main_gpu")
        device = None if main is None else f"CUDA{main}"
    numbers = [int(found[1]) if (found := _DEVICE.fullmatch(name)) else len(order) for name in (device or "").split(",")]
    if device is None or max(numbers) >= len(order) or len(set(numbers)) != len(numbers):
        return (), args
    return tuple(order[number].index for number in numbers), rest


def _targets(args: list[str], from_key: tuple[int, ...]) -> tuple[tuple[int, ...], list[str]]:
    text, rest = take(args, "fit_target")
    parts = text.split(",") if text else []
    if parts and all(_WHOLE.fullmatch(part) for part in parts):
        return tuple(int(part) for part in parts), rest
    return from_key, args


def fit_remarks(section: Section, *, named: bool = False) -> list[str]:
    """What in a section makes `--fit` give up, each with the word that mends it, and what fit's targets mean there. `named`: the profile
    has the section's cards, in its order."""
    off = "switches fit off; mend:"
    found: list[tuple[str, str]] = []
    if (layers := section.values.get("N_GPU_LAYERS", "")) not in ("", "auto"):
        found.append(("N_GPU_LAYERS", f"N_GPU_LAYERS={clean(layers)} {off} auto"))
    if section.values.get("FIT") == "off":
        found.append(("FIT", f"FIT=off {off} on"))
    args = section.values.get("EXTRA_ARGS", "").split()
    found += [("EXTRA_ARGS", f"{arg} {off} remove") for arg in dict.fromkeys(args) if arg in FIT_OFF]
    fit, _ = take(args, "fit")
    if fit == "off":
        found.append(("EXTRA_ARGS", f"--fit off {off} remove"))
    split, _ = take(args, "split_mode")
    if split is not None and split not in _FITTED_SPLITS:
        found.append(("EXTRA_ARGS", f"--split-mode {clean(split)} {off} layer"))
    if not named and len(set(section.values.get("FIT_TARGET", "").split(","))) > 1:
        text = "counts cards in CUDA's order in the container, fastest first; rigtui counts them as its plan lists them"
        found.append(("FIT_TARGET", f"FIT_TARGET {text}"))
    return [f"line {section.lines.get(key, section.line)}: [{section.id}] {text}" for key, text in found]


def _description(section: Section) -> str:
    text = section.values.get("DESCRIPTION", "")
    kept = [f"{key}={value}" for key, value in ordered(section.values) if key != "DESCRIPTION" or not value]
    return text + _KEPT + "\n".join(kept)


def kept_values(profile: Profile) -> dict[str, str]:
    """The section's values that an imported profile keeps in its description; {} for a profile that was not imported."""
    text, mark, lines = profile.description.partition(_KEPT)
    if not mark:
        return {}
    values = {"DESCRIPTION": text} if text else {}
    for line in lines.split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            values[key] = value
    return values


def own_description(profile: Profile) -> str:
    """The first line of what a person wrote about the profile, without what an import keeps there."""
    return clean(profile.description.partition(_KEPT)[0].partition("\n")[0]).strip(BLANK)


def as_written(profile: Profile, gpus: Sequence[Gpu] = ()) -> Section | None:
    """The section that an imported profile came from, while the profile still says the same; only its description may differ. `gpus`:
    the rig's, which tell which cards the section named."""
    values = kept_values(profile)
    path = values.get("MODEL")
    if not path or not profile.model.endswith("/" + path):
        return None
    section, folder = Section(id=profile.name, values=values), profile.model.removesuffix(path)
    try:
        # Without a card at hand the numbers were left where they stood.
        before = [profile_of(section, "models.conf", folder, seen) for seen in (gpus, ())]
    except UsageError:
        return None
    if profile not in [replace(one, description=profile.description) for one in before]:
        return None
    if text := own_description(profile):
        values["DESCRIPTION"] = text
    elif values.get("DESCRIPTION"):
        del values["DESCRIPTION"]
    return Section(id=profile.name, values=values)
