"""What is timed: the cases of a profile, and in each case who takes part.

A contender is written ``implementation.variant@threads[D=196]``; without ``@`` it has the run's
number of threads, and without brackets the case's own N, D and H. The implementations are in
`implementations`, the bars that the library has to clear in `promises`.
"""

import re
from dataclasses import dataclass, replace

#: What is multiplied, or copied, in the same run, for `compare` to relate all times to.
YARDSTICK = "blas"


@dataclass(frozen=True)
class Contender:
    implementation: str
    variant: str
    threads: int
    size: tuple[str, int] | None = None  # in place of the case's

    @classmethod
    def parse(cls, text, threads):
        match = re.fullmatch(r"(\w+)(?:\.(\w+))?(?:@(\d+))?(?:\[([NDH])=(\d+)\])?", text)
        if not match:
            raise ValueError(f"a contender is implementation.variant@threads[D=196], got {text!r}")
        implementation, variant, own, letter, value = match.groups()
        size = (letter, int(value)) if letter else None
        return cls(implementation, variant or "", int(own or threads), size)


@dataclass(frozen=True)
class Case:
    """One piece of work: a kind of computation on a model of some sizes."""

    name: str
    kind: str  # grad, score, step (of training), sample, adam
    model: str
    contenders: tuple[str, ...]
    hidden: tuple[int, ...] = (500,)
    N: int = 100
    D: int = 784
    dtype: str = "float32"
    bits: str = "data"  # or "ones", or "synthetic"

    @property
    def sizes(self):
        return {"N": self.N, "D": self.D, "H": list(self.hidden)}

    def resized(self, letter, value):
        """The same with another N, D or H."""
        return replace(self, **{"hidden": (value,)} if letter == "H" else {letter: value})


GRAD = ("compiled", "numpy", "torch.loop", "jax.scan", "jax.checkpoint", "blas")
SCORE = ("compiled", "numpy", "torch.loop", "jax.scan", "blas")
MASKED = ("compiled", "numpy", "torch.masked_weights", "torch.masked_grads", "jax", "blas")

#: Who shows what threads give: the library, and the machine with nothing to wait for.
ALONE = ("compiled@1", "machine", "machine@1")

#: The works of which the library promises a speed.
TABLE = (
    Case("nade_grad", "grad", "nade", (*GRAD, *ALONE)),
    Case("nade_score", "score", "nade", (*SCORE, *ALONE)),
    Case("nade_grad_ones", "grad", "nade", ("compiled", "torch.loop", "jax.scan", "blas"),
         bits="ones"),
    Case("made_step", "step", "made", MASKED),
    Case("made_step_deep", "step", "made", MASKED, hidden=(2000, 2000)),
    Case("fvsbn_grad", "grad", "fvsbn", MASKED, hidden=()),
    Case("made_sample", "sample", "made",
         ("compiled", "compiled.score", "numpy", "torch", "blas")),
    Case("nade_sample", "sample", "nade", ("compiled", "compiled.score", "numpy", "blas")),
    Case("fvsbn_sample", "sample", "fvsbn", ("compiled", "compiled.score", "numpy", "blas"),
         hidden=()),
    Case("adam", "adam", "made", ("compiled", "numpy", "torch.fused", "blas"),
         hidden=(2000, 2000)),
    Case("nade_score_one", "score", "nade", ("compiled", "numpy", "blas"), N=1),
    Case("nade_grad_one", "grad", "nade", ("compiled", "numpy", "blas"), N=1),
    Case("made_grad_one", "grad", "made", ("compiled", "numpy", "blas"), N=1),
    Case("fvsbn_grad_one", "grad", "fvsbn", ("compiled", "numpy", "blas"), N=1, hidden=()),
)  # fmt: skip

#: Each of N, D and H from a quarter to four times the size in the middle. Where a quarter of a size
#: is there too it takes part, so that the growth is known from rounds that both were in.
STEPS = {"N": (25, 50, 100, 200, 400), "D": (196, 392, 784, 1568, 3136),
         "H": (125, 250, 500, 1000, 2000)}  # fmt: skip


