"""A student's answer: its functions are called with copies, watched, and compared with definitions.

Whatever goes wrong in the student's code becomes one of three: `NotDone` (a hole is left), `Wrong`
(with the example that shows it and the likely cause), `Costly` (right, but too much work).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pyarsimple.autoregressive import State

Array = npt.NDArray[Any]
Rng = np.random.Generator
Case = tuple[Any, ...]


class NotDone(Exception):
    """There is still a hole where the answer should be."""


class Wrong(Exception):
    """The answer is wrong: a remark of one line, an example that shows it, the likely cause."""

    def __init__(self, remark: str, example: Sequence[str] = (), cause: str = "") -> None:
        super().__init__(remark)
        self.remark, self.example, self.cause = remark, list(example), cause


class Costly(Wrong):
    """The answer is right, but works more than it needs to."""


class InputRead(Exception):
    """The answer reads from standard input."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function that the student writes, and what it is compared with.

    Parameters
    ----------
    name : str
    returns : tuple of str
        What the results are called; several if the function returns a tuple.
    definition : function
        The specification: the same arguments, the same results, by plain loops.
    cases : function of a Generator
        Makes the arguments of each call, from the smallest to the largest.
    suspects : dict of str to function
        From what went wrong to a function that goes wrong in this way. An answer that agrees with
        a suspect on every case, where the definition does not, has made that mistake.
    unstable : dict of str to function
        The same for formulas that are right on all cases, and go wrong where arguments are extreme.
    rtol, atol : float
        Each entry may be wrong by ``atol + rtol * abs(entry)``.
    by_norm : bool
        An entry may be wrong by ``rtol`` times the norm of its array: for a definition by
        differences.
    label : str
        Tells this one from another of the same name, on other cases.
    ours : dict of str to function
        Other functions of the student's that are replaced meanwhile, so that their errors do not
        cascade.
    read_only : tuple of str
        Arguments that must not be written to, not even for a while.
    fast : function, optional
        The same as ``definition``, and fast: for the many trials in search of a cause.
    """

    name: str
    returns: tuple[str, ...]
    definition: Callable[..., Any]
    cases: Callable[[Rng], Iterator[Case]]
    suspects: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    unstable: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    rtol: float = 1e-9
    atol: float = 1e-12
    by_norm: bool = False
    label: str = ""
    ours: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    read_only: tuple[str, ...] = ()
    fast: Callable[..., Any] | None = None

    @property
    def quick(self) -> Callable[..., Any]:
        """What is right, as fast as can be had."""
        return self.fast or self.definition

    @property
    def arguments(self) -> list[str]:
        """The names of the arguments, as the definition has them."""
        return list(inspect.signature(self.definition).parameters)

    def close(self, a: Array, b: Array) -> bool:
        """Whether a is b, within the tolerance of this function."""
        return bool((self.excess(a, b) <= 1).all())

    def excess(self, a: Array, b: Array) -> Array:
        """How wrong each entry of a is, with the tolerance as the unit; infinite for a NaN."""
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        size = np.linalg.norm(b) if self.by_norm else np.abs(b)
        with np.errstate(invalid="ignore"):
            error = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities are equal
            error = np.where(np.isnan(error), np.inf, error)
            allowed = np.where(np.isinf(error), 1.0, self.atol + self.rtol * size)
        with np.errstate(divide="ignore"):
            return np.divide(error, allowed, out=np.zeros_like(error), where=error > 0)


@dataclass
class Outcome:
    """What the answer made of one case; results by name, those that are lists entry by entry."""

    case: Case
    wanted: dict[str, Array | None]
    got: dict[str, Array | None] = field(default_factory=dict)
    error: Wrong | None = None


class Answer:
    """A student's file that has been run.

    Parameters
    ----------
    names : dict
        What the file defines.
    path : str
        Where it is, to name lines of it.
    seed : int
        Of the student: it changes the data that the answer is graded on, and nothing else.
    """

    def __init__(self, names: Mapping[str, Any], path: str, seed: int = 0) -> None:
        self.names, self.path, self.seed = names, path, seed
        self._outcomes: dict[str, list[Outcome]] = {}
        #: What stages want to know of each other: causes that were found, and the like.
        self.notes: dict[Any, Any] = {}

    def rng(self) -> Rng:
        """Random numbers, the same ones at each call."""
        return np.random.default_rng(self.seed)

    def call(
        self, name: str, *args: Any, arguments: Sequence[str] = (), read_only: Sequence[str] = ()
    ) -> Any:
        """Call a function of the student's; whatever goes wrong in it becomes `Wrong`."""
        function = self.names.get(name)
        if not callable(function):
            raise Wrong(
                f"the file has no function {name}",
                cause=f"{name} was renamed or deleted: the grader looks for it by this name",
            )
        given = copy.deepcopy(args)
        for argument, value in zip(arguments, given, strict=False):
            if argument in read_only:
                value.flags.writeable = False
        try:
            with watched(self.path), quiet():
                result = function(*given)
        except Wrong as wrong:
            if "read-only" in wrong.remark and read_only:
                which = " or ".join(read_only)
                wrong.cause = f"{which} is written to in place, if only for a while: work on a copy"
            raise
        for k, (before, after) in enumerate(zip(args, given, strict=True)):
            if _is_data(before) and not _same(before, after):
                which = arguments[k] if k < len(arguments) else f"number {k + 1}"
                raise Wrong(
                    f"{name} changes its argument {which}",
                    cause=f"{which} is written to in place (by += or by assigning to entries), and "
                    "the caller's array is lost: work on a copy",
                )
        return result

    @contextlib.contextmanager
    def replaced(self, ours: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
        """Let our functions stand in for the student's of the same names."""
        before = {name: self.names[name] for name in ours if name in self.names}
        names = cast(dict[str, Any], self.names)
        names.update({name: ours[name] for name in before})
        try:
            yield
        finally:
            names.update(before)

    def outcomes(self, function: Function) -> list[Outcome]:
        """Return what the answer made of each case, computed once for all stages."""
        key = function.label or function.name
        if key not in self._outcomes:
            known = wanted_of(function, self.seed)
            self._outcomes[key] = [self._outcome(function, *one) for one in known]
        return self._outcomes[key]

    def result_of(self, function: Function, case: Case) -> Any:
        """What the answer returns for a case; our functions stand in for its others."""
        with self.replaced(function.ours):
            return self.call(
                function.name, *case, arguments=function.arguments, read_only=function.read_only
            )

    def _outcome(
        self, function: Function, case: Case, wanted: Mapping[str, Array | None]
    ) -> Outcome:
        outcome = Outcome(case, dict(wanted))
        try:
            outcome.got = check_form(function, self.result_of(function, case), wanted)
        except Wrong as wrong:
            wrong.example += show_case(function.arguments, case)
            outcome.error = wrong
        return outcome


@functools.lru_cache(maxsize=256)
def wanted_of(function: Function, seed: int) -> list[tuple[Case, dict[str, Array | None]]]:
    """Each case of a function for a student, and what is right there; not to be written to."""
    cases = function.cases(np.random.default_rng(seed))
    return [
        (case, by_name(function.returns, function.definition(*copy.deepcopy(case))))
        for case in cases
    ]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and whatever the answer does to warnings and to `numpy.seterr` ends with it."""
    with warnings.catch_warnings(), np.errstate():
        warnings.simplefilter("ignore")
        yield


class watched:
    """Turn what the student's code raises into `NotDone` or `Wrong`, with the line it came from."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, (Wrong, NotDone)):
            return
        if isinstance(error, NotImplementedError):
            raise NotDone(message_of(error)) from None
        raise Wrong(*describe_exception(error, self.path)) from None


def message_of(error: BaseException) -> str:
    """The first line of what an exception says, if it can say anything."""
    try:
        return str(error).split("\n")[0]
    except BaseException:  # noqa: BLE001  (its class may be the student's)
        return ""


def printable(text: str) -> str:
    """A text with what would steer a terminal, or cannot be encoded, written as an escape."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else c.encode("unicode_escape").decode()
        for c in text.replace("\r\n", "\n").expandtabs()
    )  # fmt: skip


def describe_exception(error: BaseException, path: str) -> tuple[str, list[str], str]:
    """Remark, example and cause of an exception of the student's code."""
    where = []
    if isinstance(error, SyntaxError):
        where = [f"line {error.lineno}: {(error.text or '').strip()}"]
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        where = [f"line {f.lineno}: {f.line}" for f in frames[-1:]]
    if isinstance(error, SystemExit):
        return "the code calls exit()", where, "exit() ends the program: return the result instead"
    if isinstance(error, MemoryError):
        cause = "an array of the wrong size, or a list that grows without end"
        return "asks for more memory than the grader allows", where, cause
    if isinstance(error, RecursionError):
        return "RecursionError", where, "a function calls itself without end"
    if isinstance(error, InputRead):
        return "the code reads standard input", where, "nobody answers input() here: remove it"
    text = message_of(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return message, where, next((why for sign, why in _WHY.items() if sign in message), "")


#: What stands in the message of an exception, and what that usually means.
_WHY = {
    "truth value of an array": "if and max() take single numbers: use np.where and np.maximum",
    "0-dimensional arrays": "functions of math take single numbers: use those of NumPy",
    "size-1 arrays": "functions of math take single numbers: use those of NumPy",
    "matmul:": "the inner axes of a matrix product must be equal: which factor is transposed?",
    "not aligned": "the inner axes of a matrix product must be equal: which factor is transposed?",
    "inhomogeneous": "the rows of an array differ in length",
    "broadcast": "shapes that do not go together: write the shape of each array beside its line",
    "NameError": "a name that is not defined in the file: misspelt, or not imported",
    "UnboundLocalError": "a name that is used before a value was given to it",
    "every variable is known": "state.advance is called more often than there are variables",
    "x_i must be an array of bits": "advance takes what was drawn, 0 or 1, not a probability",
    "Cannot cast array data": "these numbers are floats where whole ones are wanted: .astype(int)",
    "only int indices": "these numbers are floats where whole ones are wanted: .astype(int)",
    "must be of integer": "these numbers are floats where whole ones are wanted: .astype(int)",
    "only integers, slices": "these numbers are floats where whole ones are wanted: .astype(int)",
    "IndexError": "an index runs over the end: is the loop over positions or over variables?",
}


# The form of results: what is returned, how many, of which shape.


def by_name(returns: Sequence[str], result: Any) -> dict[str, Array | None]:
    """Results as arrays by name; the entries of a list get a name each."""
    results = result if len(returns) > 1 else (result,)
    arrays: dict[str, Array | None] = {}
    for name, value in zip(returns, results, strict=True):
        if isinstance(value, list):
            arrays |= {f"{name}[{k}]": np.asarray(entry) for k, entry in enumerate(value)}
        else:
            arrays[name] = None if value is None else np.asarray(value)
    return arrays


def parts_of(arrays: Iterable[str], name: str) -> list[str]:
    """The names of the entries of a result that is a list; of any other its own."""
    return [key for key in arrays if key == name or key.startswith(f"{name}[")]


def check_form(
    function: Function, result: Any, wanted: Mapping[str, Array | None]
) -> dict[str, Array | None]:
    """Return results by name, or say what is wrong with their number, types and shapes."""
    returns = function.returns
    if result is None:
        cause = "a function without a return statement returns None"
        raise Wrong(f"{function.name} returns None", cause=cause)
    asked = f"({', '.join(returns)})"
    if len(returns) > 1 and not (isinstance(result, (tuple, list)) and len(result) == len(returns)):
        got = f"{len(result)} of them" if isinstance(result, tuple) else type(result).__name__
        raise Wrong(f"should return {asked}, returns {got}", cause="the return statement")
    results = result if len(returns) > 1 else (result,)
    _check_sequence(function, results, wanted)
    arrays: dict[str, Array | None] = {}
    for name, value in zip(returns, results, strict=True):
        parts = parts_of(wanted, name)
        if parts == [name]:
            arrays[name] = _check_array(name, value, wanted[name])
            continue
        if not isinstance(value, (list, tuple)) or len(value) != len(parts):
            got = f"{len(value)} entries" if isinstance(value, (list, tuple)) else _kind(value)
            raise Wrong(
                f"{name} should be a list of {len(parts)}, is {got}",
                cause="one array a layer is wanted, the first layer first",
            )
        for key, entry in zip(parts, value, strict=True):
            arrays[key] = _check_array(key, entry, wanted[key])
    return arrays


def _check_sequence(
    function: Function, results: Sequence[Any], wanted: Mapping[str, Array | None]
) -> None:
    """Results, or the entries of one that is a list, that would fit in another sequence."""
    shapes = [[_shape(wanted[key]) for key in parts_of(wanted, k)] for k in function.returns]
    given = [[_shape(v) for v in (r if isinstance(r, list) else [r])] for r in results]
    if given != shapes and sorted(given) == sorted(shapes):
        cause = f"return ({', '.join(function.returns)}), in this order"
        raise Wrong("the results are in another order", cause=cause)
    for name, mine, right in zip(function.returns, given, shapes, strict=True):
        if mine != right and mine == right[::-1]:
            cause = "the lists are in the order of the walk back: the first layer must come first"
            raise Wrong(f"the arrays of {name} are in reverse", cause=cause)


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of an array, or of what may become one; what never will has none."""
    try:
        return np.shape(value)
    except ValueError:
        return ()


def _kind(value: Any) -> str:
    is_array = isinstance(value, np.ndarray)
    return f"of shape {value.shape}" if is_array else f"a {type(value).__name__}"


def _check_array(name: str, value: Any, wanted: Array | None) -> Array | None:
    if wanted is None:
        if value is not None:
            cause = f"{name} belongs to an array that is None"
            raise Wrong(f"{name} should be None here", cause=cause)
        return None
    if value is None:
        raise Wrong(f"{name} is None", cause=f"{name} was not computed, or not returned")
    try:
        array = np.array(value, copy=None)  # of the plain class, whatever was returned
    except ValueError:
        cause = "rows differ in length"
        raise Wrong(f"{name} is a list that forms no array", cause=cause) from None
    if array.dtype.kind not in "biuf":
        cause = "an array of numbers is wanted"
        raise Wrong(f"{name} has dtype {array.dtype}", cause=cause)
    if array.dtype.itemsize < 8 and array.dtype.kind == wanted.dtype.kind == "f":
        cause = "it keeps seven digits or less: work with float64, NumPy's own, all the way"
        raise Wrong(f"{name} is {array.dtype}", cause=cause)
    if array.shape != wanted.shape:
        message = f"{name} has shape {array.shape}, not {wanted.shape}"
        raise Wrong(message, cause=_why_shape(name, array, wanted))
    return array


def _why_shape(name: str, array: Array, wanted: Array) -> str:
    if array.ndim == wanted.ndim and array.shape == wanted.shape[::-1]:
        return f"{name} is transposed: the factors of a product, or its axes, are exchanged"
    if array.ndim == wanted.ndim + 1:
        return f"{name} has an axis too many: a sum over it is missing"
    if array.ndim < wanted.ndim:
        return f"{name} has too few axes: a sum that went over one axis too many, or over all"
    for axis, (mine, right) in enumerate(zip(array.shape, wanted.shape, strict=False)):
        if array.ndim == wanted.ndim and abs(mine - right) == 1:
            return f"axis {axis} of {name} is one too {'short' if mine < right else 'long'}"
    return "compare with the shapes in the docstring"


def _is_data(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return True
    return isinstance(value, list) and all(isinstance(v, np.ndarray) for v in value)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(np.array_equal, a, b))
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


# Examples in text.


def show_case(arguments: Sequence[str], case: Case) -> list[str]:
    """The arguments of a call, one a line or a few; what cannot be shown in short is left out."""
    lines: list[str] = []
    for name, value in zip(arguments, case, strict=True):
        if isinstance(value, list) and value and all(isinstance(v, np.ndarray) for v in value):
            for k, entry in enumerate(value):
                lines += show(f"{name}[{k}]", entry)
        elif isinstance(value, State):
            for key in ("order", "W", "logits"):
                lines += show(f"{name}.{key}", getattr(value, key))
        elif isinstance(value, (np.ndarray, int, float, list)):
            lines += show(name, value)
        elif inspect.isfunction(value) and value.__doc__:
            lines.append(f"{name}: {value.__doc__}")
    return lines


def show(name: str, value: Any, width: int = 70) -> list[str]:
    """``name = value``, continued below itself if it is an array of several rows."""
    head = f"{name} = "
    if isinstance(value, np.ndarray):
        whole = np.abs(value).max(initial=0) < 1e9 and np.array_equal(value, np.round(value))
        if value.dtype.kind == "f" and whole:
            value = value.astype(np.int64)
        text = np.array2string(
            value, precision=4, separator=", ", prefix=head, max_line_width=width, threshold=40,
            edgeitems=3, suppress_small=bool(np.abs(value).max(initial=0) < 1e4)
            and bool(np.abs(value)[value != 0].min(initial=1) > 1e-3),
        )  # fmt: skip
    else:
        text = repr(value)
    return (head + text).split("\n")
