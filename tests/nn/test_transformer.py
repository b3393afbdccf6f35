"""Attention of several heads and the layers of the transformer: generated configurations, here and in PyTorch.

A configuration is drawn apart from both libraries. PyTorch draws the weights, which go over by state_dict and come back.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_torch_thread")

Draw = Callable[[st.SearchStrategy[Any]], Any]
FLAG = st.booleans()


# ------------------------------------------------------------------------------------------- the cases


class Case:
    """A module by name with its arguments, and those of a call: NumPy arrays, the same array for the same Tensor."""

    def __init__(self, name: str, setup: dict[str, Any], args: list[Any], kwargs: dict[str, Any], train: bool) -> None:
        self.name, self.setup, self.args, self.kwargs, self.train = name, setup, args, kwargs, train

    def __repr__(self) -> str:
        shapes = {k: f"{v.dtype}{v.shape}" if isinstance(v, np.ndarray) else v for k, v in self.kwargs.items()}
        mode = "train" if self.train else "eval"
        different = len({*map(id, self.args)})
        return f"{self.name}({self.setup})({[x.shape for x in self.args]}, {shapes}), {mode}, {different} Tensors"


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "none": lambda t: None,
    "relu": lambda t: "relu",
    "gelu": lambda t: "gelu",
    "F.gelu": lambda t: t.nn.functional.gelu,
    "module": lambda t: t.nn.GELU("tanh"),
    "method": lambda t: lambda x: x.tanh(),
}


def made(t: Any, case: Case) -> Any:
    """The module in one of the libraries."""
    setup = dict(case.setup)
    activation = ACTIVATIONS[setup.pop("activation", "none")](t)
    if activation is not None:
        setup["activation"] = activation
    layers = setup.pop("layers", None)
    if layers is None:
        return getattr(t.nn, case.name)(**setup)
    norm = t.nn.LayerNorm(setup["d_model"]) if setup.pop("norm") else None
    return getattr(t.nn, case.name)(getattr(t.nn, case.name + "Layer")(**setup), layers, norm)


def with_its_activation(module: Any) -> Any:
    """PyTorch's module without a mistake: copies of a decoder layer use relu in the place of a module (see below)."""
    for layer in module.modules():
        if "activation" in layer._modules:
            vars(layer).pop("activation", None)
    return module


@st.composite
def masks(draw: Draw, heads: int, batch: int | None, queries: int, keys: int) -> np.ndarray | None:
    """An attn_mask: none, bools or floats, for all sequences or for each head of each. Some rows may be closed."""
    kind = draw(st.sampled_from(["none", "bool", "float", "causal", "bool causal", "bool"]))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    if kind == "none":
        return None
    if "causal" in kind:
        above = np.triu(np.ones((queries, keys), bool), 1)
        return above if "bool" in kind else np.where(above, -np.inf, 0.0)
    shape = (queries, keys) if draw(FLAG) else ((batch or 1) * heads, queries, keys)
    return random.random(shape) < 0.4 if kind == "bool" else random.standard_normal(shape)


@st.composite
def paddings(draw: Draw, batch: int | None, keys: int) -> np.ndarray | None:
    random = np.random.default_rng(draw(st.integers(0, 999)))
    shape = (keys,) if batch is None else (batch, keys)
    kind = draw(st.sampled_from(["none", "bool", "float"]))
    return None if kind == "none" else random.random(shape) < 0.3 if kind == "bool" else random.standard_normal(shape)


def sequence(seed: int, batch: int | None, length: int, width: int, batch_first: bool) -> np.ndarray:
    shape = (length, width) if batch is None else (batch, length, width) if batch_first else (length, batch, width)
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


BATCHES = st.sampled_from([2, 1, 3, None])
LENGTHS = st.integers(1, 4)


