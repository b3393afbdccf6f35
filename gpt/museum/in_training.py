"""Mistakes of a training: in its text, its batches, its loop, its schedule, and in how it is judged."""

from gpt.museum.bug import Bug

BATCHES = "tests/model/test_gpt_data.py::test_a_batch_depends_on_seed_and_step_alone"
AVERAGE = "tests/model/test_gpt_model.py::test_accumulated_batches_average"

IN_TRAINING = (
    Bug(
        name="zero-grad",
        title="Gradients that are never set to zero",
        file="gpt/fast/shards.py",
        right="            parameter.grad = None",
        wrong="            pass  # optimizer.zero_grad() is missing",
        why="A backward adds to the gradient that is there. So each step follows the sum of all gradients since the "
        "first one. Most of these gradients belong to weights that the model no longer has, and the old ones count as "
        "much as the new one, so the weights keep moving in old directions. Clipping hides how long the sum is. It also "
        "shortens the sum before the next gradient is added, so the last steps count a little more.",
        notice="The loss falls slowly. The length of the gradient stays above --grad-clip, since it begins with what "
        "clipping has left of the step before. Without clipping it grows from step to step.",
        chapter="02-tape",
        test=AVERAGE,
        shows="norm",
        family="slow",
    ),
    Bug(
        name="not-shifted",
        title="Targets that are not shifted",
        file="gpt/data.py",
        right="    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])",
        wrong="    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, :-1])",
        why="The target of each token is the token itself. The model learns to copy its input, in some dozen steps, "
        "and is sure of it. The evaluation of this project cuts its own windows, with the next token as the "
        "target: so there the loss rises.",
        notice="The training loss falls to 0. The model repeats its last token for ever. If the evaluation had the "
        "same mistake, only the sample would tell.",
        chapter="10-training",
        test=BATCHES,
        finding="targets",
        family="copy",
    ),
    Bug(
        name="same-batch",
        title="The same batch in every step",
        file="gpt/data.py",
        right="    random = np.random.Generator(np.random.Philox(key=[config.seed, step], counter=[0, 0, 0, micro_step]))",
        wrong="    random = np.random.Generator(np.random.Philox(key=[config.seed, 0], counter=[0, 0, 0, micro_step]))",
        why="The generator of the batches starts again at each step, so every step draws the same 8 windows. The model "
        "learns those 500 tokens by heart.",
        notice="The training loss falls to 0, and validation rises from the first evaluation on, however long the text "
        "is. (Learning one batch by heart is a good test, if that is what one wants.)",
        chapter="10-training",
        test=BATCHES,
        finding="targets",
        family="copy",
    ),
    Bug(
        name="leak",
        title="A validation set that leaks into the training set",
        file="gpt/corpus.py",
        right="    train = tokenizer.encode(text.text[:end], text.name, small=True)",
        wrong="    train = tokenizer.encode(text.text, text.name, small=True)",
        why="The text is not cut before training, so training draws windows of the validation split as well. The model "
        "learns both by heart, and the evaluation measures how well it remembers.",
        notice="Validation falls along with training where it should rise: the text is far too short for this model. "
        "Look for pieces of the validation split in the training split.",
        chapter="10-training",
        test="tests/model/test_gpt_data.py::test_split_is_90_10_and_needs_a_window",
        finding="overlap",
        flags={"steps": 400},
        characters=5_000,
        recipe="a text of 5,000 characters, which the model can learn by heart in 400 steps",
        family="judged",
    ),
    Bug(
        name="eval-mode",
        title="A forgotten eval mode",
        file="gpt/evaluate.py",
        right="    model.eval()",
        wrong="    pass  # model.eval() is missing",
        why="Dropout stays on while the model is judged. A fifth of its activations is missing, at random, so the loss "
        "is too high, and the same weights get another loss each time.",
        notice="Two evaluations of the same weights differ. Validation is above training from the beginning, by a "
        "distance that does not grow. With dropout, training is usually the higher one.",
        chapter="11-sampling",
        test="tests/model/test_gpt_evaluate.py::test_an_evaluation_drops_nothing",
        flags={"dropout": 0.2},
        recipe="--dropout 0.2: without dropout there is nothing to forget",
        family="judged",
    ),
    Bug(
        name="train-mode",
        title="Eval mode stays on after the first evaluation",
        file="gpt/evaluate.py",
        right="    model.train(was_training)",
        wrong="    pass  # model.train() is missing",
        why="Dropout is off from the first evaluation on. So nothing keeps the model from learning a short text by "
        "heart.",
        notice="The training loss bends down right after the first evaluation. Validation turns and rises, as if "
        "--dropout were 0.",
        chapter="10-training",
        test="tests/model/test_gpt_evaluate.py::test_mean_loss_is_the_brute_force_mean",
        finding="overfitting",
        flags={"dropout": 0.3, "steps": 600, "eval_every": 50},
        characters=4_000,
        recipe="--dropout 0.3 and a text of 4,000 characters, for which it is needed; 600 steps",
        family="overfit",
    ),
    Bug(
        name="decay-norms",
        title="Weight decay on norms and biases",
        file="gpt/optimizer.py",
        right='    groups = [{"params": matrices, "weight_decay": config.weight_decay}, '
        '{"params": vectors, "weight_decay": 0.0}]',
        wrong='    groups = [{"params": parameters, "weight_decay": config.weight_decay}]',
        why="Weight decay draws weights to 0, which is simple for a matrix: it then adds nothing. The weight of a norm "
        "is at home at 1. Drawn to 0, it makes everything behind it smaller, and the other weights have to grow "
        "against it.",
        notice="With the usual 0.1 and few steps it hardly shows. Look at the weights of the norms: they sink "
        "together, all of them, below 1.",
        chapter="09-adamw",
        test="tests/model/test_gpt_model.py::test_matrices_decay_and_vectors_do_not",
        flags={"weight_decay": 1.0},
        recipe="--weight-decay 1, so that 300 steps show what 0.1 does in 3,000",
        shows="norm-weights",
        family="subtle",
    ),
    Bug(
        name="no-warmup",
        title="A learning rate without warm-up",
        file="gpt/optimizer.py",
        right="        return peak * (step + 1) / (config.warmup + 1)",
        wrong="        return peak  # at once",
        why="The first update of AdamW is as long in every weight, lr, whatever the gradient: its averages know one "
        "gradient. At a high rate that throws the weights far off before the averages mean anything, and the model "
        "needs long to come back.",
        notice="The loss is behind from the first ten steps on, and stays behind. A lower learning rate heals it as "
        "well, at the price of a slower training. The doctor says learning-rate-high with the right line as "
        "well: a warm-up is what makes such a rate possible, not what makes it good.",
        chapter="09-adamw",
        test="tests/model/test_gpt_config.py::test_linear_schedule_rises_stays_and_falls",
        flags={"learning_rate": 2e-2, "layers": 4},
        recipe="--learning-rate 0.02 and 4 layers: at the usual 0.003 a warm-up is not needed",
        family="rate",
    ),
    Bug(
        name="accumulation-mean",
        title="Batches of one update are added up, and not averaged",
        file="gpt/fast/shards.py",
        right="        share = (rows.stop - rows.start) / self.config.batch_size / len(batches)",
        wrong="        share = (rows.stop - rows.start) / self.config.batch_size",
        why="Four batches share an update to save memory. Its loss is their mean, and so is its gradient. Here both "
        "are the sum, four times too large. AdamW divides by the size of the gradient, so the training is nearly "
        "the same. With SGD the learning rate would be four times too high.",
        notice="The first loss is about 4 ln V, and the training loss stays at four times validation. The gradient is "
        "clipped in every step.",
        chapter="10-training",
        test=AVERAGE,
        finding="initial-loss",
        flags={"grad_accumulation": 4, "batch_size": 2},
        recipe="--grad-accumulation 4 --batch-size 2",
        shows="norm",
        family="factor",
    ),
)
