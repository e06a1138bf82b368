"""All checks that a model has the methods for, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.backward import check_backward
from pyarsimple.checks.causality import check_autoregressive
from pyarsimple.checks.densities import MOST_SUMMED, check_consistent, check_normalized
from pyarsimple.checks.gradients import check_gradients, generic_params
from pyarsimple.checks.models import check_live, parameters
from pyarsimple.checks.report import Report
from pyarsimple.checks.sampler import MOST_COUNTED, check_sampler
from pyarsimple.checks.subject import as_subject
from pyarsimple.reports import to_json

#: Which methods each check needs: one of each group.
NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "gradients": (("nll_and_grads",), ("params",)),
    "backward": (("forward",), ("backward",), ("params",)),
    "autoregressive": (("forward", "conditionals", "log_conditionals"),),
    "normalized": (("log_prob", "log_conditionals"),),
    "sampler": (("sample",), ("log_prob", "log_conditionals")),
    "consistent": (("log_prob", "log_conditionals", "forward", "conditionals"),),
}


@dataclass
class ModelReport:
    """The outcome of `check_model`: true if every check passed that could be made.

    Attributes
    ----------
    title : str
        What was checked.
    reports : dict of str to Report
    skipped : dict of str to str
        Checks that could not be made, and why.
    """

    title: str
    reports: dict[str, Report] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check passed that could be made, and there was one."""
        return bool(self.reports) and all(self.reports.values())

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        blocks = [str(report) for report in self.reports.values()]
        blocks += [f"{name}: skipped, {why}" for name, why in self.skipped.items()]
        failed = [name for name, report in self.reports.items() if not report]
        verdict = f"FAILED: {', '.join(failed)}" if failed else f"{len(self.reports)} checks passed"
        return "\n\n".join(
            [*blocks, f"{self.title}: {verdict if self.reports else 'nothing checked'}"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dictionaries."""
        reports = {name: report.to_dict() for name, report in self.reports.items()}
        return {"title": self.title, "passed": self.passed, "reports": reports,
                "skipped": self.skipped}  # fmt: skip

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return to_json(self.to_dict())


def check_model(
    model: Any, *, x: npt.ArrayLike | None = None, title: str | None = None, rng: Any = 0
) -> ModelReport:
    """Run every check that the model has the methods for, at generic parameters.

    Parameters
    ----------
    model : model
        Anything with ``n_dims`` and some of ``params``, ``nll_and_grads``, ``forward`` and
        ``backward``, ``conditionals``, ``log_conditionals``, ``log_prob``, ``sample``, ``start``,
        ``order``, ``values``. Its parameters are as before afterwards. Of our models the kinds of
        variables are known; see `at_context` for those that take a context.
    x : array_like, shape (N, D), optional
        Rows for the gradients; drawn at random unless given.
    title : str, optional
        For the last line.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    Returns
    -------
    ModelReport
    """
    if hasattr(model, "params"):
        check_live(model)
    seeds = np.random.default_rng(rng)
    rows = as_subject(model, None, None, None).draw(seeds, 25) if x is None else np.asarray(x)
    point = generic_params(model.params, rng=seeds) if hasattr(model, "params") else {}
    checks: dict[str, Callable[[], Report]] = {
        "gradients": lambda: check_gradients(model, point, x=rows),
        "backward": lambda: check_backward(model, params=point, x=rows),
        "autoregressive": lambda: check_autoregressive(model),
        "normalized": lambda: check_normalized(model),
        "sampler": lambda: check_sampler(model),
        "consistent": lambda: check_consistent(model, x=rows),
    }
    s = as_subject(model, None, None, None)
    most = {"normalized": MOST_SUMMED, "sampler": MOST_COUNTED}
    too_many = [name for name in most if (s.configurations or np.inf) > most[name]]
    if s.log_conditionals is not None:
        too_many = []
    report = ModelReport(title or type(model).__name__)
    derived = {"log_conditionals"} if s.derived else set()
    for name, check in checks.items():
        missing = [
            group for group in NEEDS[name]
            if not derived & set(group) and not any(hasattr(model, m) for m in group)
        ]  # fmt: skip
        if missing:
            report.skipped[name] = f"there is no {' or '.join(missing[0])}"
        elif name in too_many:
            report.skipped[name] = "too many configurations to count, and no log_conditionals"
        elif name in ("gradients", "backward") or not point:
            report.reports[name] = check()
        else:
            with parameters(model, point):
                report.reports[name] = check()
    return report
