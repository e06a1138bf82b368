"""The library with holes in it, and the grader: see ``pyarsimple exercises --help``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarsimple.exercises.grader import Exercise


@functools.cache
def ladder() -> dict[str, Exercise]:
    """All exercises by name, from the first to the last."""
    from pyarsimple.exercises import (
        bernoulli_loss,
        bug_hunts,
        causality_check,
        chain_rule,
        fvsbn,
        made_backward,
        made_masks,
        mixture,
        nade_backward,
        nade_forward,
        numeric_gradient,
        order_mixture,
        sampling,
        softmax,
        softplus,
    )

    exercises = (
        softplus.EXERCISE,
        bernoulli_loss.EXERCISE,
        chain_rule.EXERCISE,
        fvsbn.FORWARD_EXERCISE,
        fvsbn.BACKWARD_EXERCISE,
        nade_forward.EXERCISE,
        nade_backward.EXERCISE,
        numeric_gradient.EXERCISE,
        made_masks.EXERCISE,
        made_backward.EXERCISE,
        sampling.ANCESTRAL_EXERCISE,
        sampling.ONE_PASS_EXERCISE,
        softmax.EXERCISE,
        mixture.EXERCISE,
        order_mixture.EXERCISE,
        causality_check.EXERCISE,
        *bug_hunts.HUNTS,
    )
    return {exercise.name: exercise for exercise in exercises}
