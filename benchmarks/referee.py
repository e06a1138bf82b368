"""Compares what an implementation computed with the definition, before anything is timed."""

from functools import cached_property

import numpy as np

from benchmarks import definition
from benchmarks.implementations.ours import gradients_for_adam
from benchmarks.inputs import uniforms
from benchmarks.stats import relative_error

#: Largest relative error, in norm, of each array; float32's is a few hundred roundings.
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}

#: Adam divides a gradient by its own size: of one that is nearly 0, a rounding may turn the sign.
STEP_TOLERANCE = {"float32": 2e-2, "float64": 1e-5}


class Referee:
    """Knows the right answers of one case, and computes each of them once."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.tolerance = TOLERANCE[inputs.dtype]
        self._known_logits = {}  # by the bytes of x: most samplers draw the same

    def errors(self, result):
        """The relative error of each array of a result; a missing or unknown array is infinite."""
        if "product" in result:  # the yardstick: three matrices that belong together
            expected = result["a"].astype(float) @ result["b"].astype(float)
            return {"product": relative_error(result["product"], expected)}
        if "fixed_point" in result:  # of the machine's multiply-adds
            return {
                "fixed_point": relative_error(
                    result["fixed_point"], np.ones(len(result["fixed_point"]))
                )
            }
        if any(k.startswith("sum.") for k in result):
            return self._compare(result, self._sums())
        if self.inputs.kind == "sample":
            return self._check_sample(result)
        if self.inputs.kind == "score":
            return self._compare(result, self._scores(self.inputs.x))
        errors = self._compare(self._effective(result), self._trained) | self._leaks(result)
        moved = [k for k in result if k.startswith("param.")]
        return errors if not moved else errors | self._movement(result, moved)

    def refusal(self, errors):
        """What is wrong, in one line; empty where all is right."""
        wrong = [
            f"{k} is off by {e:.1e} (at most {self._limit(k):.0e})"
            for k, e in errors.items()
            if not e <= self._limit(k)  # NaN is wrong too
        ]
        return "; ".join(wrong)

    def _limit(self, key):
        return STEP_TOLERANCE[self.inputs.dtype] if key.startswith("step.") else self.tolerance

    def _compare(self, result, expected):
        return {
            k: relative_error(result[k], expected[k]) if k in result and k in expected else np.inf
            for k in result.keys() | expected.keys()
        }

    def _logits(self, x):
        i, key = self.inputs, x.tobytes()
        if key not in self._known_logits:
            self._known_logits[key] = definition.logits(i.model, i.params, x, i.degrees)
        return self._known_logits[key]

    def _scores(self, x):
        return {"log_prob": definition.log_prob(self._logits(x), x)}

    @cached_property
    def _trained(self):
        """Loss and gradients, and for a training step the parameters after it."""
        i, expected = self.inputs, {}
        if i.kind == "adam":
            grads = {k: g.astype(float) for k, g in gradients_for_adam(i.params).items()}
        else:
            loss, grads = definition.loss_and_grads(i.model, i.params, i.x, i.degrees)
            expected = {"loss": loss, **{f"grad.{k}": g for k, g in grads.items()}}
        if i.kind in {"step", "adam"}:
            after = definition.adam_step(i.params, grads)
            expected |= {f"param.{k}": p for k, p in after.items()}
        return self._effective(expected)

    @cached_property
    def _masks(self):
        """Where the model has a parameter at all; Adam by itself knows of no model."""
        i = self.inputs
        return {} if i.kind == "adam" else definition.masks(i.model, i.x.shape[1], i.degrees)

    def _effective(self, result):
        """With 0 where a parameter is masked: some implementations keep another number there."""
        masks = {f"param.{k}": M for k, M in self._masks.items()}
        return {k: np.where(masks[k], p, 0) if k in masks else p for k, p in result.items()}

    def _leaks(self, result):
        """Of a masked entry the gradient is 0, to the bit: less would show in no norm."""
        grads = {k: result.get(f"grad.{k}") for k in self._masks}
        return {
            f"grad.{k}": np.inf for k, M in self._masks.items()
            if np.shape(grads[k]) == M.shape and grads[k][~M].any()
        }  # fmt: skip

    @cached_property
    def _before(self):
        return self._effective({f"param.{k}": p for k, p in self.inputs.params.items()})

    @cached_property
    def _moves(self):
        return {k: self._trained[k] - p for k, p in self._before.items()}

    def _movement(self, result, names):
        """The error of the step itself, which a comparison of the parameters would hardly show."""
        result = self._effective({k: result[k] for k in names})
        return {
            f"step.{k[6:]}": relative_error(result[k].astype(float) - p, self._moves[k])
            if k in result else np.inf
            for k, p in self._before.items()
        }  # fmt: skip

    def _sums(self):
        grads = gradients_for_adam(self.inputs.params)
        return {f"sum.{k}": p.astype(float) + grads[k] for k, p in self.inputs.params.items()}

    def _check_sample(self, result):
        """A sample is right if each bit is 1 just where its uniform number is below p.

        Where the two are nearer than float32 tells them apart, either bit is right.
        """
        x = result["x"].astype(float)
        u = uniforms(*self.inputs.x.shape)
        if x.shape != u.shape:
            return {"x": np.inf}
        p = definition.sigmoid(self._logits(x))
        near = np.abs(u - p) < 10 * self.tolerance
        right = near | ((u < p) == (x == 1))
        errors = {"x": 0.0 if right.all() and np.isin(x, (0, 1)).all() else np.inf}
        if "log_prob" in result:
            errors |= self._compare({"log_prob": result["log_prob"]}, self._scores(x))
        return errors
