"""Everything around the training loop: what a run folder needs, and what a run reports.

state        Run: the text, model and optimizer of a run, and how many steps it has made
opening      a new run, or one as its folder has it
checkpoint   saving and loading, safe against crashes
arrays       a checkpoint's arrays, compared with what the run needs before they are read
files        one way to read and write the files of a run folder, which may come from anybody
lock         one process at a time in a folder
interrupt    Ctrl-C asks to stop after the current step
checks       memory, and numbers that are not finite
failure      the error that stopped a training
record       what a step leaves: its row, and after an evaluation the checkpoints, the last and the best
metrics      metrics.jsonl, a line for each step
progress     the bar or the lines on the terminal
baselines    the losses of models that only count
kneser_ney   the best of them, a smoothed 5-gram
plots        loss.png
profiling    --profile
"""
