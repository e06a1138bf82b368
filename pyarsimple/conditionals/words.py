"""Conditionals in words, for the command line: bernoulli, categorical:5, gaussian, mixture:10."""

from __future__ import annotations

from collections.abc import Callable

from pyarsimple.conditionals.base import Conditional
from pyarsimple.conditionals.bernoulli import Bernoulli
from pyarsimple.conditionals.categorical import Categorical
from pyarsimple.conditionals.gaussian import Gaussian
from pyarsimple.conditionals.mixed import Mixed
from pyarsimple.conditionals.mixture import GaussianMixture

WORDS = "bernoulli, categorical:K, gaussian, gaussian:MIN_SCALE, mixture:K or mixture:K:MIN_SCALE"

#: The kinds of numbers that may follow each name, and what they make.
FORMS: dict[str, Callable[..., Conditional]] = {
    "bernoulli": Bernoulli,
    "categorical:int": Categorical,
    "gaussian": Gaussian,
    "gaussian:float": lambda min_scale: Gaussian(min_scale=min_scale),
    "mixture:int": GaussianMixture,
    "mixture:int:float": lambda K, min_scale: GaussianMixture(K, min_scale=min_scale),
}


def parse(text: str) -> Conditional:
    """Make a conditional from words.

    Parameters
    ----------
    text : str
        ``bernoulli``, ``categorical:K``, ``gaussian``, ``gaussian:MIN_SCALE``, ``mixture:K`` or
        ``mixture:K:MIN_SCALE``: one conditional for all variables. Several with commas between
        them are one for each variable, and ``3*bernoulli`` stands for three:
        ``3*bernoulli,categorical:5,gaussian`` is for five variables.

    Raises
    ------
    ValueError
        If text is nothing of this.
    """
    entries = []
    for word in str(text).split(","):
        times, star, single = word.rpartition("*")
        if star and not times.strip().isdecimal():
            raise ValueError(f"{_wanted(text)}; {word!r} must begin with a number, as 3*bernoulli")
        entries += [_parse_one(single.strip(), text)] * (int(times) if star else 1)
    return entries[0] if "," not in text and "*" not in text else Mixed(entries)


def _parse_one(word: str, text: str) -> Conditional:
    name, *numbers = word.split(":")
    for form, make in FORMS.items():
        form_name, *kinds = form.split(":")
        if name == form_name and len(numbers) == len(kinds):
            try:
                arguments = [
                    int(n) if k == "int" else float(n) for n, k in zip(numbers, kinds, strict=True)
                ]
                return make(*arguments)
            except ValueError as error:
                raise ValueError(f"{_wanted(text)} ({error})") from None
    hint = ""
    if word in ("categorical", "mixture"):
        what = "classes" if word == "categorical" else "components"
        hint = f"; say how many {what}, for example {word}:5"
    raise ValueError(_wanted(text) + hint)


def _wanted(text: str) -> str:
    return f"a conditional must be {WORDS}, or several with commas between them, got {text!r:.200}"
