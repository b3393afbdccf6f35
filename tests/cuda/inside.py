"""explain, why and draw of a model on the real CuPy: python tests/cuda/inside.py [--emulated]

Every call of a small GPT is explained and checked where its arrays lie, one element of each output and of each parameter's
gradient is taken apart. One line for each; the exit status is 1 if a check is wrong, or a part does not add up.
"""

from __future__ import annotations

from collections.abc import Iterator

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt.build import build
from gpt.config import TrainConfig
from tinytensor.inside.element import explain_element
from tinytensor.inside.explain import explain_call


def traced() -> tuple[tt.trace, tt.Tensor]:
    """The trace of a small GPT with a backward, and its loss."""
    tt.manual_seed(1)
    model = build(TrainConfig(vocab_size=11, layers=1, width=16, heads=2, context=8, dropout=0.1))
    for p in model.parameters():
        p.data.normal_(std=0.3)
    model = model.to("cuda")
    ids = tt.tensor(np.random.default_rng(0).integers(0, 11, (2, 9))).to("cuda")
    with tt.trace(model) as t:
        loss = model(ids[:, :-1], ids[:, 1:])[1]
        loss.backward()
    return t, loss


def calls(t: tt.trace) -> Iterator[tuple[str, bool]]:
    """Each call: its check, and the parts of an element."""
    for call in t.calls:
        e = explain_call(call)
        assert e.check is not None
        last = tuple(n - 1 for n in call.outputs[0].shape)
        element = explain_element(call, 0, last)
        there = all(summary.device == "cuda:0" for summary in e.outputs)
        yield (
            f"{call.primitive.name}: {e.check}",
            there and e.check.ok is not False and element.value == float(call.outputs[0][last].get()),
        )


def main() -> int:
    """Explain all; 0 if all is right."""
    t, loss = traced()
    results = []
    for what, well in calls(t):
        print(what if well else f"WRONG {what}", flush=True)
        results.append(well)
    for name, p in t.model.named_parameters():
        at = tuple(n // 2 for n in p.shape)
        answer = tt.why(name, at, t)  # raises where the parts do not add up
        well = abs(answer.total - float(p.grad[at].item())) <= 1e-5
        results.append(well)
        print(f"why {name}{list(at)}: {answer.total:.3g}{'' if well else ' WRONG'}")
    results.append("‖dy‖" in tt.draw(t).svg and "on cuda:0" in repr(tt.explain(loss)))
    troubles = gpu.troubles()
    print(f"\n{sum(results)} of {len(results)} are right{''.join(f'; {n} {what}' for what, n in troubles.items())}")
    return int(not all(results) or bool(troubles))


if __name__ == "__main__":
    gpu.finish(main())
