"""What the plan panel says while there is no plan: what is missing and which key or command comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from rigtui.models import download
from rigtui.text import clean
from rigtui.tui.rows import hang, row, wrapped

if TYPE_CHECKING:
    from rigtui.tui.keys import Keys
    from rigtui.tui.state import Cockpit


def guide(state: Cockpit, width: int) -> list[Content]:
    """The lines for the place of the plan."""
    if state.plan_problem is not None:
        return [Content.styled("No plan", "$warning bold"), Content(""), *wrapped(clean(state.plan_problem), width)]
    if not state.candidates and state.scanning:
        return wrapped(f"Looking for models … {state.scanned:,} files seen", width, "$foreground-muted")
    if not state.candidates:
        return no_models(state.folders, width, state.keys, state.program)
    candidate = state.candidate
    if candidate is None:
        text = "None of the models found can be used; their rows say why."
        return [*wrapped(text, width, "$warning"), Content(""), *_key(state.keys.shown("model.folder"), "adds a folder with others", width)]
    if candidate.model is None:
        head = Content.styled("This model cannot be used", "$warning bold")
        return [head, Content(""), *wrapped(clean(candidate.error or ""), width)]
    return [Content.styled("Deriving the plan …", "$foreground-muted")]


def _key(key: str, text: str, width: int) -> list[Content]:
    return hang(Content.styled(f"  {key:<4}", "$accent bold"), text, width)


def no_models(folders: tuple[str, ...], width: int, keys: Keys, program: str) -> list[Content]:
    """Nothing found: the ways on first, then where was looked."""
    return [
        Content.styled("No models found yet", "bold"),
        Content(""),
        *_key(
            keys.shown("model.folder"),
            "type a folder that holds GGUF files or safetensors; it is kept in config.toml under [models] folders",
            width,
        ),
        *_key(keys.shown("model.rescan"), "search again, for example after", width),
        *hang(Content("      "), f"{download.command('OWNER/REPO', 'FILE.gguf')} --local-dir ~/models", width, "$foreground-muted"),
        *_key(keys.shown("app.quit"), "leave, then see everything with no GPU and no download:", width),
        *hang(Content("      "), f"{program} demo", width, "$foreground-muted"),
        Content(""),
        *row("looked in", ", ".join(clean(folder) for folder in folders), width, "$foreground-muted"),
    ]
