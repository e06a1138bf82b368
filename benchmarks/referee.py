"""Compares what an implementation computed with the definition, before anything is timed."""

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
    """Knows the right answer of one case, and computes it once."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.tolerance = TOLERANCE[inputs.dtype]
        self._expected = {}

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
        errors = self._compare(self._effective(result), self._effective(self._trained()))
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

    def _scores(self, x):
        i = self.inputs
        return {"log_prob": definition.log_prob(definition.logits(*self._model(), x, i.degrees), x)}

    def _model(self):
        return self.inputs.model, self.inputs.params

    def _trained(self):
        """Loss and gradients, and for a training step the parameters after it."""
        if self._expected:
            return self._expected
        i = self.inputs
        if i.kind == "adam":
            grads = {k: g.astype(float) for k, g in gradients_for_adam(i.params).items()}
        else:
            loss, grads = definition.loss_and_grads(i.model, i.params, i.x, i.degrees)
            self._expected = {"loss": loss, **{f"grad.{k}": g for k, g in grads.items()}}
        if i.kind in {"step", "adam"}:
            after = definition.adam_step(i.params, grads)
            self._expected |= {f"param.{k}": p for k, p in after.items()}
        return self._expected

    def _effective(self, result):
        """With 0 where a parameter is masked: some implementations keep another number there."""
        masks = definition.masks(self.inputs.model, self.inputs.x.shape[1], self.inputs.degrees)
        if self.inputs.kind != "step":
            return result
        return {
            k: np.where(masks[k[6:]], p, 0) if k.startswith("param.") and k[6:] in masks else p
            for k, p in result.items()
        }

    def _movement(self, result, names):
        """The error of the step itself, which a comparison of the parameters would hardly show."""
        before = {f"param.{k}": p.astype(float) for k, p in self.inputs.params.items()}
        expected, errors = self._trained(), {}
        result = self._effective({k: result[k] - before[k] for k in names if k in before})
        moved = self._effective({k: expected[k] - before[k] for k in before})
        for k in before:
            error = relative_error(result[k], moved[k]) if k in result else np.inf
            errors[f"step.{k[6:]}"] = error
        return errors

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
        p = definition.sigmoid(definition.logits(*self._model(), x, self.inputs.degrees))
        near = np.abs(u - p) < 10 * self.tolerance
        right = near | ((u < p) == (x == 1))
        errors = {"x": 0.0 if right.all() and np.isin(x, (0, 1)).all() else np.inf}
        if "log_prob" in result:
            errors |= self._compare({"log_prob": result["log_prob"]}, self._scores(x))
        return errors
