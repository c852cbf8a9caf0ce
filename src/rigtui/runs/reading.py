"""What does the rig have now, as a launch must see it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rigtui.options import Options
    from rigtui.rig.rig import Rig


def current_rig(options: Options, *, replace: bool = False) -> Rig:
    """The rig file's rig, or a fresh reading of this machine with rigtui's own engines told apart.

    What loading runs will still take counts as taken; with `replace` all that runs hold counts as free. Raises UsageError for a rig file
    that cannot be followed.
    """
    if options.rig_file:
        from rigtui.rig.rigfile import load

        return load(Path(options.rig_file))
    from rigtui.rig.sampler import read_rig
    from rigtui.runs import lost
    from rigtui.runs.pending import beside, instead_of_engines
    from rigtui.runs.watch import all_runs, engines_on_this_rig

    runs = all_runs()
    if not options.read_only:
        lost.keep(runs)
    rig = read_rig(engines_on_this_rig())
    # Loading runs hold less than they will; a launch that replaces them finds their memory free.
    return instead_of_engines(rig) if replace else beside(rig, (run for run in runs if run.live))
