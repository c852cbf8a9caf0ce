"""A division that rigtui writes itself, as a section of models.conf: shares and cards stay in one order."""

from __future__ import annotations

from planning.test_divide import DENSE
from planning.toys import gpu, intent, rig
from rigtui.export.conf_placement import placed
from rigtui.intent.profile import Profile
from rigtui.planning.choose import choose


def test_the_cards_are_named_in_the_order_of_the_shares() -> None:
    """The plan begins with the slow card; CUDA in a container numbers the fastest first."""
    cards = rig(gpu(0, 1640, bandwidth=1000), gpu(1, 1600, bandwidth=250))
    plan = choose(cards, DENSE, intent(), [])
    shares = plan.command[plan.command.index("-ts") + 1]
    found, left = placed(Profile(name="p", model=plan.model.path), plan, cards.gpus, list(plan.command[1:]))
    assert [device.name for device in plan.devices] == ["Card 1", "Card 0"]
    assert found.args == ("--device", "CUDA1,CUDA0")
    assert left[left.index("-ts") + 1] == shares
    assert found.values["FIT"] == "on"
