"""Comparison with PyTorch: time, memory, and how both grow. Run it from a checkout, with PyTorch installed.

    python -m benchmarks                      all quick benchmarks, as tables
    python -m benchmarks.train_step --help    one benchmark, and its options
    python -m benchmarks.train_step --threads 2 --repeats 7 --json benchmarks/results/train_step.jsonl

Every number comes from a fresh process of one engine. The engines of a comparison take turns, round by round
(A B A B …), with the same number of threads. A ratio is the median of the ratios of the rounds, so other work on the
machine slows both sides. No benchmark passes or fails by its time.

`--json FILE` keeps one JSON object a line: benchmark, size, engine, threads, dtype, median_ms, min_ms, ratio_to_torch,
peak_mib, and more. The `name` of a row has the form of asv: `train_step.time_step(4,4,128,64,12, 2 threads, torch)`.
A new row replaces the one of the same name, commit and CPU, and keeps all others, so the file is a history.
"""

import sys

if (
    sys.argv[:1] == ["-m"] and "benchmarks.child" not in sys.orig_argv
):  # a process that measures imports what it measures
    import tinytensor.ctrl_c  # noqa: F401  # python -m benchmarks.NAME: Ctrl-C ends it quietly, from here on
