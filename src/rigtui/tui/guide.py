"""What the plan panel says while there is no plan: what is missing and which key or command comes next. Pure."""

from __future__ import annotations

from textual.content import Content

from rigtui.text import clean
from rigtui.tui.state import Cockpit


def key_line(key: str, text: str) -> Content:
    """A key (or command) and what it does."""
    return Content.assemble("  ", (f"{key:<4}", "$accent bold"), text)


def guide(state: Cockpit) -> Content:
    """The text for the place of the plan."""
    if state.plan_problem is not None:
        return Content.assemble(("No plan.\n\n", "$warning bold"), clean(state.plan_problem))
    if not state.candidates and state.scanning:
        return Content.styled(f"Looking for models …  {state.scanned:,} files seen", "$foreground-muted")
    if not state.candidates:
        return no_models(state.folders)
    candidate = state.candidate
    if candidate is None:
        return Content.assemble(
            ("None of the models found can be used.\n\n", "$warning bold"),
            "Their rows say why. ",
            ("f", "$accent bold"),
            " adds a folder with others.",
        )
    if candidate.model is None:
        return Content.assemble(("This model cannot be used.\n\n", "$warning bold"), clean(candidate.problem or ""))
    return Content.styled("Deriving the plan …", "$foreground-muted")


def no_models(folders: tuple[str, ...]) -> Content:
    """Nothing found: where was looked, and the three ways on."""
    lines = [
        Content.styled("No models found yet.", "bold"),
        Content(""),
        Content.styled("Looked in", "$foreground-muted"),
        *(Content(f"  {clean(folder)}") for folder in folders),
        Content(""),
        Content.styled("What to do next", "$foreground-muted"),
        key_line("f", "type a folder that holds GGUF files (it is kept in config.toml"),
        Content("      under [models] folders), or put files into ~/models"),
        key_line("F5", "search again, for example after"),
        Content.styled("      hf download OWNER/REPO FILE.gguf --local-dir ~/models", "$foreground-muted"),
        key_line("q", "leave, and see the whole thing with no GPU and no download:"),
        Content.styled("      rigtui demo", "$foreground-muted"),
    ]
    return Content("\n").join(lines)