def _sweep_sizes():
    for kind, contenders in (
        ("grad", ("compiled", "torch.loop", "jax.scan", "blas")),
        ("score", ("compiled", "torch.loop", "jax.scan", "blas")),
    ):
        for letter, values in STEPS.items():
            for value in values:
                quarter = (f"compiled[{letter}={value // 4}]",) if value // 4 in values else ()
                case = Case(f"nade_{kind}_{letter}{value}", kind, "nade", contenders + quarter,
                            bits="synthetic")  # fmt: skip
                yield case.resized(letter, value)


def _sweep_threads_and_dtype(threads):
    of_threads = {
        "grad": ("compiled", "torch.loop", "jax.scan", "blas"),
        "score": ("compiled", "torch.loop", "jax.scan", "blas"),
        "step": ("compiled", "torch.masked_grads", "jax", "blas"),
    }
    for kind, contenders in of_threads.items():
        model = "made" if kind == "step" else "nade"
        every = tuple(f"{c}@{n}" for n in range(1, threads + 1) for c in contenders)
        yield Case(f"{model}_{kind}_threads", kind, model, (*every, "blas"))
        yield Case(f"{model}_{kind}_float64", kind, model,
                   (*contenders, "numpy"), dtype="float64")  # fmt: skip
    yield Case("fvsbn_grad_float64", "grad", "fvsbn", MASKED, hidden=(), dtype="float64")


def _sweep_levels():
    levels = ("compiled", "compiled.baseline", "compiled.avx2", "compiled.avx512", "blas")
    for kind in ("grad", "score"):
        yield Case(f"nade_{kind}_simd", kind, "nade", levels)


def _more_variants(case):
    """The full profile's table also has what lost in every run so far, for others to see."""
    extra = {
        ("grad", "nade"): ("torch.cumsum", "torch.chunks", "jax.states", "jax.cumsum"),
        ("score", "nade"): ("torch.cumsum", "torch.chunks", "jax.states", "jax.cumsum"),
        ("step", "made"): ("torch.default_adam",),
        ("adam", "made"): ("torch.default",),
        ("sample", "made"): ("jax",),
    }.get((case.kind, case.model), ())
    if case.N == 1:
        return case
    return replace(case, contenders=tuple(dict.fromkeys(case.contenders + extra)))


def _tiny(case):
    """The same at sizes for a test of the machinery: no time it gives means anything."""
    hidden = tuple(11 + 2 * k for k in range(len(case.hidden)))
    return replace(case, N=min(case.N, 7), D=13, hidden=hidden)


@dataclass(frozen=True)
class Profile:
    """How much is measured, and for how long."""

    table: tuple[Case, ...]
    rounds: int
    seconds: float  # of each contender in each round, if its calls are that short
    limits_seconds: float  # for each of the machine's limits
    sweeps: tuple[Case, ...] = ()
    sweep_rounds: int = 0

    @property
    def cases(self):
        return self.table + self.sweeps

    def rounds_of(self, case):
        return self.sweep_rounds if case in self.sweeps else self.rounds


def make_profile(name, threads):
    """The profile of that name, and the cases in it."""
    if name == "quick":
        return Profile(TABLE, rounds=2, seconds=0.05, limits_seconds=0.15)
    if name == "tiny":
        return Profile(tuple(map(_tiny, TABLE)), rounds=1, seconds=0.0, limits_seconds=0.01)
    if name == "full":
        sweeps = (*_sweep_sizes(), *_sweep_threads_and_dtype(threads), *_sweep_levels())
        table = tuple(map(_more_variants, TABLE))
        return Profile(table, 15, 0.1, 1.0, sweeps, sweep_rounds=7)
    raise ValueError(f"profile must be quick, full or tiny, got {name!r}")