@st.composite
def attention(draw: Draw) -> Case:
    heads, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    E, batch, T, S, first = heads * width, draw(BATCHES), draw(LENGTHS), draw(LENGTHS), draw(FLAG)
    setup = {"embed_dim": E, "num_heads": heads, "batch_first": first, "dropout": draw(st.sampled_from([0.0, 1.0]))}
    setup |= {name: draw(FLAG) for name in ("bias", "add_bias_kv", "add_zero_attn")}
    kind = draw(st.sampled_from(["self", "memory", "three", "separate"]))
    query = sequence(0, batch, T, E, first)
    if kind == "self":
        S, args = T, [query] * 3
    elif kind == "memory":
        args = [query, *[sequence(1, batch, S, E, first)] * 2]
    else:
        kdim, vdim = (draw(st.sampled_from([E, 2, 5])) for _ in range(2)) if kind == "separate" else (E, E)
        setup |= {"kdim": kdim, "vdim": vdim} if kind == "separate" else {}
        args = [query, sequence(1, batch, S, kdim, first), sequence(2, batch, S, vdim, first)]
    kwargs = {
        "attn_mask": draw(masks(heads, batch, T, S)), "key_padding_mask": draw(paddings(batch, S)),
        "need_weights": draw(FLAG), "average_attn_weights": draw(FLAG), "is_causal": draw(st.integers(0, 3)) == 0,
    }  # fmt: skip
    return Case("MultiheadAttention", setup, args, kwargs, draw(FLAG))


@st.composite
def layers(draw: Draw, names: tuple[str, ...]) -> Case:
    name = draw(st.sampled_from(names))
    heads, width = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    E, batch, T, S, first = heads * width, draw(BATCHES), draw(LENGTHS), draw(LENGTHS), draw(FLAG)
    setup = {
        "d_model": E, "nhead": heads, "dim_feedforward": draw(st.integers(1, 4)), "batch_first": first,
        "dropout": draw(st.sampled_from([0.0, 1.0])), "norm_first": draw(FLAG), "bias": draw(FLAG),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 0.1])), "activation": draw(st.sampled_from([*ACTIVATIONS])),
    }  # fmt: skip
    if name == "Transformer":
        setup |= {"num_encoder_layers": draw(st.integers(1, 2)), "num_decoder_layers": draw(st.integers(1, 2))}
    elif not name.endswith("Layer"):
        setup |= {"layers": draw(st.integers(1, 2)), "norm": draw(FLAG)}
    src, tgt = sequence(0, batch, S, E, first), sequence(1, batch, T, E, first)
    if "Encoder" in name:
        mask = "src_mask" if name.endswith("Layer") else "mask"
        sizes, args, causal = {mask: (S, S)}, [src], "is_causal"
        of_keys = {"src_key_padding_mask": S}
    else:
        sizes, args, causal = {"tgt_mask": (T, T), "memory_mask": (T, S)}, [tgt, src], "tgt_is_causal"
        of_keys = {"tgt_key_padding_mask": T, "memory_key_padding_mask": S}
        if name == "Transformer":
            sizes, args, of_keys = sizes | {"src_mask": (S, S)}, [src, tgt], of_keys | {"src_key_padding_mask": S}
    kwargs: dict[str, Any] = {k: draw(masks(heads, batch, *size)) for k, size in sizes.items()}
    kwargs |= {k: draw(paddings(batch, size)) for k, size in of_keys.items()}
    if draw(FLAG):
        kwargs[causal] = draw(FLAG)
    return Case(name, setup, args, kwargs, draw(FLAG))


# ----------------------------------------------------------------------------------------- the comparison


