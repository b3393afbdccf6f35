"""Training on many ranks: the processes that `mpiexec -n N python -m gpt.train …` starts, perhaps on several hosts.

opening    rank 0 opens the run, the others get it from there
exchange   one buffer for all gradients, the loss and a request to stop; one all-reduce a step
update     the update of the weights, the same on every rank
sharded    the optimizer's state shared out among the ranks
drift      whether the weights are still equal on all ranks
heartbeat  a rank that stops answering ends all of them
failing    errors of all ranks, said once, and of one, which ends the others
banners    what mpiexec prints when a rank dies
processes  which process is which rank, for gpt.launch
"""
