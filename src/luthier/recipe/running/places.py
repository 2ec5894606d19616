"""On which device a run trains: as asked, else where a few timed steps are faster; elsewhere where that one is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from luthier.engine.members.devices import is_there, resolve
from luthier.engine.members.sharing import several_processes
from luthier.engine.placing import allowed
from luthier.messages import tr
from luthier.recipe.running.runner import Runner


def devices_for(runner: Runner) -> list[torch.device]:
    """The devices that a new plan may be made for.

    A budget of steps promises the same model everywhere, and keeps to the processor unless another device was asked
    for; so do several processes. What was asked for on another machine may not be there: then it is as if nothing had
    been asked for.
    """
    asked = runner.elsewhere or runner.problem.asked.device
    return allowed(asked, fixed=runner.budget_clock.budget.seconds is None or several_processes())


def fastest(seconds: Mapping[torch.device, Callable[[], float]]) -> torch.device:
    """The device whose steps take the fewest seconds; where there is but one, nothing is timed."""
    if len(seconds) == 1:
        return next(iter(seconds))
    return min(seconds, key=lambda device: seconds[device]())


def settle(runner: Runner, planned: str) -> torch.device:
    """Where the plan says; elsewhere, and say so, where that was asked for or the plan's device is not there.

    What is finished is kept, and the recorded decisions with it; what is not is computed on the new device.
    """
    device = resolve(runner.elsewhere or (planned if is_there(planned) else "cpu"))
    if str(device) != planned:
        template = "training continues on {device} instead of {planned}: what is finished is kept"
        sentence = tr(template, device=device, planned=planned)
        runner.tell("moved", sentence=sentence)
    return device
