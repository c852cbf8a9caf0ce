"""Another rig in the place of this machine's, and back: what becomes of the choices that speak of its cards. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.intent.intent import Overrides

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.tui.state import Cockpit


def tried(state: Cockpit) -> bool:
    """Whether another rig is tried."""
    return state.machine is not None


def swap(state: Cockpit, rig: Rig) -> Cockpit:
    """Plan for `rig`; cards and headroom that the user set for this machine wait until it is back."""
    machine = state.machine if state.machine is not None else state.rig
    aside = state.set_aside
    if aside is None:
        aside = Overrides(gpus=state.overrides.gpus, fit_target_mib=state.overrides.fit_target_mib)
    overrides = replace(state.overrides, gpus=None, fit_target_mib=None)
    return replace(state, rig=rig, machine=machine, set_aside=aside, overrides=overrides, history={}, placements={})


def back(state: Cockpit) -> Cockpit:
    """This machine again, with what was set for its cards."""
    if state.machine is None:
        return state
    aside = state.set_aside or Overrides()
    overrides = replace(state.overrides, gpus=aside.gpus, fit_target_mib=aside.fit_target_mib)
    return replace(state, rig=state.machine, machine=None, set_aside=None, overrides=overrides, history={}, placements={})


def waits(state: Cockpit) -> bool:
    """Whether something the user set waits for this machine."""
    aside = state.set_aside
    return aside is not None and (aside.gpus is not None or aside.fit_target_mib is not None)
