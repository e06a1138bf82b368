"""Speed beside other implementations and beside the machine's own limits.

    python -m benchmarks                              the quick profile, under a minute
    python -m benchmarks --profile full --out DIR     all sizes, threads and dtypes, with pictures
    python -m benchmarks report DIR/results.json
    python -m benchmarks compare old.json new.json --fail-above 10%
    python -m benchmarks.steps --out DIR              the kernels' steps, from the plain loop on
    python -m benchmarks page docs/benchmarks.md DIR  puts a run's figures into the page

How one run works: the parent (`runner`) starts a process for each implementation (`worker`), all
pinned to the same cores. Every task's result is compared with the definition (`definition`, which
imports nothing of the library) before anything is timed. Then the implementations take turns, round
by round, and only one works at a time. What comes out is one JSON file (`results`), from which the
tables (`report`) and pictures (`pictures`) are made.
"""