class Outcome:
    """What a case gives in a library: its error, or results, and gradients of parameters, inputs and float masks."""

    def __init__(self, t: Any, case: Case, state: dict[str, np.ndarray] | None, dtype: str = "float64") -> None:
        self.error: type | None = None
        self.results: list[Any] = []
        self.gradients: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # masks of two kinds; PyTorch's about nested Tensors
            self.module = with_its_activation(made(t, case)).to(getattr(t, dtype)).train(case.train)
            if state is None:
                t.manual_seed(0)
                for p in self.module.parameters():  # biases and norms are drawn as well
                    t.nn.init.normal_(p)
            else:
                self.module.load_state_dict({k: t.tensor(v) for k, v in state.items()})
            try:
                self._call(t, case, dtype)
            except Exception as error:
                self.error = type(error)
        self.state = {k: v.numpy() for k, v in self.module.state_dict().items()}
        self.text = repr(self.module).replace("tinytensor.", "torch.")

    def _call(self, t: Any, case: Case, dtype: str) -> None:
        tensors: dict[int, Any] = {}

        def tensor(x: Any) -> Any:
            if not isinstance(x, np.ndarray):
                return x
            if id(x) not in tensors:
                tensors[id(x)] = t.tensor(x) if x.dtype == bool else t.tensor(x).to(getattr(t, dtype)).requires_grad_()
            return tensors[id(x)]

        args = [tensor(x) for x in case.args]
        y = self.module(*args, **{k: tensor(v) for k, v in case.kwargs.items()})
        ys = [x for x in (y if isinstance(y, tuple) else (y,)) if x is not None]
        weights = [t.tensor(np.cos(np.arange(x.numel()) + 1.0).reshape(tuple(x.shape))).to(x.dtype) for x in ys]
        leaves = [*self.module.parameters(), *(x for x in tensors.values() if x.requires_grad)]
        gradients = t.autograd.grad(ys, leaves, weights, allow_unused=True)
        self.contiguous = [x.is_contiguous() for x in ys]
        self.results = [x.detach().numpy() for x in ys]
        self.gradients = [None if g is None else g.numpy() for g in gradients]


def same(ours: list[Any], theirs: list[Any], **tolerance: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) is (b is None)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, **tolerance)
            assert a.dtype == b.dtype


def compare(case: Case) -> None:
    theirs = Outcome(torch, case, None)
    ours = Outcome(tt, case, theirs.state)
    again = Outcome(torch, case, ours.state)  # the state has gone over and come back
    assert ours.error is theirs.error, case
    assert list(ours.state) == list(theirs.state)
    assert ours.text == theirs.text
    if theirs.error is None:
        assert ours.contiguous == theirs.contiguous
        same(ours.results, again.results, rtol=1e-10, atol=1e-11)
        same(ours.gradients, again.gradients, rtol=1e-9, atol=1e-10)


@cases(120)
@given(case=attention())
def test_attention(case: Case) -> None:
    compare(case)


@cases(80)
@given(case=layers(("TransformerEncoderLayer", "TransformerDecoderLayer")))
def test_layers(case: Case) -> None:
    compare(case)


@cases(50)
@given(case=layers(("TransformerEncoder", "TransformerDecoder", "Transformer")))
def test_stacks(case: Case) -> None:
    compare(case)


NARROW = {"float32": (1e-5, 1e-4), "float16": (1e-2, 3e-2)}  # of the largest element: results, gradients


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("mask", ["attn_mask", "src_mask", "tgt_mask", ""])
def test_float32_and_float16_are_close_to_float64(dtype: str, mask: str) -> None:
    x, memory = sequence(0, 2, 5, 12, True), sequence(1, 2, 5, 12, True)
    # not relu: what is below 0 in float64 may be above it in float16
    smooth = {"d_model": 12, "nhead": 3, "dim_feedforward": 24, "activation": "gelu"}
    name, setup, args = {
        "attn_mask": ("MultiheadAttention", {"embed_dim": 12, "num_heads": 3}, [x, memory, memory]),
        "src_mask": ("TransformerEncoderLayer", smooth, [x]),
        "tgt_mask": ("TransformerDecoderLayer", smooth, [x, memory]),
        "": ("TransformerDecoderLayer", smooth, [x, memory]),
    }[mask]
    kwargs = {mask: np.triu(np.ones((5, 5), bool), 1)} if mask else {}
    case = Case(name, {**setup, "batch_first": True, "dropout": 0.0}, args, kwargs, True)
    torch.manual_seed(0)
    state = {k: v.detach().numpy() for k, v in made(torch, case).state_dict().items()}
    exact, ours = Outcome(torch, case, state), Outcome(tt, case, state, dtype)
    for found, right, limit in ((ours.results, exact.results, 0), (ours.gradients, exact.gradients, 1)):
        for a, b in zip(found, right, strict=True):
            assert a.dtype.name == dtype
            assert np.abs(a - b).max() <= NARROW[dtype][limit] * max(np.abs(b).max(), 0.1)


