"""Mistakes in the model: in its forward, and in how its weights begin."""

from gpt.museum.bug import Bug

TWIN = "tests/model/test_reference.py::test_logits_loss_and_gradients_agree[default-float64]"

IN_MODEL = (
    Bug(
        name="no-scale",
        title="Scores that are not divided by √d",
        file="gpt/model.py",
        right='        self.scale = {"head": D**-0.5, "layer": D**-0.5 / (layer + 1), "none": 1.0}[config.attention_scale]',
        wrong='        self.scale = {"head": 1.0, "layer": 1.0 / (layer + 1), "none": 1.0}[config.attention_scale]',
        why="A score is a sum of d products. If queries and keys have a variance of 1, a score has a variance of d. "
        "With d = 64 its usual size is 8, and e⁸ is 3,000. So the softmax puts nearly all weight on one token "
        "before anything is learned, and where a weight is near 1 or 0, its derivative is near 0.",
        notice="The entropy of the attention weights is near 0 from the first step on. The loss falls more slowly.",
        chapter="07-attention",
        test=TWIN,
        finding="attention-saturated",
        flags={"heads": 1},
        recipe="one head of 64 numbers, since scores grow with the width of a head",
        family="slow",
    ),
    Bug(
        name="no-mask",
        title="No mask: attention sees the future",
        file="gpt/model.py",
        right="        dropout, causal = self.dropout if self.training else 0.0, past == 0",
        wrong="        dropout, causal = self.dropout if self.training else 0.0, False",
        why="The target of a token is the one after it, which stands in the window. Without the mask the model copies "
        "it from there, and learns nothing about the language.",
        notice="The loss falls far below what any text allows, validation too. The samples are nonsense, because a "
        "text that is being written has no later tokens to copy.",
        chapter="07-attention",
        test="tests/model/test_gpt_model.py::test_no_character_sees_a_later_one",
        finding="future",
        family="future",
    ),
    Bug(
        name="no-positions",
        title="Positions left out",
        file="gpt/model.py",
        right="            q, k = rotary(q, past), rotary(k, past)",
        wrong="            pass  # no positions",
        why="Attention is a sum over tokens, and a sum has no order. The first layer now sees the earlier tokens as a "
        "bag: it knows which ones there were, and not where. Only the mask tells later layers a little, since "
        "every token sees another number of tokens.",
        notice="The loss stays near the bigram's, which needs the last token alone. Shuffle the earlier tokens of a "
        "window: the output of the first layer must change.",
        chapter="08-block",
        test=TWIN,
        finding="no-order",
        family="order",
    ),
    Bug(
        name="no-residual",
        title="A block replaces its input, and should add to it",
        file="gpt/model.py",
        right="        x = x + self.attention(self.attention_norm(x))  # between tokens",
        wrong="        x = self.attention(self.attention_norm(x))",
        why="What attention finds takes the place of the token's own vector. Its projection begins at zero, so all "
        "vectors are zero behind it, and no gradient passes to what is before. Even when weights have grown, each "
        "block has to carry everything through a mixture of tokens.",
        notice="The first loss is ln V exactly, as if the model saw nothing, and then stays at the unigram's. The "
        "gradients of the lower layers are near 0.",
        chapter="08-block",
        test="tests/model/test_gpt_model.py::test_a_fresh_model_knows_nothing_and_its_blocks_are_the_identity",
        finding="gradient-layers",
        shows="norm",
        family="nothing",
    ),
    Bug(
        name="tied-twice",
        title="Tied weights that are drawn twice",
        file="gpt/model.py",
        right="            self.head.weight = self.embedding.weight",
        wrong="            pass  # the head keeps a matrix of its own",
        why="Embedding and head should be one matrix, which gets a gradient from both ends. Here each is drawn for "
        "itself, and each is trained for itself. The configuration says that they are tied, and the model has V · "
        "C parameters more than it says.",
        notice="Not in the loss, which may even be lower, since the model is larger. Count the parameters, or compare "
        "the two matrices: they must be the same object.",
        chapter="08-block",
        test="tests/model/test_gpt_model.py::test_nanogpt_recipe_has_nanogpts_size_and_beginning",
        flags={"tied": True, "init": "gpt2", "learning_rate": 1e-3},
        recipe="--tied, with GPT-2's first weights and a lower learning rate, which suit it",
        shows="tied",
        family="subtle",
    ),
)
