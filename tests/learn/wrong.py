"""What readers write who are wrong in a usual way: a line of a solution, what stands in its place, and what a check says.

It is a module of the tests alone: the solutions are not in the package.
"""

from __future__ import annotations

from pathlib import Path

SOLUTIONS = Path(__file__).parent / "solutions"

WRONG: dict[str, list[tuple[str, str, str]]] = {
    "mul": [
        ("summed(dy * b, a.shape), summed(dy * a, b.shape)", "dy * b, dy * a", "the gradients of the uses are not added up"),
        ("summed(dy * b, a.shape), summed(dy * a, b.shape)", "summed(dy * a, a.shape), summed(dy * b, b.shape)",
         "the derivative of a·b by a is b"),
        ("summed(dy * b, a.shape), summed(dy * a, b.shape)", "summed(dy * a, b.shape), summed(dy * b, a.shape)",
         "this is db: the results are in another order"),
        ("summed(dy * b, a.shape)", "summed(b + 0 * dy, a.shape)", "dy is missing"),
        ("summed(dy * b, a.shape)", "-summed(dy * b, a.shape)", "the sign is the other way around"),
        ("keepdims=True", "keepdims=False", "keepdims=True, or reshape"),
        ("if n == 1), keepdims=True)", "if n == 1 and False), keepdims=True)", "the gradients of the uses are not added up"),
    ],
    "unbroadcast": [
        ("    dy = dy.sum(axis=tuple(range(dy.ndim - len(x_shape))))\n", "    dy = dy.mean(axis=tuple(range(dy.ndim - len(x_shape))))\n",
         "averaged; they have to be added up"),
        ("    dy = dy.sum(axis=tuple(range(dy.ndim - len(x_shape))))\n", "    dy = dy[(0,) * (dy.ndim - len(x_shape))]\n",
         "only the first use of each element counts"),
        ("keepdims=True", "keepdims=False", "keepdims=True, or reshape"),
        ("return dy.sum", "return dy or dy.sum", "ValueError: The truth value of an array"),
    ],
    "matmul": [
        ("dy @ b.swapaxes(-1, -2)", "dy @ b", "ValueError: matmul: Input operand 1"),
        ("summed(dy @ b.swapaxes(-1, -2), a.shape)", "dy @ b.swapaxes(-1, -2)", "leading dimensions: it was broadcast"),
        ("if n == 1), keepdims=True)", "if n == 1 and False), keepdims=True)", "the gradients of the uses are not added up"),
    ],
    "relu": [
        ("x > 0", "dy > 0", "whether dy is above 0"),
        ("x > 0", "x >= 0", "x at 0 lets dy pass"),
        ("x > 0, dy", "x > 0, 1", "has dtype int64; it must have dtype float64"),
        ("x > 0, dy", "x > 0, 1.0", "dy is missing"),
        ("x > 0, dy, 0", "x > 0, 0, dy", "it is the other way around"),
    ],
    "gelu": [
        ("(s + x * (1 - t * t)", "(s + 0 * (1 - t * t)", "x·s′ is missing"),
        ("(s + x", "(0 * s + x", "s is missing, only x·s′ is there"),
        (" * ROOT * (1 + 3 * CUBIC * x * x)", "", "the derivative of the inside, u′, is missing"),
        ("(1 + 3 * CUBIC * x * x)", "(1 + CUBIC * x * x)", "the 3 is missing"),
        ("(1 + 3 * CUBIC * x * x)", "1", "the derivative of x³ is missing"),
        ("(1 - t * t) / 2", "(1 - t) / 2", "is 1 − tanh² u, not 1 − tanh u"),
        ("(1 - t * t) / 2", "(1 - t * t)", "the 1/2 is missing in s′"),
        (" * ROOT * (1 + 3", " * (1 + 3", "√(2/π) is missing in u′"),
        ("return dy * (", "return (", "dy is missing"),
        ("return dy * (s + x * (1 - t * t) / 2 * ROOT * (1 + 3 * CUBIC * x * x))",
         "return dy * s + x * (1 - t * t) / 2 * ROOT * (1 + 3 * CUBIC * x * x)", "a bracket is missing"),
        ("t = np.tanh(ROOT", "t = np.tanh(np.sqrt(2 / np.pi)", "of float32 arrays it must have float32"),
        ("t = np.tanh(ROOT", "t = np.tanh(0.79788456", "a constant with too few digits"),
    ],
    "dropout": [
        (" / (1 - p)", "", "the factor 1 / (1 − p) of the forward is missing"),
        (" * keep", "", "the elements that were dropped get a gradient"),
        ("/ (1 - p)", "* (1 - p)", "the factor is 1 − p"),
        ("keep / (1 - p)", "~keep / (1 - p)", "it drops the elements that were kept"),
    ],
    "embedding": [
        ("np.add.at(dw, ids, dy)", "dw[ids] += dy", "dW[ids] += dy adds once"),
        ("np.add.at(dw, ids, dy)", "dw[ids] = dy", "keeps its last gradient alone"),
        ("np.zeros(w_shape, dy.dtype)", "np.zeros(w_shape)", "has dtype float64; of float32"),
        ("    return dw", "    return dy", "a row for each row of W"),
        ("    return dw", "    return dw.T", "it is transposed"),
    ],
    "linear": [
        ("dy @ w,", "dy @ w.T,", "ValueError: matmul: Input operand 1"),
        ("dy_rows.T @ rows", "rows.T @ dy_rows", "it is transposed"),
        ("dy_rows.sum(0)", "dy", "the gradients of the rows are not added up"),
        ("dy_rows.sum(0)", "dy_rows.mean(0)", "averaged; their gradients have to be added up"),
        ("dy_rows.sum(0)", "dy.sum(0)", "only the first dimension is summed"),
    ],
    "softmax": [
        ("y * (dy - (dy * y).sum(-1, keepdims=True))", "dy * y * (1 - y)", "only the diagonal is there"),
        ("y * (dy - (dy * y).sum(-1, keepdims=True))", "dy * y", "the term of the sum is missing"),
        ("(dy * y).sum(-1, keepdims=True)", "dy.sum(-1, keepdims=True)", "dy is summed without y"),
        ("(dy * y).sum(-1, keepdims=True)", "(dy * y).sum(0, keepdims=True)", "over the wrong axis"),
        ("(dy * y).sum(-1, keepdims=True)", "(dy * y).sum()", "over all rows at once"),
        ("y * (dy - (dy * y).sum(-1, keepdims=True))", "dy - y * dy.sum(-1, keepdims=True)", "the derivative of the log-softmax"),
    ],
    "cross_entropy": [
        (" / int(kept.sum())", "", "the division by the number of rows is missing"),
        ("int(kept.sum())", "len(p)", "it divides by all rows; those with the target −1 do not count"),
        ("    dx[~kept] = 0\n    return dx * (dy / int(kept.sum()))", "    return dx * (dy / len(p))",
         "it divides by all rows, and the rows with the target −1 get a gradient"),
        ("    dx[~kept] = 0\n", "", "the rows with the target −1 get a gradient"),
        ("    dx[np.arange(len(p)), target] -= 1\n", "", "the 1 at the target is not subtracted"),
        ("(dy / int(kept.sum()))", "(1 / int(kept.sum()))", "dy is missing"),
        ("int(kept.sum())", "kept.sum()", "numbers of NumPy's, as np.sqrt(2) or keep.sum()"),
        ("dx = p.copy()", "dx = p", "it writes into an array that it was given"),
    ],
    "layer_norm": [
        (" - d.mean(-1, keepdims=True)", "", "the term of the mean is missing"),
        (" - xhat * (d * xhat).mean(-1, keepdims=True)", "", "the term of the variance is missing"),
        ("d - d.mean(-1, keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True)", "d", "the terms of mean and variance are missing"),
        ("dx = rstd * (", "dx = (", "the factor rstd"),
        ("d = dy * w", "d = dy", "w is missing"),
        ("(dy * xhat).sum(rows)", "dy * xhat", "the rows are not added up"),
        ("dy.sum(rows)", "dy.mean(rows)", "averaged; their gradients"),
        ("(dy * xhat).sum(rows), dy.sum(rows)", "dy.sum(rows), (dy * xhat).sum(rows)", "x̂ is missing"),
    ],
    "rms_norm": [
        (" - xhat * (d * xhat).mean(-1, keepdims=True)", "", "the term of the root mean square is missing"),
        ("return r * (d - xhat", "return r * (d - d.mean(-1, keepdims=True) - xhat", "as in layer norm"),
        ("return r * (", "return 1 * (", "the factor 1 / rms is missing"),
        (".mean(-1, keepdims=True)), ", ".sum(-1, keepdims=True)), ", "a sum is in the place of the mean"),
    ],
    "rotary": [
        ("a * cos + b * sin", "a * cos - b * sin", "only the second number of each pair turns back"),
        ("b * cos - a * sin", "b * cos + a * sin", "only the first number of each pair turns back"),
        ("dx[..., 0::2] = a * cos + b * sin\n    dx[..., 1::2] = b * cos - a * sin",
         "dx[..., 0::2] = a * cos - b * sin\n    dx[..., 1::2] = a * sin + b * cos", "dy is turned the same way as x"),
        ("a * cos + b * sin\n    dx[..., 1::2] = b * cos - a * sin", "a * cos\n    dx[..., 1::2] = b * cos", "the sines are missing"),
        ("return dx", "return dy", "this is dy itself"),
    ],
    "attention": [
        (" / math.sqrt(q.shape[-1])", "", "the scale 1/√D is missing"),
        ("w.swapaxes(-1, -2) @ dy", "w @ dy", "w is not transposed"),
        ("w * (dw - (dw * w).sum(-1, keepdims=True))", "w * dw", "the term −w Σ dw·w of the softmax is missing"),
        ("w * (dw - (dw * w).sum(-1, keepdims=True))", "dw * w * (1 - w)", "as if each weight depended on its own score alone"),
        ("w * (dw - (dw * w).sum(-1, keepdims=True))", "dw", "the softmax is left out"),
        ("sum(-1, keepdims=True)", "sum(-2, keepdims=True)", "over the queries, not over the keys"),
        ("da.swapaxes(-1, -2) @ q", "da @ q", "da is not transposed"),
        ("return da @ k, da.swapaxes(-1, -2) @ q, dv", "return da.swapaxes(-1, -2) @ q, da @ k, dv", "this is dk: the results are in another order"),
    ],
    "adamw": [
        ("m / (1 - beta1**t), v / (1 - beta2**t)", "m, v", "both corrections, of m and of v, are missing"),
        ("m / (1 - beta1**t), v", "m, v", "the correction 1 / (1 − β₁ᵗ) of m is missing"),
        ("beta1**t", "beta1**(t - 1)", "3 of 3 elements of p are wrong"),
        ("    p = (1 - lr * weight_decay) * p\n", "    g = g + weight_decay * p\n", "so does Adam with L2"),
        ("(1 - lr * weight_decay)", "(1 - weight_decay)", "the decay lacks lr"),
        ("    p = (1 - lr * weight_decay) * p\n", "", "the weights do not decay"),
        ("(np.sqrt(vhat) + eps)", "np.sqrt(vhat + eps)", "eps is inside of the root"),
        ("(np.sqrt(vhat) + eps)", "(vhat + eps)", "the root is missing"),
        ("(1 - beta2) * g * g", "(1 - beta2) * g", "g is not squared"),
        ("return p - lr", "return p + lr", "it goes uphill"),
        ("m = beta1 * m + (1 - beta1) * g", "m *= beta1; m += (1 - beta1) * g", "it writes into an array that it was given"),
        (", m, v\n", ", mhat, vhat\n", "it returns m̂"),
    ],
    "tape": [
        ("dx if each.grad is None else each.grad + dx", "dx", "a gradient replaces the one that was there"),
        ("sorted(nodes, key=lambda node: node.age, reverse=True)", "nodes", "Nodes are played as they are met"),
        ("sorted(nodes, key=lambda node: node.age, reverse=True)", "sorted(nodes, key=lambda node: node.age)", "is played before it has a gradient"),
        ("each.grad + dx", "np.add(each.grad, dx, out=each.grad)", "it writes into an array that it was given"),
        ("                seen.add(each)\n", "", "is played a second time"),
        ("    root.grad = dy\n", "    root.grad = np.ones(2)\n", "dy is missing: the root's gradient"),
        ("if each.grad is None", "if True", "a gradient replaces the one that was there"),
        ("            for each, dx in zip(node.inputs, node.backward(node.grad)):",
         "            dxs, node.grad = node.backward(node.grad), None\n            for each, dx in zip(node.inputs, dxs):",
         "2 of 4 Nodes have no gradient"),
    ],
}  # fmt: skip


def solution(name: str) -> str:
    """The text of a solution."""
    return (SOLUTIONS / f"{name}.py").read_text("utf-8")


def replaced(name: str, old: str, new: str) -> str:
    """The text of a solution with a replacement, in what the reader writes: after the given forward."""
    text = solution(name)
    at = max(text.find("\ndef backward("), text.find("\ndef step("))
    head, tail = text[:at], text[at:]
    assert tail.count(old) >= 1, (name, old)
    return head + tail.replace(old, new)
