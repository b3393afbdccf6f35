"""Mistakes in the engine: in the tape, in kernels with their derivatives, and in the update of the weights."""

from gpt.museum.bug import Bug

DIFFERENCES = "tests/derivatives/test_primitives.py::test_gradient_is_that_of_finite_differences"
CAUSAL = "tests/model/test_gpt_model.py::test_no_character_sees_a_later_one"

IN_ENGINE = (
    Bug(
        name="topological-order",
        title="The tape is played in no topological order",
        file="tinytensor/tape.py",
        right='    nodes = sorted(seen, key=attrgetter("order"))  # by age, which is a topological order',
        wrong="    nodes = list(seen)[::-1]  # as the search found them, the loss last",
        why="In x + f(x) two calls use x. The search from the loss finds the call that computed x before it has walked "
        "through f. So the tape plays that call first, with one of its two gradients. The other one comes too "
        "late, and is lost. A block learns from what the addition behind it passes on. What the later blocks would "
        "tell it does not arrive.",
        notice="The loss falls, only less than it should. No loss says so: a comparison of gradients does, with "
        "central differences or with PyTorch, of a value that is used twice.",
        chapter="02-tape",
        test="tests/engine/test_tape.py::test_one_tensor_used_many_times",
        flags={"layers": 4},
        recipe="4 layers: the more blocks there are, the more is lost between them",
        shows="gradient",
        family="gradient",
    ),
    Bug(
        name="overwrite-grad",
        title="= in the place of +=: a second gradient replaces the first",
        file="tinytensor/accumulate.py",
        right="                gradients[edge] = as_array(np.add(old, dx))",
        wrong="                gradients[edge] = dx  # the last one",
        why="A value that two calls use gets a gradient from each, and needs their sum. Here it keeps the last one. In "
        "x + f(norm(x)) that is the one through f. So the residual way, which carries gradients past a block, is "
        "cut. Blocks begin with projections of zero, and nothing comes back through them. The lower parts then "
        "follow a gradient that is nearly noise.",
        notice="The loss stays high, and may rise. The gradients of the lower layers are far too small in the first "
        "steps. A test with a diamond, y·2 + y·y, finds it at once.",
        chapter="02-tape",
        test="tests/engine/test_tape.py::test_a_diamond_adds_its_branches",
        finding="learned-nothing",
        flags={"norm": "rms"},
        recipe="RMSNorm: the backward of LayerNorm adds to the earlier gradient itself, so the line would not run "
        "there",
        shows="gradient",
        family="gradient",
    ),
    Bug(
        name="repeated-indices",
        title="dw[ids] += dy, where an index occurs more than once",
        file="tinytensor/ops/embedding.py",
        right="    return (scatter_add(vocabulary, flat_ids, dy),)  "
        "# dW[flat_ids[n]] += dy[n]: an id that occurs twice receives both",
        wrong="    dw = array_module(dy).zeros((vocabulary, dy.shape[1]), dy.dtype); dw[flat_ids] += dy; return (dw,)",
        why="NumPy reads all rows dw[ids], adds to each, and writes them back. Of an index that occurs 50 times, the "
        "row that is written last stays, and 49 additions are lost. So a frequent character follows the gradient "
        "of one of its places. AdamW divides by the usual size of a gradient: the updates are as large as before, "
        "and their direction is that of chance.",
        notice="It hardly shows in the loss. The gradient of the embedding is far too short. Central differences find "
        "it, if an index occurs twice in the test.",
        chapter="04-embedding-linear",
        test=f"{DIFFERENCES}[embedding]",
        shows="gradient",
        family="subtle",
    ),
    Bug(
        name="gelu-derivative",
        title="A derivative that lacks half of the product rule",
        file="tinytensor/ops/gelu.py",
        right="        derivative += s  # s + x s′ = dy/dx",
        wrong="        derivative = s  # y = x s, so the slope is s",
        why="GELU is y = x s(x). Its derivative is s + x s′, since both factors depend on x. The second part is left "
        "out here. It is small where |x| is large, and up to 0.24 between, where most units are.",
        notice="It hardly shows in the loss: the direction is still downhill, only not straight. A wrong derivative is "
        "found by a gradient check, not by a curve.",
        chapter="03-derivatives",
        test=f"{DIFFERENCES}[gelu_tanh]",
        shows="gradient",
        family="subtle",
    ),
    Bug(
        name="layer-norm-mean",
        title="The backward of layer norm takes the mean for a constant",
        file="tinytensor/ops/layer_norm.py",
        right="    dx -= mean_dxhat[:, None]  # through the mean",
        wrong="    pass  # the mean is a constant",
        why="Each xⱼ changes the mean of its row, and with it all x̂ᵢ. So dx loses the mean of dx̂. Without that term "
        "the gradient asks for a shift of the whole row, which the forward takes away again.",
        notice="It does not show in the loss. A gradient check finds it: the gradient of a row of x must add up to 0.",
        chapter="06-layer-norm",
        test=f"{DIFFERENCES}[layer_norm]",
        shows="gradient",
        family="subtle",
    ),
    Bug(
        name="finite-mask",
        title="A mask that is finite: −5 where −∞ should be",
        file="tinytensor/ops/attention.py",
        right="    mask = xp.triu(xp.full((t, s), -xp.inf, dtype), 1)",
        wrong="    mask = xp.triu(xp.full((t, s), -5, dtype), 1)",
        why="e^−∞ is 0, and e^−5 is 0.007: the softmax nearly closes the future, and nothing looks wrong. But the next "
        "token is what the model has to predict, and it stands there. Sooner or later training finds queries and "
        "keys whose scores lift it over the mask.",
        notice="At first nothing shows. Then, in each seed at another step, the loss falls below that of the right "
        "mask, and goes on: it is too good. The samples get worse, because a text that is being written has no "
        "later tokens. Change the last tokens of a window: the predictions before them must stay as they are.",
        chapter="07-attention",
        test=CAUSAL,
        finding="future",
        flags={"steps": 500},
        recipe="500 steps, since each seed needs some hundred until it has found the gap",
        family="future",
    ),
    Bug(
        name="mask-after-softmax",
        title="The mask comes after the softmax",
        file="tinytensor/ops/attention.py",
        right="    w = softmax_rows(a, mask is not None)  "
        "# a causal row always sees key 0; only a given mask can close a whole row",
        wrong="    w = np.tril(softmax_rows(np.matmul(q * scale, k.swapaxes(-1, -2)), False))",
        why="The weights of later tokens are 0, so nothing of their values is mixed in. But they are in the sum that "
        "the softmax divides by. So the weights of a query add up to less than 1: the first tokens get a small "
        "part of what they look for, and the size of that part depends on the future.",
        notice="Add up the weights of a query: the sum must be 1. Predictions change when later tokens do.",
        chapter="07-attention",
        test=CAUSAL,
        finding="future",
        shows="sums",
        family="future",
    ),
    Bug(
        name="softmax-axis",
        title="The softmax goes over the queries, not over the keys",
        file="tinytensor/ops/attention.py",
        right="    w = softmax_rows(a, mask is not None)  "
        "# a causal row always sees key 0; only a given mask can close a whole row",
        wrong="    w = softmax_rows(a.swapaxes(-1, -2), True).swapaxes(-1, -2)",
        why="The scores are (T, T), so no shape tells rows from columns. Now each column adds up to 1: queries compete "
        "for a key, and later queries decide what an earlier one gets. The last key is seen by the last query "
        "alone, which takes it with weight 1. The backward expects rows that add up to 1, so gradients are wrong, "
        "and grow.",
        notice="The loss stays near the unigram's, and gradients are a hundred times too long. Add up the weights of a "
        "query: the sum must be 1.",
        chapter="07-attention",
        test=CAUSAL,
        finding="future",
        shows="sums",
        family="future",
    ),
    Bug(
        name="no-bias-correction",
        title="AdamW without the correction of its averages",
        file="tinytensor/optim/adamw.py",
        right="    scratch *= lr * root / (1 - beta1**step)  # lr m̂ / (√v̂ + eps)",
        wrong="    scratch *= lr  # lr m / (√v + eps)",
        why="Both averages begin at 0, and are too small in the first steps: m by 1 − β₁ᵗ, v by 1 − β₂ᵗ. With β₂ = "
        "0.999 the root of v is too small for longer, so m / √v is too large: three times in the first step, six "
        "times some steps later. It is the opposite of a warm-up.",
        notice="The loss is behind from the first steps on, and attention puts all weight on one token. The update of "
        "the first step must be lr in each weight.",
        chapter="09-adamw",
        test="tests/nn/test_optim.py::test_20_steps[8-AdamW-float64-1e-12]",
        finding="attention-saturated",
        flags={"beta2": 0.999, "warmup": 0},
        recipe="β₂ = 0.999, the usual default, and no warm-up, which would hide it",
        family="rate",
    ),
)
