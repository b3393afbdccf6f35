"""Adam, AdamW and clipping on the real CuPy, beside NumPy's: python tests/cuda/optimizer.py [--emulated]

One line for each way to set them up: the largest difference of weights and states from the host's after STEPS steps, and
what a step asked of the device. Gradients are given, so that nothing else differs; one is absent at times. The exit
status is 1 where a difference is above its limit, and under the emulator where a step asks for more than its launches, or
where it could not do what CuPy wanted.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from tinytensor import nn, optim

STEPS = 20
LIMITS = {"float64": 1e-12, "float32": 2e-6, "float16": 1e-3}  # of the largest element; a float16 has 11 bits
SHAPES = [(40, 70), (11,), (), (3, 2, 5), (0, 3), (300,)]
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "decay": {"lr": 0.02, "betas": (0.9, 0.95), "eps": 1e-4, "weight_decay": 0.5},
    "no decay, no memory": {"lr": 0.1, "betas": (0.0, 0.0), "weight_decay": 0.0},
}
KINDS: dict[str, dict[str, Any]] = {
    "one by one": {},
    "one by one, capturable": {"capturable": True},
    "flat": {"fused": True},
    "flat, capturable": {"fused": True, "capturable": True},
}
NOTHING = ("device to host", "host to device", "synchronizations", "allocations")


def main() -> int:
    """Compare all; 0 if they agree and nothing was left undone."""
    wrong = [problem for check in CHECKS for problem in check()]
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print("\n".join(["", *wrong, f"{len(wrong)} problems"]))
    return int(bool(wrong))


def settings_agree() -> list[str]:
    """Each class, setting and kind in each precision; float16 with masters."""
    problems = []
    for name, (kind, way) in itertools.product(("Adam", "AdamW"), KINDS.items()):
        for dtype in LIMITS:
            label = f"{name}, {kind}, {dtype}"
            apart, launches = 0.0, 0
            for setting, how in SETTINGS.items():
                further, launches, found = compare(name, dtype, {**how, **way})
                apart, problems = max(apart, further), problems + [f"{label}, {setting}: {what}" for what in found]
            print(f"{label}: {apart:.1e} apart after {STEPS} steps; {launches} launches a step")
    return problems


def compare(name: str, dtype: str, how: dict[str, Any], absent: int | None = None) -> tuple[float, int, list[str]]:
    """How far apart both are, the launches of a step, and what is wrong.

    absent: the parameter without a gradient at every third step.
    """
    ours, _ = train(name, dtype, "cpu", {key: value for key, value in how.items() if key != "capturable"}, absent)
    theirs, cost = train(name, dtype, "cuda", how, absent)
    if ours.keys() != theirs.keys():
        return math.inf, 0, [f"states {sorted(theirs)}"]
    apart = max(difference(ours[key], theirs[key]) for key in ours)
    problems = [f"{apart:.1e} apart, limit {LIMITS[dtype]}"] if apart > LIMITS[dtype] else []
    if absent is None:
        most = 2 if how.get("fused") else len(SHAPES)
        problems += [f"{cost[what]} {what}" for what in NOTHING if cost[what]]
        problems += [f"{cost['launches']} launches"] if cost["launches"] > most else []
    return apart, cost["launches"], problems


def train(
    name: str, dtype: str, where: str, how: dict[str, Any], absent: int | None
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Weights and states after the steps, and what the last one cost."""
    parameters = made(dtype, where)
    optimizer = make(name, parameters, how)
    cost: Counter[str] = Counter()
    for step in range(STEPS):
        optimizer.zero_grad()
        give_gradients(parameters, step, absent if step % 3 == 0 else None)
        before = Counter(gpu.count)
        optimizer.step()
        cost = Counter(gpu.count)
        cost.subtract(before)
    return read(parameters, optimizer), cost


def make(name: str, parameters: list[Any], how: dict[str, Any]) -> Any:
    """The optimizer of that name, with two groups and masters for float16."""
    groups = [{"params": parameters[::2]}, {"params": parameters[1::2], "weight_decay": 0.3}]
    return getattr(optim, name)(groups, master_weights=True, **how)


