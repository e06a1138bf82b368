"""Test log-likelihoods of the baselines, with parameter counts, beside published figures.

    python -m benchmarks.baselines --data FOLDER
    python -m benchmarks.baselines --data FOLDER --only nltcs plants --components 10 100

Each model is fitted to the training rows in closed form, the mixture by EM. What is left to choose,
how far a chain looks back, how many kinds a mixture has and the pseudocount of a full table, is
chosen on the validation rows, and the test rows are scored once. FOLDER/NAME.npz holds train, valid
and test: bits, one row an example.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import likelihoods
from pyarsimple import reports
from pyarsimple.baselines import (
    BernoulliMixture,
    ChowLiuTree,
    IndependentBernoulli,
    JointTable,
    MarkovChain,
)
from pyarsimple.baselines.joint import MAX_DIMS
from pyarsimple.baselines.tables import MAX_ENTRIES
from pyarsimple.evaluation import evaluate

NAMES = (
    "nltcs", "plants", "mushrooms", "adult", "ocr_letters", "dna_nade", "nips", "binarized_mnist",
)  # fmt: skip
#: Rows of likelihoods_published.json.
PUBLISHED = {
    "independent bits": "independent bits",
    "Chow-Liu tree": "Chow-Liu tree",
    "mixture": "mixture of Bernoullis",
}
TRAINED = Path(__file__).resolve().parent / "results" / "likelihoods.json"
PAGE = likelihoods.ROOT / "docs" / "baselines.md"


def load(folder, name):
    path = Path(folder) / f"{name}.npz"
    with np.load(path, allow_pickle=False) as file:
        return {split: file[split] for split in likelihoods.SPLITS}


def families(n_dims, components):
    """(title, of which one is chosen: {text: make and fit}); fits take the training rows."""
    yield "independent bits", {"": lambda x: IndependentBernoulli(n_dims).fit(x)}
    yield "Markov chain, k = 1", {"": lambda x: MarkovChain(n_dims).fit(x)}
    yield (
        "Markov chain",
        {
            f", k = {k}": lambda x, k=k: MarkovChain(n_dims, k).fit(x)
            for k in range(2, min(17, n_dims))
            if n_dims * 2**k <= MAX_ENTRIES
        },
    )
    yield "Chow-Liu tree", {"": lambda x: ChowLiuTree(n_dims).fit(x)}
    yield (
        "mixture",
        {
            f", K = {K}": lambda x, K=K: BernoulliMixture(n_dims, K, rng=0).fit(
                x, restarts=1, max_iterations=100, rng=1
            )
            for K in components
        },
    )
    if n_dims <= MAX_DIMS:
        yield "full table", {"": lambda x: JointTable(n_dims).fit(x)}
        yield (
            "full table",
            {
                f", {c:g} added": lambda x, c=c: JointTable(n_dims).fit(x, pseudocount=c)
                for c in (0.3, 0.1, 0.03, 0.01, 0.003)
            },
        )


def measure(data, components, say):
    """A row for each model: what was chosen, how large it is, what it scores, what it took."""
    rows = []
    for title, choices in families(data["train"].shape[1], components):
        best = None
        started = time.perf_counter()
        for text, fit in choices.items():
            model = fit(data["train"])
            valid = evaluate(model, data["valid"]).nll
            if best is None or valid < best[0]:
                best = valid, text, model
        seconds = time.perf_counter() - started
        valid, text, model = best
        test = evaluate(model, data["test"])
        rows.append(
            {
                "model": title,
                "chosen": text,
                "n_params": model.n_params,
                "valid": -valid,
                "test": -test.nll,
                "standard_error": test.standard_error,
                "seconds": seconds,
            }
        )
        say(f"{title}{text}: {-test.nll:.3f}, {seconds:.1f} s")
    return rows


def published_figure(title, name, published):
    """The figure and its mark, as text."""
    for row in published["rows"]:
        cell = row["cells"].get(name)
        if row["model"] == PUBLISHED.get(title) and cell:
            return f"{cell['value']:.3f}{likelihoods.MARKS[cell['mark']]}"
    return ""


def trained_rows(name):
    """What benchmarks/likelihoods.py found with the models that are trained."""
    cells = json.loads(TRAINED.read_text(encoding="utf-8"))["cells"]
    found = {kind: cells.get(f"{kind}/{name}") for kind in likelihoods.MODELS}
    return [{"model": kind.upper(), "chosen": ""} | r for kind, r in found.items() if r]


def table(name, data, rows, published):
    """A data set in 80 columns."""
    n, n_dims = data["train"].shape
    lines = [f"{name}: {n_dims} bits, {n:,} rows to fit", ""]
    lines.append(f"{'':<24}{'parameters':>11}{'valid':>10}{'test':>10}{'s.e.':>7}{'published':>12}")
    lines.append("-" * 74)
    for r in rows + trained_rows(name):
        shown = published_figure(r["model"], name, published)
        shown += " " if shown and shown[-1].isdigit() else ""
        lines.append(
            f"{r['model'] + r['chosen']:<24}{r['n_params']:>11,}{r['valid']:>10.3f}"
            f"{r['test']:>10.3f}{r['standard_error']:>7.3f}{shown:>12}".rstrip()
        )
    return "\n".join(lines)


LEGEND = """\
nats an example, higher is better; s.e.: standard error of the test mean. What the
first column names after a comma was chosen on the validation rows. Published:
c computed on these very files, m from memory, ? from memory and doubtful.
FVSBN, NADE and MADE as benchmarks/likelihoods.py trained them."""


def parser():
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.baselines",
        description="Fit the baselines to data sets and print their likelihoods and sizes.",
    )
    top.add_argument("--data", metavar="FOLDER", required=True, help="with NAME.npz")
    top.add_argument("--only", metavar="NAME", nargs="+", default=NAMES, help="these sets alone")
    top.add_argument("--components", metavar="K", nargs="+", type=int, default=(10, 30, 100, 300),
                     help="numbers of kinds that are tried for mixtures")  # fmt: skip
    top.add_argument("--out", metavar="FILE.json", help="write the figures here")
    top.add_argument("--publish", action="store_true", help="also into docs/baselines.md")
    return top


def main(arguments=None):
    args = parser().parse_args(arguments)
    published = likelihoods.read_json("likelihoods_published.json")
    found, tables, missing = {}, [], []
    for name in args.only:
        try:
            data = load(args.data, name)
        except (OSError, KeyError, ValueError) as error:
            missing.append(f"{name}: {error}")
            continue
        found[name] = measure(
            data, args.components, lambda line, name=name: print(f"{name}: {line}", file=sys.stderr)
        )
        tables.append(table(name, data, found[name], published))
        print(f"{tables[-1]}\n")
    print(LEGEND)
    if args.out:
        reports.write_text(Path(args.out), reports.to_json(found))
    if args.publish:
        text = "\n\n".join([*tables, LEGEND])
        likelihoods.replace_block(PAGE, "table", f"```\n{text}\n```")
    for line in missing:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
