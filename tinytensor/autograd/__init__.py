"""torch.autograd: backward and grad, gradient modes, gradcheck, and Function for derivatives of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.autograd import function
from tinytensor.autograd.function import Function
from tinytensor.functions.backward import backward, grad
from tinytensor.gradcheck import GradcheckError, gradcheck
from tinytensor.modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from tinytensor.subset import outside
from tinytensor.tensor import Tensor

if TYPE_CHECKING:  # imported on their first use
    from tinytensor.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly


class _AnyTensor(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_AnyTensor):
    """The older name of a Tensor: Variable(x) is x without its history."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)


__all__ = [
    "Function", "GradcheckError", "Variable", "backward", "detect_anomaly", "enable_grad", "function", "grad", "gradcheck",
    "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip

_ANOMALIES = "tinytensor.autograd.anomaly_mode"
__getattr__ = outside(
    "tinytensor.autograd",
    {"anomaly_mode": _ANOMALIES, "detect_anomaly": _ANOMALIES, "set_detect_anomaly": _ANOMALIES},
)