def made(dtype: str, where: str) -> list[Any]:
    """Parameters with the same values everywhere."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    return [nn.Parameter(tt.from_numpy(np.asarray(x)).to(where)) for x in values]


def give_gradients(parameters: list[Any], step: int, absent: int | None = None, scale: float = 1.0) -> None:
    """The same gradients everywhere, left where backward leaves them."""
    rng = np.random.default_rng(step + 1)
    for i, p in enumerate(parameters):
        g = (rng.standard_normal(p.shape) * scale).astype(p.array.dtype)
        if i != absent:
            (p * tt.from_numpy(np.asarray(g)).to(p.device)).sum().backward()


def read(parameters: list[Any], optimizer: Any) -> dict[str, np.ndarray]:
    """Everything that a step changes, on the host."""
    found = {f"{i}": p.detach().cpu().numpy() for i, p in enumerate(parameters)}
    for i, p in enumerate(parameters):
        found |= {f"{i}.{key}": value.cpu().numpy() for key, value in optimizer.state[p].items()}
    return found


def difference(x: np.ndarray, y: np.ndarray) -> float:
    """The largest, relative to the largest element; infinite for another dtype or shape."""
    if x.dtype != y.dtype or x.shape != y.shape or not np.isfinite(y).all():
        return float("inf")
    wide = x.astype(np.float64)
    return float(np.abs(wide - y).max(initial=0) / np.abs(wide).max(initial=1e-3))


def a_missing_gradient() -> list[str]:
    """Parameters that made fewer steps than the others of their group."""
    problems = []
    for absent in (0, 3):
        apart, launches, found = compare("AdamW", "float32", KINDS["flat"], absent)
        print(f"without gradient {absent} at times: {apart:.1e} apart; {launches} launches a step")
        problems += [f"without gradient {absent} at times: {what}" for what in found]
    return problems


def a_rate_on_the_device() -> list[str]:
    """lr as a Tensor: a schedule writes into it, and a step reads nothing back."""
    results = []
    for where in ("cpu", "cuda"):
        parameters = made("float32", where)
        lr = tt.tensor(0.1).to(where) if where == "cuda" else 0.1
        optimizer = optim.AdamW(parameters, lr=lr, fused=True, capturable=where == "cuda")
        schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
        for step in range(5):
            optimizer.zero_grad()
            give_gradients(parameters, step)
            before = Counter(gpu.count)
            optimizer.step()
            read_back = gpu.count["device to host"] - before["device to host"]
            schedule.step()
        results.append(read(parameters, optimizer))
    apart = max(difference(results[0][key], results[1][key]) for key in results[0])
    kept = optimizer.param_groups[0]["lr"] is lr
    print(f"a learning rate on the device: {apart:.1e} apart after 5 steps; {read_back} copies back a step")
    return ["a learning rate on the device"] if apart > LIMITS["float32"] or read_back or not kept else []


def states_cross() -> list[str]:
    """Saved on one device, loaded on the other, flat and not, half way."""
    problems = []
    for dtype in ("float32", "float16"):
        whole, _ = train("AdamW", dtype, "cpu", {}, None)
        for first, second in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
            ways = (False, True), (True, False), (True, True)
            apart = max(
                difference(whole[key], x) for way in ways for key, x in halves(dtype, first, second, *way).items()
            )
            print(f"{dtype}, saved on {first}, loaded on {second}: {apart:.1e} apart")
            problems += [f"a state from {first} to {second}: {apart:.1e} apart"] if apart > LIMITS[dtype] else []
    return problems


def halves(dtype: str, first: str, second: str, flat_first: bool, flat_then: bool) -> dict[str, np.ndarray]:
    """What `train` gives, by two optimizers one after the other."""
    parameters, saved, optimizer = made(dtype, first), None, None
    for where, steps, flat in ((first, range(7), flat_first), (second, range(7, STEPS), flat_then)):
        parameters = [nn.Parameter(p.detach().to(where, copy=True)) for p in parameters]
        optimizer = make("AdamW", parameters, {"fused": flat})
        if saved is not None:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": saved})
        for step in steps:
            optimizer.zero_grad()
            give_gradients(parameters, step)
            optimizer.step()
        saved = optimizer.state_dict()["state"]
    return read(parameters, optimizer)


def a_transposed_parameter() -> list[str]:
    """Its elements do not lie one after the other, nor do its gradient's."""
    results = []
    for where in ("cpu", "cuda"):
        p = nn.Parameter(tt.tensor(np.random.default_rng(0).standard_normal((30, 50)).astype("float32")).to(where).T)
        optimizer = optim.AdamW([p], lr=0.1)
        for step in range(3):
            p.grad = (tt.tensor(np.random.default_rng(step).standard_normal((100, 60)).astype("float32")).to(where))[
                ::2, ::2
            ]
            nn.utils.clip_grad_norm_([p], 1.0)
            optimizer.step()
        results.append({**read([p], optimizer), "gradient": p.grad.cpu().numpy()})
    apart = max(difference(results[0][key], results[1][key]) for key in results[0])
    print(f"a transposed parameter, and every other element of a gradient: {apart:.1e} apart")
    return ["a transposed parameter"] if apart > LIMITS["float32"] else []


