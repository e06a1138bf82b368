"""What is promised beside the times: memory, equal bits, the time of an import, no temporaries."""

import statistics
import subprocess
import sys

from benchmarks.cases import Case
from benchmarks.inputs import make_inputs
from benchmarks.processes import ROOT, NotHere

IMPORT_PROGRAM = """
import time, warnings
warnings.simplefilter("ignore")
import numpy
start = time.perf_counter()
import pyarsimple
print(time.perf_counter() - start)
"""


def import_seconds(n):
    """How long ``import pyarsimple`` takes where NumPy is already imported: the median of n."""
    command = [sys.executable, "-c", IMPORT_PROGRAM]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        for _ in range(n + 1)
    ]
    return statistics.median(float(run.stdout) for run in runs[1:])  # the first fills the caches


def measure(run):
    """The measures of a run, each a value, or None with the reason."""
    tiny = run.profile_name == "tiny"
    sizes = {"N": 30, "D": 13, "hidden": (17,)} if tiny else {}
    big = {"N": 60, "D": 13, "hidden": (17,)} if tiny else {"N": 1000}
    path = str(run.folder / "measure.npz")
    result = {}

    def ask(key, what, case, **settings):
        make_inputs(case, run.rows).save(path)
        result[key] = run.ask_limit("compiled", what, inputs=path, **settings)

    ask("same_bits", "same_bits", Case("", "grad", "nade", (), **sizes), threads=[1, 2, 3, 5])
    if run.check_only:
        return result
    result["nade_grad_extra_memory"] = _in_fresh_process(
        run, path, "extra_memory", Case("", "grad", "nade", (), **big)
    )
    adam = Case("", "adam", "made", (), **sizes)
    ask("adam_temporary_memory", "adam_temporaries", adam)
    result["import_seconds"] = {"value": import_seconds(3 if run.profile_name != "full" else 15)}
    return result


def _in_fresh_process(run, path, what, case):
    """Memory is measured where nothing else has been done, so that no freed block is reused."""
    make_inputs(case, run.rows).save(path)
    worker = run.new_worker("compiled", run.threads)
    try:
        worker.ask("hello")
        return worker.ask("measure", what=what, inputs=path)
    except NotHere as reason:
        return {"value": None, "reason": str(reason)}
    finally:
        worker.close()
