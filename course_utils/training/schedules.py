"""How fast which layer learns: the share of the highest rate at each step, a rate for each layer, layers that thaw in order.

A schedule is a function of the step, counted from 0, and the number of steps. Being nothing else, it has no state to store.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn


def constant(step: int, steps: int) -> float:
    """All of the rate, all the time."""
    return 1.0


def warm_up(step: int, steps: int, rise: float = 0.1) -> float:
    """Up in a straight line for a share of the steps, then down; at ``steps`` it is 0. With ``rise`` = 0 it only falls."""
    top = max(1, int(rise * steps))
    return min((step + 1) / top, (steps - step) / max(1, steps - top))


def linear_fall(step: int, steps: int) -> float:
    """From the highest rate down to 0 in a straight line."""
    return warm_up(step, steps, rise=0)


def slanted_triangular(step: float, steps: int, cut: float = 0.1, ratio: float = 32) -> float:
    """The share of the highest rate at a step from 0 to ``steps``: it rises for the share ``cut`` of them, then falls.

    Equation 3 of Howard and Ruder (2018), at both ends 1 / ``ratio``. There the peak is at a whole step, and divides by 0 or
    falls below 0 where steps are few; here it is one step in at least, and the fall ends where the steps end.

    Raises:
        ValueError: if the step lies outside, or ``cut`` is not between 0 and 1, or ``ratio`` below 1.
    """
    if not 0 <= step <= steps or not 0 < cut < 1 or ratio < 1:
        raise ValueError(f"{step=} of {steps}, {cut=}, {ratio=}: 0 <= step <= steps, 0 < cut < 1 <= ratio.")
    peak = max(1, int(steps * cut))
    up = step / peak if step < peak or peak >= steps else (steps - step) / (steps - peak)
    return (1 + up * (ratio - 1)) / ratio


def uncorrected(
    schedule: Callable[[int, int], float], betas: tuple[float, float] = (0.9, 0.999)
) -> Callable[[int, int], float]:
    """The schedule with which AdamW steps as if it corrected no bias, as BERT's own optimiser does.

    Adam's moments start at 0, and are divided by 1 - beta^t to make up for it (Kingma & Ba 2015, section 3). A share of the rate
    times (1 - beta1^t) / sqrt(1 - beta2^t) takes that back, up to epsilon, which then counts for a little less: the share exceeds 1,
    by 3.2 at the first step and by 6.6 at most. What decays is multiplied alike.
    """

    def share(step: int, steps: int) -> float:
        first, second = (1 - beta ** (step + 1) for beta in betas)
        return schedule(step, steps) * first / second**0.5

    return share


def layer_rates(
    groups: Sequence[Sequence[nn.Parameter]], rate: float, factor: float = 2.6
) -> list[dict[str, Any]]:
    """A learning rate for each group of parameters: the last one's is ``rate``, each one below is divided by ``factor``."""
    last = len(groups) - 1
    return [{"params": [*group], "lr": rate / factor ** (last - i)} for i, group in enumerate(groups)]


def thawed(epoch: int, groups: int) -> int:
    """How many groups learn in an epoch, from the head down: 1, then 2, from the third epoch on all of them.

    So the scripts of Howard and Ruder (2018) have it; section 3.3 of their paper adds one layer in each epoch.
    """
    return groups if epoch > 1 else min(epoch + 1, groups)


def unfreeze(groups: Sequence[Sequence[nn.Parameter]], number: int) -> None:
    """Let the last ``number`` of the groups learn, and none of the others."""
    for place, group in enumerate(reversed(groups)):
        for parameter in group:
            parameter.requires_grad_(place < number)