# --------------------------------------------------------------------------------- masks, causes, dropout


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("closed", ["attn_mask", "key_padding_mask"])
@pytest.mark.parametrize("float_mask", [True, False])
def test_a_query_that_may_look_nowhere(train: bool, need_weights: bool, closed: str, float_mask: bool) -> None:
    mask = np.zeros((3, 3) if closed == "attn_mask" else (2, 3), bool)
    mask[1] = True
    mask = np.where(mask, -np.inf, 0.0) if float_mask else mask
    x = sequence(0, 2, 3, 4, False)
    kwargs = {closed: mask, "need_weights": need_weights}
    case = Case("MultiheadAttention", {"embed_dim": 4, "num_heads": 2}, [x, x, x], kwargs, train)
    compare(case)
    y, *weights = Outcome(tt, case, Outcome(torch, case, None).state).results
    lost = (y[1], y[:, 1])[closed != "attn_mask"]  # (T, B, E)
    assert np.isnan(lost).all() if need_weights else not np.isnan(y).any()
    assert len(weights) == need_weights


def test_a_wrong_hint_is_taken_as_pytorch_takes_it() -> None:
    """is_causal beside another mask: the mask is not read, unless the weights or a padding need it."""
    x = sequence(0, 2, 3, 4, False)
    for more in ({"need_weights": False}, {"need_weights": True}, {"key_padding_mask": np.zeros((2, 3), bool)}):
        kwargs = {"attn_mask": np.eye(3, dtype=bool)[::-1].copy(), "is_causal": True, **more}
        compare(Case("MultiheadAttention", {"embed_dim": 4, "num_heads": 2}, [x, x, x], kwargs, True))


def test_long_causal_sequences_run_in_blocks() -> None:
    """The mask is recognised, as bools as well, and the results are those of the mask."""
    found = []
    for mask in (np.triu(np.ones((140, 140), bool), 1), np.triu(np.full((140, 140), -np.inf), 1)):
        x = sequence(0, 1, 140, 4, True)
        setup = {"d_model": 4, "nhead": 2, "dim_feedforward": 3, "dropout": 0.0, "batch_first": True}
        for name, key, args in (("TransformerEncoder", "mask", [x]), ("TransformerDecoder", "tgt_mask", [x, x[:, :3]])):
            case = Case(name, {**setup, "layers": 1, "norm": True}, args, {key: mask}, True)
            compare(case)
            y = Outcome(tt, case, Outcome(torch, case, None).state)
            found.append(y.results[0])
        layer = tt.nn.TransformerEncoderLayer(4, 2, 3, 0.0, batch_first=True).double()
        stack = tt.nn.TransformerEncoder(layer, 1)
        assert "blockwise" in names_behind(stack(tt.tensor(x), tt.tensor(mask)))
        assert "blockwise" not in names_behind(layer(tt.tensor(x), tt.tensor(mask)))
    np.testing.assert_array_equal(found[0], found[2])


def names_behind(y: Any) -> str:
    """The names of all operations that made y."""
    seen, todo = set(), [y.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [n for n, _ in node.next_functions]
    return " ".join(n.name().lower() for n in seen)


def test_evaluation_without_gradients_gives_the_same() -> None:
    """PyTorch takes a faster path there: the same values, and zeros at the padding of a stack, which here has values."""
    setup = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "batch_first": True, "layers": 2, "norm": False}
    padding = np.array([[False] * 4, [False, False, True, True]])
    case = Case("TransformerEncoder", setup, [sequence(0, 2, 4, 4, True)], {"src_key_padding_mask": padding}, False)
    theirs = Outcome(torch, case, None)
    ours = Outcome(tt, case, theirs.state)
    with torch.no_grad(), tt.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = theirs.module(torch.tensor(case.args[0]), src_key_padding_mask=torch.tensor(padding)).numpy()
        own = ours.module(tt.tensor(case.args[0]), src_key_padding_mask=tt.tensor(padding)).numpy()
    np.testing.assert_array_equal(own, ours.results[0])
    np.testing.assert_allclose(own[~padding], fast[~padding], rtol=1e-9)
    np.testing.assert_allclose(own, theirs.results[0], rtol=1e-10)
    assert not fast[padding].any() and own[padding].all()


