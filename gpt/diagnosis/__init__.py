"""What can be wrong with a training, a rule for each, with its number, what is normal, and what to try.

check          a rule's result, and which findings explain others
recorded       what a run says of itself: enough for the rules of
                   initial_loss, instability, loss_level, overfitting
patient        a run folder, its text and its model on some windows: for the rules of
                   leaks, learning_rate, layers, units, attention
rules          all of them, in order
range_test     gpt.doctor --deep: which learning rates would have worked
report         the text that gpt.doctor prints
probe          forward and backward of a model, watched
measures       functions of arrays that return numbers
"""
