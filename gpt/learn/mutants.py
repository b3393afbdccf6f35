"""Right and wrong variants of each subject: what one does, and the line of the subject's file that it replaces.

A wrong variant is a mutant. A reader's test has to pass on all right variants, and to fail on each mutant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SUBJECTS = Path(__file__).parent / "subjects"


@dataclass(frozen=True)
class Variant:
    """`what` it does; `old`, a piece of the subject's text that is there once, and `new`, which takes its place."""

    what: str
    old: str
    new: str

    def make(self, subject: str) -> Callable[..., Any]:
        """The function: the text of the subject with the replacement, executed."""
        text = source(subject)
        if text.count(self.old) != 1:
            raise ValueError(f"{self.old!r} is {text.count(self.old)} times in {subject}.py, not once")
        names: dict[str, Any] = {"__name__": "subject"}
        exec(compile(text.replace(self.old, self.new), "subject", "exec", dont_inherit=True), names)
        made: Callable[..., Any] = names["subject"]
        return made


@cache
def source(subject: str) -> str:
    """The text of a subject."""
    return (SUBJECTS / f"{subject}.py").read_text("utf-8")


V = Variant
PLAIN = V("the plain one", "def subject(", "def subject(")

RIGHT: dict[str, list[Variant]] = {
    "unbroadcast": [
        V("one that adds up in another order", "dx = dy.sum(lacking)", "dx = (dy * 3).sum(lacking) / 3"),
    ],
    "cross_entropy": [
        V("one that rounds differently", "losses = np.log(total[:, 0]) - shifted[rows, target]",
          "losses = -np.log(e[rows, target] / total[:, 0]) if (e[rows, target] > 1e-300).all() else np.log(total[:, 0]) - shifted[rows, target]"),
        V("one that multiplies by 1/N", "dx = dx / len(x)", "dx = dx * (1 / len(x))"),
    ],
    "layer_norm": [
        V("one that takes the power −1/2", "1 / np.sqrt(variance + eps)", "(variance + eps) ** -0.5"),
        V("one that rounds dx differently", "dx = rstd * (d - through_mean - through_rstd)",
          "dx = rstd * d - rstd * through_mean - rstd * through_rstd"),
    ],
    "causal_mask": [
        V("one that scales q, not the scores", "q @ k.T / math.sqrt(D)", "(q / math.sqrt(D)) @ k.T"),
        V("one that divides at the end", "return np.asarray(w @ v)", "return (e @ v) / e.sum(1, keepdims=True)"),
        V("one that computes in float64 row by row", "return np.asarray(w @ v)", "return np.stack([(w[t, :, None] * v).sum(0) for t in range(T)])"),
    ],
    "adamw": [
        V("one that puts the corrections into lr and eps, as the engine does", "lr * mhat / (np.sqrt(vhat) + eps)",
          "lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps * np.sqrt(1 - beta2**t))"),
        V("one that rounds m differently", "beta1 * m + (1 - beta1) * g", "m + (1 - beta1) * (g - m)"),
    ],
    "batch": [
        V("one that draws other windows of the same rng", "starts = rng.integers(0, count, size)",
          "starts = count - 1 - rng.integers(0, count, size)"),
        V("one that draws from a permutation", "starts = rng.integers(0, count, size)",
          "starts = np.concatenate([rng.permutation(count) for _ in range(size // count + 1)])[:size]"),
        V("one that returns int64", "return inputs, targets", "return inputs.astype(np.int64), targets.astype(np.int64)"),
    ],
    "sampling": [
        V("one that rounds differently", "e = np.exp(z - z.max())", "e = np.exp(z - z.max() + 0.1)"),
        V("one that keeps logarithms, and returns their exponentials", "return np.asarray(p)",
          "return np.where(p > 0, np.exp(np.log(np.maximum(p, 1e-300))), 0)"),
        V("one that divides by the temperature later", "e = np.exp(z - z.max())", "e = np.exp((logits - logits.max()) / temperature)"),
    ],
    "tape": [
        V("one that adds in another order", "for each, dx in zip(node.inputs, node.backward(node.grad)):",
          "for each, dx in reversed([*zip(node.inputs, node.backward(node.grad))]):"),
        V("one that keeps the arrays that backwards return, and copies none", "np.array(dx) if", "dx if"),
    ],
}  # fmt: skip

