"""range-test: fresh weights, and a learning rate that grows with every step until it breaks them.

The loss falls while the rate is right, and rises when it is too high. A tenth of the rate with the lowest loss is a good
first choice. Source: Smith, "Cyclical learning rates for training neural networks", 2015 (arXiv 1506.01186), section 3.3;
the tenth, and rates that grow by the same factor in each step: Gugger, "How do you find a good learning rate", 2018.
"""

from __future__ import annotations

import math

import numpy as np

from gpt import data
from gpt.diagnosis.check import Check
from gpt.diagnosis.measures import Array
from gpt.diagnosis.patient import Patient
from gpt.optimizer import make_optimizer
from gpt.run.checkpoint import fresh_model
from tinytensor import from_numpy, manual_seed, nn

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 150
RISEN = 0.5  # nats above the lowest: there the loss rises
AVERAGE = 0.8  # share of the old average in the smoothed loss
TENTH, BELOW = (
    10.0,
    500.0,
)  # what the rate with the lowest loss is divided by: a good first choice, and the lowest that works
NEAR = 2.0  # the same: above it a rate works, but a little more may not


def losses(patient: Patient) -> tuple[Array, Array]:
    """Train fresh weights on the run's own recipe; return the rates and the losses (steps,), up to the step that broke them.

    The weights are those of the run's seed, also of a run that began with trained ones.
    """
    config, found = patient.run.config, []
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    manual_seed(config.seed)
    model = fresh_model(config)
    parameters, optimizer = list(model.parameters()), make_optimizer(model, config)
    for step, rate in enumerate(rates):
        model.zero_grad()
        total = 0.0
        for micro_step in range(config.grad_accumulation):
            x, y = (
                from_numpy(part).to(config.device) for part in data.batch(patient.train_ids, config, step, micro_step)
            )
            _, loss = model(x, y)
            assert loss is not None
            (loss * (1 / config.grad_accumulation)).backward()
            total += loss.item() / config.grad_accumulation
        norm = nn.utils.clip_grad_norm_(parameters, config.grad_clip or math.inf).item()
        found.append(total)
        if not math.isfinite(total + norm) or total > 2 * found[0] + 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.step()
    return rates[: len(found)], np.array(found)


def read_off(rates: Array, losses: Array) -> tuple[float, float]:
    """Return the rates at which the smoothed loss is lowest, and has risen by RISEN above that; else the last rate."""
    smoothed, average = np.empty(len(losses)), 0.0
    for i, loss in enumerate(losses):
        average = AVERAGE * average + (1 - AVERAGE) * (loss if math.isfinite(loss) else 1e3)
        smoothed[i] = average / (1 - AVERAGE ** (i + 1))
    lowest = int(np.argmin(smoothed))
    risen = np.flatnonzero(smoothed[lowest:] > smoothed[lowest] + RISEN)
    return float(rates[lowest]), float(rates[lowest + risen[0]] if len(risen) else rates[-1])


def verdict(rate: float, lowest: float) -> str:
    """Return what a learning rate is, beside the rate at which the loss was lowest."""
    if rate > lowest:
        return "too high"
    if rate < lowest / BELOW:
        return "too low"
    return "near the highest that works" if rate > lowest / NEAR else "in the range that works"


def range_test(patient: Patient) -> Check | None:
    """Where the learning rate of the run lies among those that work. None if the loss does not fall at any."""
    rate = patient.run.config.learning_rate
    rates, found = losses(patient)
    lowest, risen = read_off(rates, found)
    if lowest == rates[0]:
        return None
    return Check(
        "range-test",
        verdict(rate, lowest).startswith("too"),
        rate,
        f"--learning-rate {rate:g} is {verdict(rate, lowest)}: fresh weights whose rate rises step by step have the lowest loss "
        f"at {lowest:.1e}, and {RISEN:g} more at {risen:.1e}",
        f"{lowest / BELOW:.0e} to {lowest:.1e}; a tenth of the highest is a good first choice",
        f"--learning-rate {lowest / TENTH:.1e}",
    )