def a_weight_set_anew() -> list[str]:
    """A float16 weight that somebody wrote to is what goes on, not its master from before."""
    p = nn.Parameter(tt.ones(3, dtype=tt.float16).to("cuda"))
    optimizer = optim.AdamW([p], lr=1e-4, weight_decay=0, master_weights=True)
    found = []
    for value in (1.0, 2.0):
        p.data.fill_(value)
        p.grad = tt.ones(3, dtype=tt.float16).to("cuda")
        optimizer.step()
        found.append(optimizer.state[p]["master"][0].item())
    print(f"a weight set anew: masters {found[0]:.6f} and {found[1]:.6f}")
    return [] if np.allclose(found, [0.9999, 1.9999], rtol=1e-6) else [f"a weight set anew: masters {found}"]


def clipping() -> list[str]:
    """Norms and clipped gradients, of one to nine arrays; nothing is read back."""
    problems: list[str] = []
    for dtype, limit in LIMITS.items():
        worst = 0.0
        for count, (bound, order) in itertools.product((1, 2, 5, 9), BOUNDS):
            (norm, gradients, _), (theirs, clipped, cost) = (
                clip(dtype, where, count, bound, order) for where in ("cpu", "cuda")
            )
            apart = max(difference(x, y) for x, y in zip([norm, *gradients], [theirs, *clipped], strict=True))
            most = 2 * -(-count // 4) if order == 2 else math.inf
            if not apart <= limit or cost["device to host"] or cost["launches"] > most:
                problems.append(
                    f"clipping {count} {dtype} arrays to {bound} in order {order}: {apart:.1e} apart, {dict(cost)}"
                )
            worst = max(worst, apart)
        print(f"clipping in {dtype}: {worst:.1e} apart; 2 launches for up to four arrays")
    return problems


BOUNDS = ((0.5, 2.0), (1e6, 2.0), (0.5, math.inf), (0.5, 3.0))


def clip(
    dtype: str, where: str, count: int, bound: Any, order: float
) -> tuple[np.ndarray, list[np.ndarray], Counter[str]]:
    """The norm, the clipped gradients, and what it cost; on the device the bound may lie there as well."""
    parameters = [nn.Parameter(p.detach()) for p in (made(dtype, where) * 2)[:count]]
    give_gradients(parameters, 1)
    if where == "cuda" and count == 5:
        bound = tt.tensor(bound).to(where)
    before = Counter(gpu.count)
    norm = nn.utils.clip_grad_norm_(parameters, bound, order)
    cost = Counter(gpu.count)
    cost.subtract(before)
    return norm.cpu().numpy(), [p.grad.cpu().numpy() for p in parameters], cost


def what_is_not_finite() -> list[str]:
    """A nan or an inf among the gradients makes all of them nan, or 0 where they were finite, as on the host."""
    problems = []
    for spoilt in (math.nan, math.inf):
        results = []
        for where in ("cpu", "cuda"):
            p = nn.Parameter(tt.zeros(3).to(where))
            p.grad = tt.tensor([1.0, spoilt, 2.0]).to(where)
            with np.errstate(invalid="ignore"):
                norm = nn.utils.clip_grad_norm_([p], 1.0)
            results.append([norm.item(), *p.grad.tolist()])
        print(f"a gradient of {spoilt}: norm and gradients {results[1]}")
        problems += [] if np.array_equal(*results, equal_nan=True) else [f"a gradient of {spoilt}: {results}"]
    return problems


CHECKS = (
    settings_agree, a_missing_gradient, a_rate_on_the_device, states_cross, a_transposed_parameter, a_weight_set_anew, clipping,
    what_is_not_finite,
)  # fmt: skip

if __name__ == "__main__":
    gpu.finish(main())