WRONG: dict[str, list[Variant]] = {
    "unbroadcast": [
        V("takes the mean over the dimensions that the shape lacks", "dx = dy.sum(lacking)", "dx = dy.mean(lacking) if lacking else dy"),
        V("takes the mean over dimensions of size 1", ".sum(stretched, keepdims=True)", ".mean(stretched, keepdims=True)"),
        V("takes the first use of each element alone, where dimensions are lacking", "dx = dy.sum(lacking)", "dx = dy[(0,) * extra]"),
        V("takes the first use of each element alone, in dimensions of size 1", "dx = np.asarray(dx).sum(stretched, keepdims=True)",
          "dx = np.asarray(dx)[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]"),
        V("sums over the first lacking dimension alone, and takes the first of the others", "dx = dy.sum(lacking)",
          "dx = dy.sum(0)[(0,) * (extra - 1)] if extra else dy"),
        V("sums over the first dimension of size 1 alone", ".sum(stretched, keepdims=True)",
          ".sum(stretched[:1], keepdims=True)[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]"),
        V("returns the gradient of one shape for another: size 1 is dropped", ".reshape(shape)", ".squeeze()"),
        V("returns float64 for float32", ".astype(dy.dtype)", ".astype(np.float64)"),
        V("changes dy", "extra = dy.ndim - len(shape)", "extra = dy.ndim - len(shape); dy *= 2; dy = dy / 2"),
        V("is right for two dimensions at most: more are averaged", "dx = dy.sum(lacking)",
          "dx = dy.sum(lacking) / (2 if dy.ndim > 2 and extra else 1)"),
    ],
    "cross_entropy": [
        V("returns the sum of the losses, not their mean", "loss = losses.mean()", "loss = losses.sum()"),
        V("returns the gradient of the sum: dx is not divided by the number of rows", "dx = dx / len(x)", "dx = dx / 1"),
        V("divides dx by the number of classes, not of rows", "dx = dx / len(x)", "dx = dx / x.shape[1]"),
        V("does not subtract the maximum: large logits overflow", "shifted = x - x.max(1, keepdims=True)", "shifted = x - 0.0"),
        V("subtracts the largest logit of all rows: small rows underflow", "x.max(1, keepdims=True)", "x.max()"),
        V("normalises over all rows at once", "total = e.sum(1, keepdims=True)",
          "total = np.broadcast_to(e.sum(0).sum(), (len(x), 1))"),
        V("forgets the 1 at the target in dx", "dx[rows, target] -= 1", "dx[rows, target] -= 0"),
        V("adds 1 at the target, where it has to subtract", "dx[rows, target] -= 1", "dx[rows, target] += 1"),
        V("takes the target of the first row for all rows, in the loss", "shifted[rows, target]", "shifted[rows, target[0]]"),
        V("counts in bits: the logarithm has base 2", "np.log(total[:, 0]) - shifted[rows, target]",
          "(np.log(total[:, 0]) - shifted[rows, target]) / np.log(2)"),
        V("changes the logits", "rows = np.arange(len(x))", "rows = np.arange(len(x)); x -= x.mean(1, keepdims=True)"),
    ],
    "layer_norm": [
        V("divides by n − 1 in the variance", "variance = (centred * centred).mean(1, keepdims=True)",
          "variance = (centred * centred).sum(1, keepdims=True) / (x.shape[1] - 1)"),
        V("leaves eps out: a row of equal numbers divides by 0", "np.sqrt(variance + eps)", "np.sqrt(variance)"),
        V("adds eps to the standard deviation, not to the variance", "np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        V("normalises over all rows at once", "variance = (centred * centred).mean(1, keepdims=True)",
          "variance = (centred * centred).mean()"),
        V("leaves the bias out", "y = xhat * w + b", "y = xhat * w"),
        V("multiplies w into the bias as well", "y = xhat * w + b", "y = (xhat + b) * w"),
        V("forgets w in dx", "d = dy * w", "d = dy"),
        V("forgets in dx that the mean depends on x", "- through_mean", "- 0 * through_mean"),
        V("forgets in dx that the standard deviation depends on x", "- through_rstd", "- 0 * through_rstd"),
        V("forgets rstd in dx", "dx = rstd * (", "dx = 1 * ("),
        V("takes dw of the last row alone", "dw = (dy * xhat).sum(0)", "dw = (dy * xhat)[-1]"),
        V("averages db over the rows", "db = dy.sum(0)", "db = dy.mean(0)"),
    ],
    "causal_mask": [
        V("has no mask: each position sees all", "np.tri(T, dtype=bool)", "np.ones((T, T), bool)"),
        V("sees one position too far: the next one", "np.tri(T, dtype=bool)", "np.tri(T, k=1, dtype=bool)"),
        V("does not see itself, but for the first position", "np.tri(T, dtype=bool)",
          "np.tri(T, k=-1, dtype=bool) | (np.arange(T) + np.arange(T)[:, None] == 0)"),
        V("sees the future, not the past: the mask is transposed", "np.tri(T, dtype=bool)", "np.tri(T, dtype=bool).T"),
        V("makes the masked scores small, not −∞, so the future leaks a little", "-np.inf", "-4.0"),
        V("masks after the softmax, so the weights of a row do not sum to 1",
          "scores = np.where(sees, scores, -np.inf)\n    e = np.exp(scores - scores.max(1, keepdims=True))\n    w = e / e.sum(1, keepdims=True)",
          "e = np.exp(scores - scores.max(1, keepdims=True))\n    w = e / e.sum(1, keepdims=True) * sees"),
        V("sees itself and two positions before it, no more", "np.tri(T, dtype=bool)", "np.tri(T, dtype=bool) & ~np.tri(T, k=-3, dtype=bool)"),
        V("does not mask the last row but one", "np.tri(T, dtype=bool)", "np.tri(T, dtype=bool) | (np.arange(T)[:, None] == T - 2)"),
        V("does not scale the scores", "q @ k.T / math.sqrt(D)", "q @ k.T"),
        V("scales by D, not by its root", "q @ k.T / math.sqrt(D)", "q @ k.T / D"),
        V("softmax over the queries, not over the keys", "e.sum(1, keepdims=True)", "e.sum(0, keepdims=True)"),
        V("mixes the keys, not the values", "return np.asarray(w @ v)", "return w @ (k if k.shape == v.shape else v)"),
    ],
    "adamw": [
        V("does not correct m for its start at 0", "mhat = m / (1 - beta1**t)", "mhat = m"),
        V("does not correct v for its start at 0", "vhat = v / (1 - beta2**t)", "vhat = v"),
        V("corrects as if each step were the first", "mhat = m / (1 - beta1**t)", "mhat = m / (1 - beta1)"),
        V("adds the decay to the gradient, as Adam with L2 does", "p = p * (1 - lr * weight_decay)", "g = g + weight_decay * p"),
        V("decays without lr", "p = p * (1 - lr * weight_decay)", "p = p * (1 - weight_decay)"),
        V("does not decay", "p = p * (1 - lr * weight_decay)", "p = p * 1"),
        V("has eps inside of the root", "(np.sqrt(vhat) + eps)", "np.sqrt(vhat + eps)"),
        V("leaves eps out: a gradient that was always 0 divides by 0", "(np.sqrt(vhat) + eps)", "np.sqrt(vhat)"),
        V("keeps the mean of |g| in v, not of g²", "(1 - beta2) * g * g", "(1 - beta2) * np.abs(g)"),
        V("takes beta1 for v", "v = beta2 * v + (1 - beta2) * g * g", "v = beta1 * v + (1 - beta1) * g * g"),
        V("forgets the old m", "m = beta1 * m + (1 - beta1) * g", "m = 0 * m + (1 - beta1) * g"),
        V("goes uphill", "p = p - lr * mhat", "p = p + lr * mhat"),
        V("changes the weights that it is given", "p = p * (1 - lr * weight_decay)", "p *= 1 - lr * weight_decay"),
        V("returns the corrected m", "return p, m, v", "return p, mhat, v"),
    ],
    "batch": [
        V("returns the inputs for targets: nothing is shifted", "targets = ids[places + 1]", "targets = ids[places]"),
        V("shifts the targets the wrong way: the token before", "targets = ids[places + 1]", "targets = ids[np.maximum(places - 1, 0)]"),
        V("shifts the targets by two", "targets = ids[places + 1]", "targets = ids[np.minimum(places + 2, len(ids) - 1)]"),
        V("shifts within the window: the last target is the first input", "targets = ids[places + 1]", "targets = np.roll(inputs, -1, 1)"),
        V("never draws the last window", "starts = rng.integers(0, count, size)", "starts = rng.integers(0, max(1, count - 1), size)"),
        V("never draws the first window", "starts = rng.integers(0, count, size)", "starts = rng.integers(min(1, count - 1), count, size)"),
        V("draws a window past the end, and repeats the last token there", "starts = rng.integers(0, count, size)\n    places = starts[:, None] + np.arange(context)",
          "starts = rng.integers(0, count + 1, size)\n    places = np.minimum(starts[:, None] + np.arange(context), len(ids) - 2)"),
        V("draws one window for all rows", "rng.integers(0, count, size)", "np.repeat(rng.integers(0, count), size)"),
        V("draws the same windows each time, whatever rng is", "starts = rng.integers", "starts = np.random.default_rng(0).integers"),
        V("takes windows at multiples of the context alone", "starts = rng.integers(0, count, size)",
          "starts = rng.integers(0, count, size) // context * context"),
        V("mixes up the rows of the targets", "targets = ids[places + 1]", "targets = ids[places + 1][::-1]"),
        V("draws tokens from all over the text: a row is no window", "places = starts[:, None] + np.arange(context)",
          "places = rng.integers(0, count, (size, context))"),
    ],
    "sampling": [
        V("multiplies by the temperature", "z = logits / temperature", "z = logits * temperature"),
        V("leaves the temperature out", "z = logits / temperature", "z = logits / 1"),
        V("does not subtract the maximum: large logits overflow", "np.exp(z - z.max())", "np.exp(z)"),
        V("keeps one token too many with top_k", "p[order[top_k:]] = 0", "p[order[top_k + 1:]] = 0"),
        V("keeps one token too few with top_k, of two or more", "p[order[top_k:]] = 0", "p[order[max(1, top_k - 1):]] = 0"),
        V("keeps the first k tokens of the vocabulary, not the most probable", "p[order[top_k:]] = 0", "p[top_k:] = 0"),
        V("leaves the probabilities as they are after top_k: their sum is below 1", "p[order[top_k:]] = 0\n        p = p / p.sum()",
          "p[order[top_k:]] = 0"),
        V("leaves the probabilities as they are after top_p: their sum is below 1", "p[order[before >= top_p]] = 0\n        p = p / p.sum()",
          "p[order[before >= top_p]] = 0"),
        V("leaves out the token with which the sum passes top_p", "before = np.cumsum(p[order]) - p[order]",
          "before = np.cumsum(p[order]); before[0] = 0"),
        V("adds up in the order of the vocabulary for top_p", "before = np.cumsum(p[order]) - p[order]",
          "before = (np.cumsum(p) - p)[order]"),
        V("keeps the improbable tokens, not the probable ones, with top_p", "p[order[before >= top_p]] = 0",
          "p[order[before < top_p]] = 0"),
        V("does not apply top_p if top_k is given", "if top_p is not None:", "if top_p is not None and top_k is None:"),
    ],
    "tape": [
        V("replaces a gradient that was there, where it has to add", "else each.grad + dx", "else np.array(dx)"),
        V("keeps the first gradient alone of a Node that is used twice", "else each.grad + dx", "else each.grad"),
        V("plays Nodes as it meets them, so some before their gradient is complete", "nodes.sort(key=lambda node: -node.age)",
          "nodes.sort(key=lambda node: 0)"),
        V("starts with 1, whatever dy is", "root.grad = np.array(dy)", "root.grad = np.ones_like(dy)"),
        V("plays no more than three calls deep", "nodes.sort(key=lambda node: -node.age)", "nodes.sort(key=lambda node: -node.age); nodes = nodes[:4]"),
        V("adds into an array that a backward returned, and changes what others have", "np.array(dx) if each.grad is None else each.grad + dx",
          "dx if each.grad is None else np.add(each.grad, dx, out=each.grad)"),
        V("takes .grad away from Nodes that are no leaves", "np.array(dx) if each.grad is None else each.grad + dx",
          "np.array(dx) if each.grad is None else each.grad + dx\n    for node in nodes:\n        node.grad = None if node.backward else node.grad"),
        V("mixes up the gradients of two inputs", "zip(node.inputs, node.backward(node.grad))", "zip(node.inputs, node.backward(node.grad)[::-1])"),
        V("forgets the second use if a Node is used twice in one call", "zip(node.inputs, node.backward(node.grad))",
          "dict(zip(node.inputs, node.backward(node.grad))).items()"),
    ],
}  # fmt: skip
