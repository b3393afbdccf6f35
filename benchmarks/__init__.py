"""Side by side with PyTorch: how long, how much memory, and how both grow. Run from a checkout that has PyTorch.

    python -m benchmarks                      all of the quick ones, as tables
    python -m benchmarks.train_step --help    one of them, and what can be chosen
    python -m benchmarks.train_step --threads 2 --repeats 7 --json benchmarks/results/train_step.jsonl

Every number comes from a fresh process that one engine has to itself. The engines of a comparison take turns, round by
round (A B A B …), with the same number of threads; a ratio is the median of the rounds' own ratios, so that what else
the machine does falls on both. Nothing here passes or fails on time.

`--json FILE` keeps one JSON object a line: benchmark, size, engine, threads, dtype, median_ms, min_ms, ratio_to_torch,
peak_mib, and more. A row's `name` is asv's way to write one, `train_step.time_step(4,4,128,64,12, 2 threads, torch)`;
a row replaces the one of the same name, commit and CPU and stands beside all others, so that a file is a history.
"""
