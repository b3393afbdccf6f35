"""Training on many ranks: the processes that `mpiexec -n N python -m gpt.train …` starts, perhaps on several hosts.

exchange   one buffer for all gradients, the loss and a request to stop; one all-reduce a step
sharded    the optimizer's state shared out among the ranks
opening    rank 0 opens the run, the others get it from there
drift      whether the weights are still equal on all ranks
"""
