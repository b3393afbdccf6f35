"""Functions of `nn.functional` as modules: activations and losses. Each holds the options and calls the function."""

from __future__ import annotations

from typing import Any, ClassVar

from tinytensor.nn import functional as F
from tinytensor.nn.functional.checks import replaced
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor


class _Function(Module):
    """y = function(*inputs, **options): `options` holds the names of the options, in order, and their defaults."""

    function: Any
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the options by position or by name. TypeError for an unknown one."""
        super().__init__()
        given = {**dict(zip(self.options, args, strict=False)), **kwargs}
        unknown = [*args[len(self.options) :], *(name for name in kwargs if name not in self.options)]
        if unknown:
            raise TypeError(f"{type(self).__name__} takes {list(self.options)}, not {unknown[0]!r}")
        replaced(type(self).__name__, **{name: given.get(name) for name in ("size_average", "reduce")})
        for name, usual in self.options.items():
            value = given.get(name, usual)
            if name.endswith("weight"):  # of a loss: a buffer, so that it moves with the module
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, *inputs: Tensor) -> Tensor:
        """function(*inputs, **options)."""
        options = {name: getattr(self, name) for name in self.options}
        return type(self).function(*inputs, **options)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        shown = {} if "reduction" in self.options else {name: getattr(self, name) for name in self.options}
        inplace = ["inplace=True"] if shown.pop("inplace", False) else []  # last, and only where it is
        return ", ".join([*(f"{name}={value}" for name, value in shown.items()), *inplace])


class ReLU(_Function):
    """y = max(x, 0)."""

    function, options = staticmethod(F.relu), {"inplace": False}


class LeakyReLU(_Function):
    """y = x where x > 0, negative_slope · x elsewhere (Maas et al. 2013)."""

    function, options = staticmethod(F.leaky_relu), {"negative_slope": 0.01, "inplace": False}


class ELU(_Function):
    """y = x where x > 0, alpha · (eˣ − 1) elsewhere (Clevert et al. 2016)."""

    function, options = staticmethod(F.elu), {"alpha": 1.0, "inplace": False}


class Softplus(_Function):
    """y = ln(1 + e^(beta·x)) / beta."""

    function, options = staticmethod(F.softplus), {"beta": 1.0, "threshold": 20.0}


class SiLU(_Function):
    """y = x · σ(x) (Elfwing et al. 2017)."""

    function, options = staticmethod(F.silu), {"inplace": False}


class Tanh(_Function):
    """y = tanh(x)."""

    function = staticmethod(F.tanh)


class Sigmoid(_Function):
    """y = σ(x) = 1 / (1 + e⁻ˣ)."""

    function = staticmethod(F.sigmoid)


class Softmax(_Function):
    """y = eˣ / Σ eˣ along dim."""

    function, options = staticmethod(F.softmax), {"dim": None}


class LogSoftmax(_Function):
    """y = x − ln Σ eˣ along dim."""

    function, options = staticmethod(F.log_softmax), {"dim": None}


# ---------------------------------------------------------------------------------------------- losses

MEAN: dict[str, Any] = {"size_average": None, "reduce": None, "reduction": "mean"}  # the first two are older words

CLASSES: dict[str, Any] = {
    "weight": None, "size_average": None, "ignore_index": -100, "reduce": None, "reduction": "mean"
}  # fmt: skip


class CrossEntropyLoss(_Function):
    """−log softmax(input)[target]; input (N, C) or (N, C, …), target (N) or (N, …) integers, or probabilities."""

    function = staticmethod(F.cross_entropy)
    options: ClassVar[dict[str, Any]] = {**CLASSES, "label_smoothing": 0.0}


class NLLLoss(_Function):
    """−input[target], for log-probabilities."""

    function, options = staticmethod(F.nll_loss), CLASSES


class MSELoss(_Function):
    """(input − target)²."""

    function, options = staticmethod(F.mse_loss), MEAN


class L1Loss(_Function):
    """|input − target|."""

    function, options = staticmethod(F.l1_loss), MEAN


class SmoothL1Loss(_Function):
    """d²/2β for d = |input − target| < β, else d − β/2."""

    function, options = staticmethod(F.smooth_l1_loss), {**MEAN, "beta": 1.0}


class HuberLoss(_Function):
    """d²/2 for d = |input − target| < δ, else δ(d − δ/2)."""

    function, options = staticmethod(F.huber_loss), {"reduction": "mean", "delta": 1.0}


class BCELoss(_Function):
    """−y ln x − (1 − y) ln(1 − x), for x in [0, 1]; input and target have the same shape."""

    function, options = staticmethod(F.binary_cross_entropy), {"weight": None, **MEAN}


class BCEWithLogitsLoss(_Function):
    """BCELoss of σ(input), without overflow for large inputs; pos_weight multiplies the term of y."""

    function = staticmethod(F.binary_cross_entropy_with_logits)
    options: ClassVar[dict[str, Any]] = {"weight": None, **MEAN, "pos_weight": None}


class KLDivLoss(_Function):
    """y (ln y − x), for log-probabilities x and probabilities y, or ln y if log_target."""

    function, options = staticmethod(F.kl_div), {**MEAN, "log_target": False}
