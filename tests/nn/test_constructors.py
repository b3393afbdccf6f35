"""What the constructors of layers take and refuse: each argument with usual and odd values, here and in PyTorch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")

SIZES: dict[str, Any] = {"input_size": 3, "hidden_size": 5}
PLACE: dict[str, Any] = {"device": None, "dtype": None}
LAYERS = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
OLD = {"size_average": None, "reduce": None, "reduction": "mean"}
CLASSES = {"weight": None, "size_average": None, "ignore_index": -100, "reduce": None, "reduction": "mean"}
NORMS = {"layer_norm_eps": 1e-5, "batch_first": False, "norm_first": False, "bias": True}
BLOCK = {"dim_feedforward": 4, "dropout": 0.1, "activation": "relu", **NORMS}
STACK = {
    "dim_feedforward": 4, "dropout": 0.1, "activation": "relu", "custom_encoder": None, "custom_decoder": None, **NORMS
}  # fmt: skip
# Each layer with PyTorch's arguments in PyTorch's order, at their usual values.
CONSTRUCTORS: dict[str, dict[str, Any]] = {
    "Linear": {"in_features": 3, "out_features": 2, "bias": True, **PLACE},
    "Embedding": {
        "num_embeddings": 5, "embedding_dim": 2, "padding_idx": None, "max_norm": None, "norm_type": 2.0,
        "scale_grad_by_freq": False, "sparse": False, "_weight": None, "_freeze": False, **PLACE,
    },
    "LayerNorm": {"normalized_shape": 3, "eps": 1e-5, "elementwise_affine": True, "bias": True, **PLACE},
    "RMSNorm": {"normalized_shape": 3, "eps": None, "elementwise_affine": True, **PLACE},
    "BatchNorm1d": {
        "num_features": 3, "eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True, **PLACE
    },
    "RNN": {**SIZES, "num_layers": 1, "nonlinearity": "tanh", **LAYERS, **PLACE},
    "GRU": {**SIZES, **LAYERS, **PLACE},
    "LSTM": {**SIZES, **LAYERS, "proj_size": 0, **PLACE},
    "RNNCell": {**SIZES, "bias": True, "nonlinearity": "tanh", **PLACE},
    "GRUCell": {**SIZES, "bias": True, **PLACE},
    "LSTMCell": {**SIZES, "bias": True, **PLACE},
    "MultiheadAttention": {
        "embed_dim": 6, "num_heads": 3, "dropout": 0.0, "bias": True, "add_bias_kv": False, "add_zero_attn": False,
        "kdim": None, "vdim": None, "batch_first": False, **PLACE,
    },
    "TransformerEncoderLayer": {"d_model": 6, "nhead": 3, **BLOCK, **PLACE},
    "TransformerDecoderLayer": {"d_model": 6, "nhead": 3, **BLOCK, **PLACE},
    "Transformer": {
        "d_model": 6, "nhead": 3, "num_encoder_layers": 1, "num_decoder_layers": 1, **STACK, **PLACE,
    },
    "Dropout": {"p": 0.5, "inplace": False},
    "Flatten": {"start_dim": 1, "end_dim": -1},
    "GELU": {"approximate": "none"},
    "ReLU": {"inplace": False},
    "LeakyReLU": {"negative_slope": 0.01, "inplace": False},
    "ELU": {"alpha": 1.0, "inplace": False},
    "SiLU": {"inplace": False},
    "Softplus": {"beta": 1.0, "threshold": 20.0},
    "Softmax": {"dim": 1},
    "LogSoftmax": {"dim": 1},
    "CrossEntropyLoss": {**CLASSES, "label_smoothing": 0.0},
    "NLLLoss": CLASSES,
    "MSELoss": OLD,
    "L1Loss": OLD,
    "SmoothL1Loss": {**OLD, "beta": 1.0},
    "HuberLoss": {"reduction": "mean", "delta": 1.0},
    "BCELoss": {"weight": None, **OLD},
    "BCEWithLogitsLoss": {"weight": None, **OLD, "pos_weight": None},
    "KLDivLoss": {**OLD, "log_target": False},
}  # fmt: skip
ODD: list[Any] = [
    0, -1, 1, 2, 1.5, 3.0, 0.3, -1e-5, 0.0, math.nan, math.inf, True, False, None, "False", "sum", (3,), [3], (),
    np.int64(3), np.float64(0.5), "float64", "int64", "cpu",
]  # fmt: skip
# Where PyTorch takes a value of another kind, and this does not, or only at its neutral value: the test compares refusals.
STRICTER = {
    ("Embedding", name) for name in ("max_norm", "norm_type", "scale_grad_by_freq", "sparse", "_weight", "_freeze")
} | {(name, argument) for name in ("RNN", "GRU", "LSTM") for argument in ("bidirectional", "proj_size")}
STRICTER |= {(name, argument) for name in CONSTRUCTORS for argument in ("size_average", "reduce")}
STRICTER |= {("RNNCell", "nonlinearity"), ("Dropout", "p")}  # of another word or nan, PyTorch's forward fails
STRICTER |= {(f"Transformer{kind}", "dropout") for kind in ("", "EncoderLayer", "DecoderLayer")}  # the same
# Here both refuse, with other classes: PyTorch takes the number of a GPU, and compares before it looks at the kind.
OTHER_KIND = {"device", "num_layers", "padding_idx"}
# Values of another kind that PyTorch does not take everywhere: a bool, a string or None for a size, NumPy's integers.
LENIENT = (bool, np.integer, type(None), str, tuple, list)


def made(t: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """A layer as text, with its parameters; or the class of the error."""
    kwargs = {k: getattr(t, v) if v in ("float64", "int64") else v for k, v in kwargs.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer = getattr(t.nn, name)(*args, **kwargs)
            text = f"{layer} {[(n, tuple(p.shape), str(p.dtype)) for n, p in layer.named_parameters()]}"
            return text.replace("tinytensor.", "torch.")
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_usual_arguments_by_name_and_by_position(name: str) -> None:
    arguments = CONSTRUCTORS[name]
    assert made(tt, name, **arguments) == made(torch, name, **arguments)
    by_position = [*arguments.values()][: -2 if name in ("RNN", "GRU") else None]  # there PyTorch has proj_size instead
    assert made(tt, name, *by_position) == made(torch, name, *by_position)
    assert made(tt, name, **arguments, whatever=1) is TypeError
    assert made(tt, name, *arguments.values(), 1) is TypeError
    if "dtype" in arguments:
        placed = {**arguments, "device": "cpu", "dtype": "float64"}
        assert made(tt, name, **placed) == made(torch, name, **placed)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_what_pytorch_refuses_is_refused(name: str) -> None:
    """With the same class of error; what PyTorch takes is taken, and prints the same."""
    for argument in CONSTRUCTORS[name]:
        for value in ODD:
            given = {**CONSTRUCTORS[name], argument: value}
            theirs, ours = made(torch, name, **given), made(tt, name, **given)
            refused = isinstance(theirs, type), isinstance(ours, type)
            case = f"{name}({argument}={value!r}): {ours}, PyTorch {theirs}"
            if all(refused):
                assert ours is theirs or argument in OTHER_KIND or (name, argument) in STRICTER, case
            elif refused[0]:
                assert isinstance(value, LENIENT), case
            elif refused[1]:
                assert (name, argument) in STRICTER, case
            elif not isinstance(value, LENIENT) and (name, argument) not in STRICTER:
                assert ours == theirs, case


@pytest.mark.parametrize(
    "name, argument",
    [("LSTM", {"bidirectional": True}), ("LSTM", {"proj_size": 2}), ("Embedding", {"max_norm": 1.0})],
)
def test_what_lies_outside_of_the_subset_says_so(name: str, argument: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match="subset"):
        getattr(tt.nn, name)(3, 5, **argument)


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="device is given twice"):
        tt.nn.Linear(3, 2, True, "cpu", device="cpu")


# One expression a line, on fresh Tensors: what layers and losses refuse when they are called, and what they take.
CALLS = """
nn.LSTM(3,5,dtype=t.float64)(seq)
nn.LSTM(3,5)(t.ones(2,2,2,3))
nn.LSTM(3,5)(t.ones(2,4,4))
nn.GRU(3,5)(seq,t.ones(1,3,5))
nn.GRUCell(3,5)(t.ones(2,2,3))
nn.GRUCell(3,5)(t.ones(2,4))
nn.GRUCell(3,5)(t.ones(2,3),t.ones(2,1,1,5))
nn.LSTMCell(3,5)(t.ones(2,3),(t.ones(2,1,1,5),t.ones(2,1,1,5)))
nn.BatchNorm1d(3,momentum=None)(x)
nn.BatchNorm1d(3,eps=0.)(x)
nn.BatchNorm1d(3,eps=-1.)(x)
nn.BatchNorm1d(3,eps=-1.).eval()(x)
nn.BatchNorm1d(3,eps=0.).eval()(x)
nn.BatchNorm1d(3,dtype=t.float64)(x)
nn.Embedding.from_pretrained(t.ones(2,3),False,0,None,2.,False,False).weight.requires_grad
nn.Embedding.from_pretrained(t.ones(2))
F.cross_entropy(z,ids,weight=t.ones(2))
F.cross_entropy(z,ids,weight=t.ones(3))
F.cross_entropy(z,ids,weight=t.ones(3,1))
F.cross_entropy(z,ids,weight=t.ones(3,dtype=t.float64))
F.cross_entropy(z,t.ones(2,3),weight=t.ones(2))
F.cross_entropy(z,t.ones(2,3),ignore_index=1)
F.cross_entropy(z,t.ones(2,3),ignore_index=-1)
F.cross_entropy(z,ids,None,None,-100,None,"sum",0.1)
F.cross_entropy(z.long(),ids)
F.nll_loss(z,ids,weight=t.ones(2))
F.nll_loss(t.zeros(2,3,4),t.zeros(2,4,dtype=t.int64),weight=t.ones(2))
F.nll_loss(z,ids,None,None,-100)
F.nll_loss(z,ids,reduction=None)
F.huber_loss(x,x,delta=-1)
F.huber_loss(x,x,delta=0)
F.huber_loss(x,x,delta=float("nan"))
F.huber_loss(x,x*2,weight=x)
F.huber_loss(x,x*2,"sum",0.5,x)
F.smooth_l1_loss(x,x,beta=-1)
F.smooth_l1_loss(x,x,beta=float("nan"))
F.smooth_l1_loss(x,x*2,None,None,"sum")
F.mse_loss(x,x*2,None,None,"sum")
F.mse_loss(x,x*2,weight=x)
F.mse_loss(x,x*2,weight=t.ones(3))
F.mse_loss(x,x*2,reduction="none",weight=x)
F.l1_loss(x,x*2,weight=x)
F.mse_loss(x,x*2,reduction=None)
F.kl_div(t.tensor(.5),t.tensor(.5))
F.kl_div(t.tensor(.5),t.tensor(.5),reduction="batchmean")
F.kl_div(x,x,None,None,"sum")
F.kl_div(x,t.tensor([1,2,3]))
F.kl_div(x,t.tensor([0.,float("inf"),1.]))
F.binary_cross_entropy(x/9,x*0+2)
F.binary_cross_entropy(x*2,x/9)
F.binary_cross_entropy(x/9,(x/9).long())
F.binary_cross_entropy(x/9,x/9,None,None,None,"sum")
F.binary_cross_entropy_with_logits(x,x,None,None,None,"sum",t.ones(3))
F.layer_norm(x.long(),(3,))
F.rms_norm(x.long(),(3,))
F.batch_norm(x.long(),None,None,training=True)
F.batch_norm(x,t.zeros(3),t.ones(3),eps=-1.)
F.glu(t.tensor(1.))
F.embedding(ids,t.ones(3,2),padding_idx=5)
F.embedding(ids,t.ones(3,2),padding_idx=-5)
F.scaled_dot_product_attention(seq,seq,seq,dropout_p=1.5)
nn.init.normal_(t.ones(2),0,-1)
nn.init.normal_(t.ones(2),0,float("nan"))
nn.init.uniform_(t.ones(2),1,0)
nn.init.uniform_(t.ones(2),0,float("nan"))
nn.init.constant_(t.ones(2),"a")
str(nn.ParameterList([t.zeros(2),t.zeros(2,3,dtype=t.float64)]))
str(nn.ParameterList([t.zeros(())]))
str(nn.ParameterList())
str(nn.Sequential(nn.ParameterList([t.zeros(2)])))
str(nn.ModuleDict({"a":nn.ReLU(),"b":nn.Sequential(nn.ReLU(),nn.Tanh())}))
str(nn.ModuleList([nn.Linear(3,4),nn.Linear(3,4),nn.ReLU()]))
nn.ModuleList(0)
nn.ParameterList(0)
"""


@pytest.mark.parametrize("expression", [line for line in CALLS.splitlines() if line])
def test_calls_as_pytorch(expression: str) -> None:
    found = []
    for t in (torch, tt):
        x = t.tensor([[0.5, 1.0, 2.0], [1.5, 0.25, 3.0], [2.5, 4.0, 0.75]])
        scope = {"t": t, "nn": t.nn, "F": t.nn.functional, "x": x, "z": t.zeros(2, 3), "ids": t.tensor([0, 1])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                y = eval(expression, {**scope, "seq": t.ones(2, 4, 3)})
                found.append(y.detach().numpy() if isinstance(y, t.Tensor) else str(y).replace("tinytensor.", "torch."))
            except Exception as error:
                found.append(type(error))
    theirs, ours = found
    if isinstance(theirs, np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    else:
        assert ours == theirs