@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_of_the_weights(need_weights: bool) -> None:
    """In training a weight is 0 or 1 / (1 − p) times itself, the heads apart, and the mean is the value in evaluation."""
    tt.manual_seed(5)
    p, n = 0.3, 3000
    layer = tt.nn.MultiheadAttention(6, 2, dropout=p).double()
    x = tt.tensor(sequence(0, 1, 4, 6, False)).expand(4, n, 6)
    y, w = layer(x, x, x, need_weights=need_weights, average_attn_weights=False)
    layer.eval()
    right, usual = layer(x[:, :1], x[:, :1], x[:, :1], average_attn_weights=False)
    deviation = y.std(1) / n**0.5
    assert ((y.mean(1) - right[:, 0]).abs() < 5 * deviation + 1e-12).all()
    assert (deviation > 0).all()
    if need_weights:
        kept = w != 0
        assert abs(kept.double().mean().item() - (1 - p)) < 5 * (p * (1 - p) / kept.numel()) ** 0.5
        np.testing.assert_allclose((w * (1 - p)).detach().numpy(), (usual * kept).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
def test_dropout_is_where_pytorch_has_it(kind: str) -> None:
    """With one of the dropouts at 1 and the others at 0, which gives definite numbers."""
    x, memory = sequence(0, 2, 3, 4, False), sequence(1, 2, 5, 4, False)
    for norm_first in (True, False):
        for only in ("dropout", "dropout1", "dropout2", *(["dropout3"] if "Decoder" in kind else [])):
            found = []
            for t in (torch, tt):
                layer = getattr(t.nn, kind)(4, 2, 5, 0.0, norm_first=norm_first).double()
                for i, weight in enumerate(layer.parameters()):
                    weight.data.copy_(t.tensor(np.sin(np.arange(weight.numel()) + i).reshape(tuple(weight.shape))))
                getattr(layer, only).p = 1.0
                y = layer(*map(t.tensor, [x, memory][: 2 if "Decoder" in kind else 1]))
                found.append(y.detach().numpy())
            np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


# ----------------------------------------------------------------------------------------- the modules


def test_initial_values() -> None:
    tt.manual_seed(0)
    layer = tt.nn.MultiheadAttention(64, 4, add_bias_kv=True)
    limits = {"in_proj_weight": (6 / 256) ** 0.5, "out_proj.weight": 1 / 8}
    for name, limit in limits.items():
        values = np.abs(dict(layer.named_parameters())[name].detach().numpy())
        assert 0.98 * limit < values.max() <= limit and abs(values.mean() - limit / 2) < 0.01 * limit
    assert not layer.in_proj_bias.any() and not layer.out_proj.bias.any()
    for bias in (layer.bias_k, layer.bias_v):  # xavier_normal_ of (1, 1, 64): √(2 / 128)
        assert abs(bias.std().item() - 0.125) < 0.04
    apart = tt.nn.MultiheadAttention(64, 4, kdim=32, vdim=16)
    for name, inputs in (("q", 64), ("k", 32), ("v", 16)):
        limit = (6 / (64 + inputs)) ** 0.5
        assert 0.98 * limit < getattr(apart, f"{name}_proj_weight").abs().max().item() <= limit
    whole = tt.nn.Transformer(32, 2, 1, 1, 64)
    for name, p in whole.named_parameters():
        if p.dim() > 1:
            limit = (6 / sum(p.shape)) ** 0.5
            assert 0.95 * limit < p.abs().max().item() <= limit, name
        elif "norm" not in name and "linear" not in name:
            assert not p.any(), name


def test_layers_of_a_stack_are_copies() -> None:
    layer = tt.nn.TransformerEncoderLayer(4, 2, activation=tt.nn.GELU())
    stack = tt.nn.TransformerEncoder(layer, 3, tt.nn.LayerNorm(4))
    first, second = stack.layers[0], stack.layers[1]
    assert all(tt.equal(a, b) and a is not b for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.activation is not second.activation and first.linear1.weight is not layer.linear1.weight
    first.linear1.weight.data.zero_()
    assert second.linear1.weight.any() and layer.linear1.weight.any()
    twin = copy.deepcopy(stack)
    x = tt.randn(3, 1, 4)
    assert tt.equal(twin.eval()(x), stack.eval()(x))


def test_an_activation_that_is_a_module_is_copied() -> None:
    """In the decoder as in the encoder. PyTorch's decoder layer forgets it when it is copied, and takes relu."""
    used = []
    for t in (torch, tt):
        decoder = t.nn.TransformerDecoder(t.nn.TransformerDecoderLayer(4, 2, 3, activation=t.nn.Tanh()), 1)
        used.append(decoder.layers[0].activation)
        assert str(decoder.layers[0]._modules["activation"]) == "Tanh()"
    assert used[0] is torch.nn.functional.relu, "mended there: with_its_activation and the word in usage.md can go"
    assert isinstance(used[1], tt.nn.Tanh)


def test_custom_parts_hooks_and_blocks() -> None:
    """What code for PyTorch reaches into: its own encoder, hooks on self_attn, a block that a subclass changes."""
    for t in (torch, tt):

        class Own(t.nn.Module):  # type: ignore[name-defined, misc]
            def forward(self, src: Any, **masks: Any) -> Any:
                return src * 2

        class Watching(t.nn.TransformerEncoderLayer):  # type: ignore[name-defined, misc]
            def _sa_block(self, x: Any, attn_mask: Any, key_padding_mask: Any, is_causal: bool = False) -> Any:
                x, self.weights = self.self_attn(x, x, x, key_padding_mask=key_padding_mask, attn_mask=attn_mask)
                return self.dropout1(x)

        model = t.nn.Transformer(4, 2, 1, 1, 3, custom_encoder=Own(), dtype=t.float64)
        assert {p.dtype for p in model.decoder.parameters()} == {t.float64}
        assert model(t.ones(2, 1, 4).double(), t.ones(3, 1, 4).double()).shape == (3, 1, 4)
        calls: list[Any] = []
        model.decoder.layers[0].self_attn.register_forward_hook(
            lambda m, args, y, calls=calls: calls.append(y[0].shape)
        )
        model(t.ones(2, 1, 4).double(), t.ones(3, 1, 4).double())
        assert calls == [(3, 1, 4)]
        watching = Watching(4, 2, 3)
        watching(t.ones(3, 2, 4))
        assert watching.weights.shape == (2, 3, 3)


def test_masks_of_two_kinds_are_warned_of() -> None:
    for t in (torch, tt):
        layer, x = t.nn.MultiheadAttention(4, 2), t.ones(3, 1, 4)
        with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask"):
            layer(x, x, x, attn_mask=t.zeros(3, 3), key_padding_mask=t.zeros(1, 3) > 0)


def test_square_subsequent_mask() -> None:
    for make in (lambda t: t.nn.Transformer, lambda t: t.nn.Transformer(4, 2, 1, 1, 3, batch_first=True)):
        for dtype in ("float32", "float64", "float16", "bool"):
            theirs, ours = (make(t).generate_square_subsequent_mask(4, dtype=getattr(t, dtype)) for t in (torch, tt))
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
            assert ours.dtype is getattr(tt, dtype)
    assert tt.nn.Transformer.generate_square_subsequent_mask(2, device="cpu").dtype is tt.float32


def test_static_keys_and_values() -> None:
    """What the function takes beside what the module gives it."""
    found = []
    for t in (torch, tt):
        x, w, b, o = (t.tensor(sequence(i, None, *s, False)) for i, s in enumerate([(3, 4), (12, 4), (1, 12), (4, 4)]))
        leaves = [y.requires_grad_() for y in (x, w, b, o, t.tensor(np.cos(np.arange(2 * 5 * 2.0)).reshape(2, 5, 2)))]
        forward = t.nn.functional.multi_head_attention_forward
        rest = {"static_k": leaves[-1], "static_v": leaves[-1] * 2, "need_weights": False}
        y, none = forward(x, x, x, 4, 2, w, b[0], None, None, True, 0.0, o, None, **rest)
        assert none is None
        y.square().sum().backward()
        found.append([y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    same(found[1], found[0], rtol=1e-10, atol=1e-12)


x3, x2 = (3, 2, 4), (3, 4)
ERRORS: list[Callable[[Any, Any], Any]] = [
    lambda t, m: t.nn.MultiheadAttention(0, 1),
    lambda t, m: t.nn.MultiheadAttention(4, 0),
    lambda t, m: t.nn.MultiheadAttention(4, 3),
    lambda t, m: t.nn.MultiheadAttention(4),
    lambda t, m: t.nn.TransformerEncoderLayer(4, 3),
    lambda t, m: t.nn.TransformerEncoderLayer(4, 2, activation="tanh"),
    lambda t, m: t.nn.TransformerDecoderLayer(4, 2, dropout=1.5),
    lambda t, m: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 3), 0)(t.ones(x3)),
    lambda t, m: t.nn.TransformerDecoder(t.nn.TransformerDecoderLayer(4, 2, 3), 1)(t.ones(x3)),
    lambda t, m: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 3, batch_first=True), 1)(
        t.ones(x2), t.nn.Transformer.generate_square_subsequent_mask(4)
    ),
    lambda t, m: t.nn.Transformer(4, 2, 1, 1, 3)(t.ones(x3), t.ones(3, 1, 4)),
    lambda t, m: t.nn.Transformer(4, 2, 1, 1, 3)(t.ones(x3), t.ones(3, 2, 5)),
    lambda t, m: t.nn.Transformer(4, 2, 1, 1, 3, batch_first=True)(t.ones(x3), t.ones(2, 2, 4)),
    lambda t, m: t.nn.Transformer(4, 2, 1, 1, 3, dtype=t.int64),
    lambda t, m: m(t.ones(4), t.ones(4), t.ones(4)),
    lambda t, m: m(t.ones(1, *x3), t.ones(1, *x3), t.ones(1, *x3)),
    lambda t, m: m(t.ones(x3), t.ones(x2), t.ones(x2)),
    lambda t, m: m(t.ones(x2), t.ones(x3), t.ones(x3)),
    lambda t, m: m(t.ones(x3), t.ones(5, 2, 4), t.ones(4, 2, 4)),
    lambda t, m: m(t.ones(x3), t.ones(3, 3, 4), t.ones(3, 3, 4)),
    lambda t, m: m(t.ones(x3), t.ones(3, 1, 4), t.ones(3, 1, 4)),
    lambda t, m: m(t.ones(3, 2, 5), t.ones(x3), t.ones(x3)),
    lambda t, m: m(t.ones(x3), t.ones(3, 2, 5), t.ones(3, 2, 5)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(3, 2, 5)),
    lambda t, m: m(t.ones(x3).double(), t.ones(x3).double(), t.ones(x3).double()),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(3, 3).long()),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(3, 3).double()),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(3)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(1, 1, 3, 3)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(3, 4)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), attn_mask=t.ones(2, 3, 3)),
    lambda t, m: m(t.ones(x2), t.ones(x2), t.ones(x2), attn_mask=t.ones(4, 3, 3)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), key_padding_mask=t.ones(2, 3).long()),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), key_padding_mask=t.ones(3, 2)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), key_padding_mask=t.ones(2, 4)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), key_padding_mask=t.ones(3)),
    lambda t, m: m(t.ones(x2), t.ones(x2), t.ones(x2), key_padding_mask=t.ones(1, 3)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), is_causal=True),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), is_causal=True, need_weights=False),
    lambda t, m: m(t.ones(x3), t.ones(x3)),
    lambda t, m: m(t.ones(x3), t.ones(x3), t.ones(x3), whatever=1),
    lambda t, m: m.load_state_dict({"in_proj_weight": t.ones(12, 4)}),
    lambda t, m: t.nn.MultiheadAttention(4, 2, kdim=3)(t.ones(x3), t.ones(x3), t.ones(x3)),
    lambda t, m: t.nn.MultiheadAttention(4, 2, kdim=3)(t.ones(x3), t.ones(3, 2, 3), t.ones(4, 2, 4)),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(ERRORS)))
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about nested Tensors
def test_errors_are_of_pytorchs_class(i: int) -> None:
    kinds = []
    for t in (torch, tt):
        with pytest.raises(Exception) as caught:
            ERRORS[i](t, t.nn.MultiheadAttention(4, 2))
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
