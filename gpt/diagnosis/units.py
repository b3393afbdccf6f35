"""dead-units: units of the feed-forward layers that are off for every token. No gradient mends them."""

from __future__ import annotations

from gpt.diagnosis.check import Check
from gpt.diagnosis.patient import Patient

SHARE = 0.25  # of the units of a layer
FEWEST = 1024  # tokens that have to be seen: on few, an odd unit is no dead one


def dead_units(patient: Patient) -> Check | None:
    """The share of units that were off for all tokens, in the layer that has most. See measures.off for what that means."""
    probe, kind = patient.probe, patient.run.config.activation
    if not probe.dead or probe.tokens < FEWEST:
        return None
    shares = {name: float(dead.mean()) for name, dead in probe.dead.items()}
    worst = max(shares, key=shares.__getitem__)
    others = sum(share > SHARE for share in shares.values()) - 1
    like_it = "another layer is like it" if others == 1 else f"{others} more layers are like it"
    return Check(
        "dead-units",
        shares[worst] > SHARE,
        shares[worst],
        f"{shares[worst]:.0%} of the units of {worst} were off ({kind}) for each of {probe.tokens:,} tokens"
        + (f"; {like_it}" if others > 0 else ""),
        f"below {SHARE:.0%}",
        "a lower --learning-rate, a longer --warmup, biases that begin at zero; --activation gelu-tanh is never flat at 0",
    )
