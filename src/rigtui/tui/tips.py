"""The first steps on the screen, in their order: each is shown until it was taken once. Pure."""

from __future__ import annotations

TIPS = {
    "model": "choose a model with ↑ ↓ ({model.filter} filters); plan and bars follow",
    "choices": "{plan.use_case} turns the use case, {plan.context_less} {plan.context_more} the context: the plan says what it costs",
    "launch": "{engine.launch} launches this plan; {app.quit} leaves, the engine goes on",
    "profile": "{profile.save} keeps this as a profile for `rigtui run NAME`",
}
"""Step -> its text, with the ids of actions where their keys stand."""
