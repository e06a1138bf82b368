"""What makes the kernels fast, step by step: small programs from the plain loop to the final form.

Run them by ``python -m benchmarks.steps [--data FOLDER] [--out DIR]``.
"""
