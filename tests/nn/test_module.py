"""Modules, containers and layers: names, hooks, trees, saving and loading, beside PyTorch's."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")


class Both:
    """A model in both libraries, with the same weights: Both(lambda nn: nn.Linear(2, 3))."""

    def __init__(self, make):
        self.ours, self.theirs = make(tt.nn), make(torch.nn)
        weights = {k: tt.tensor(v.numpy()) for k, v in self.theirs.state_dict().items()}
        self.ours.load_state_dict(weights)


def block(nn):
    """A small tree with most kinds of containers and layers in it."""
    attention = nn.ModuleDict({"qkv": nn.Linear(4, 12, bias=False), "drop": nn.Dropout(0.1)})
    feed_forward = nn.Sequential(nn.Linear(4, 8), nn.GELU(approximate="tanh"), nn.Linear(8, 4))
    layers = nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4), feed_forward, nn.LayerNorm((4,), bias=False)])
    return nn.ModuleDict({"embed": nn.Embedding(5, 4), "attention": attention, "layers": layers})


def error(call):
    """(type, message) of the exception that a call raises."""
    with pytest.raises(Exception) as caught:
        call()
    return caught.type, str(caught.value)


LAYERS = {
    "Linear": lambda nn: nn.Linear(3, 2),
    "Linear, no bias": lambda nn: nn.Linear(3, 2, bias=False),
    "Embedding": lambda nn: nn.Embedding(7, 3),
    "LayerNorm": lambda nn: nn.LayerNorm(3),
    "LayerNorm, 2 dimensions": lambda nn: nn.LayerNorm([2, 3], eps=1e-3),
    "LayerNorm, no bias": lambda nn: nn.LayerNorm(3, bias=False),
    "LayerNorm, bare": lambda nn: nn.LayerNorm(3, elementwise_affine=False),
    "Dropout": lambda nn: nn.Dropout(0.3).eval(),
    "ReLU": lambda nn: nn.ReLU(),
    "GELU": lambda nn: nn.GELU(),
    "GELU, tanh": lambda nn: nn.GELU("tanh"),
    "Tanh": lambda nn: nn.Tanh(),
    "SiLU": lambda nn: nn.SiLU(),
    "Sigmoid": lambda nn: nn.Sigmoid(),
    "Softmax": lambda nn: nn.Softmax(dim=-1),
    "Identity": lambda nn: nn.Identity(),
    "Flatten": lambda nn: nn.Flatten(),
    "Sequential": lambda nn: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)),
    "named": lambda nn: nn.Sequential(OrderedDict(one=nn.Linear(3, 4), two=nn.Tanh())),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_layer_gives_what_pytorch_gives(make):
    both = Both(make)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    if isinstance(both.ours, tt.nn.Embedding):
        x = rng.integers(0, 7, (4, 2))
    y = both.ours(tt.tensor(x))
    expected = both.theirs(torch.tensor(x))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert y.dtype is tt.float32
    assert repr(both.ours) == repr(both.theirs)
    assert list(both.ours.state_dict()) == list(both.theirs.state_dict())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 3)).astype("f"), np.array([0, 2, 1, -1, 2, 2])
    for name, target, extra in (
        ("CrossEntropyLoss", t, {"ignore_index": -1}),
        ("MSELoss", x[::-1].copy(), {}),
    ):
        ours = getattr(tt.nn, name)(reduction=reduction, **extra)
        theirs = getattr(torch.nn, name)(reduction=reduction, **extra)
        expected = theirs(torch.tensor(x), torch.tensor(target)).numpy()
        np.testing.assert_allclose(ours(tt.tensor(x), tt.tensor(target)).numpy(), expected, rtol=1e-5)
        assert repr(ours) == repr(theirs)


def test_tree_is_pytorchs():
    both = Both(block)
    ours, theirs = both.ours, both.theirs
    assert repr(ours) == repr(theirs)
    for names in ("named_parameters", "named_modules", "named_children", "named_buffers"):
        assert [n for n, _ in getattr(ours, names)()] == [n for n, _ in getattr(theirs, names)()]
    state, expected = ours.state_dict(), theirs.state_dict()
    assert isinstance(state, OrderedDict)
    assert {k: tuple(v.shape) for k, v in state.items()} == {k: tuple(v.shape) for k, v in expected.items()}
    assert list(ours.state_dict(prefix="model.")) == list(theirs.state_dict(prefix="model."))
    order = []
    ours.apply(lambda module: order.append(type(module).__name__))
    theirs_order = []
    theirs.apply(lambda module: theirs_order.append(type(module).__name__))
    assert order == theirs_order


def test_a_module_used_twice():
    def twice(nn):
        shared = nn.Linear(2, 2)
        return nn.Sequential(shared, nn.ReLU(), shared)

    both = Both(twice)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(both.ours.state_dict()) == list(both.theirs.state_dict()) == names
    for model in (both.ours, both.theirs):
        assert [n for n, _ in model.named_parameters()] == names[:2]
        assert [n for n, _ in model.named_parameters(remove_duplicate=False)] == names
        assert [n for n, _ in model.named_children()] == ["0", "1"] and len(model) == 3


def test_state_dict_shares_memory_and_loading_copies():
    model = tt.nn.Linear(2, 2)
    state = model.state_dict()
    assert not state["weight"].requires_grad and np.shares_memory(state["weight"].array, model.weight.array)
    other = tt.nn.Linear(2, 2)
    weight = other.weight
    keys = other.load_state_dict(state)
    assert str(keys) == "<All keys matched successfully>" and keys.missing_keys == []
    assert other.weight is weight and tt.equal(weight, model.weight)
    assert not np.shares_memory(weight.array, model.weight.array)
    assert model.state_dict(keep_vars=True)["weight"] is model.weight


def test_loading_names_what_does_not_fit():
    both = Both(lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)))
    before = both.ours[0].weight.detach().clone()

    def load(model, lib):
        model.load_state_dict(
            {
                "0.weight": lib.ones(2, 2),
                "0.bias": lib.ones(2),
                "1.weight": lib.ones(4, 2),
                "extra": lib.ones(1),
            }
        )

    ours, theirs = error(lambda: load(both.ours, tt)), error(lambda: load(both.theirs, torch))
    assert ours == (RuntimeError, theirs[1].replace("torch.Size", "tinytensor.Size"))
    assert tt.equal(both.ours[0].weight, before), "a load that fails leaves the model as it was"

    loose = both.ours.load_state_dict({"0.bias": tt.ones(2), "extra": tt.ones(1)}, strict=False)
    assert loose.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert loose.unexpected_keys == ["extra"]
    assert both.ours[0].bias.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.bias"):
        both.ours.load_state_dict({"0.bias": tt.ones(3)}, strict=False)
    with pytest.raises(RuntimeError, match=r'"0\.bias", expected Tensor'):
        both.ours.load_state_dict({"0.bias": 3}, strict=False)
    with pytest.raises(TypeError, match="dict-like"):
        both.ours.load_state_dict([1])


def test_loading_casts():
    model = tt.nn.Linear(2, 1, bias=False)
    model.load_state_dict({"weight": tt.tensor([[1, 2]], dtype=tt.float64)})
    assert model.weight.dtype is tt.float32 and model.weight.tolist() == [[1, 2]]


def test_attributes_go_to_the_right_dictionary():
    class Net(tt.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = tt.nn.Parameter(tt.ones(2))
            self.inner = tt.nn.Linear(1, 1)
            self.register_buffer("kept", tt.zeros(3))
            self.register_buffer("transient", tt.zeros(3), persistent=False)
            self.absent = None
            self.size = 5

    net = Net()
    assert list(net.state_dict()) == ["weight", "kept", "inner.weight", "inner.bias"]
    assert [n for n, _ in net.named_buffers()] == ["kept", "transient"]
    assert "weight" in dir(net) and "inner" in dir(net) and "kept" in dir(net)
    net.kept = tt.ones(3)  # stays a buffer
    assert dict(net.named_buffers())["kept"].tolist() == [1, 1, 1]
    net.weight = None  # stays a parameter that is not there
    assert net.weight is None and "weight" not in net.state_dict()
    net.size = tt.nn.Parameter(tt.ones(1))  # becomes a parameter
    assert "size" in net.state_dict()
    net.inner = tt.nn.Identity()
    assert [n for n, _ in net.named_children()] == ["inner"]
    del net.size
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'size'"):
        _ = net.size
    assert not hasattr(net, "size")


def test_errors_are_pytorchs():
    class NoInit:
        """__init__ assigns before Module.__init__ ran."""

        def __new__(cls, nn, value):
            class Net(nn.Module):
                def __init__(self):
                    self.a = value

            return Net()

    def calls(lib):
        nn, one = lib.nn, lib.ones(2)
        net = nn.Sequential(nn.Linear(2, 2))
        return [
            lambda: NoInit(nn, nn.Linear(1, 1)),
            lambda: NoInit(nn, nn.Parameter(one)),
            lambda: net.register_buffer("training", one),
            lambda: net.register_buffer(3, one),
            lambda: net.register_buffer("a.b", one),
            lambda: net.register_buffer("", one),
            lambda: net.register_buffer("b", 3),
            lambda: net.register_parameter("p", one),
            lambda: net.add_module("m", 3),
            lambda: net[0].add_module("weight", nn.ReLU()),
            lambda: setattr(net[0], "weight", one),
            lambda: setattr(net, "0", 3),
            lambda: delattr(net, "nothing"),
            lambda: net.nothing,
            lambda: net[1],
            lambda: net.get_submodule("0.deeper"),
            lambda: net.get_submodule("0.weight"),
            lambda: nn.Module()(1),
            lambda: net.train("yes"),
            lambda: net.to(lib.int64),
            lambda: nn.Parameter(lib.tensor([1])),
            lambda: nn.Dropout(1.5),
            lambda: nn.ModuleDict({"a": 3}),
            lambda: nn.ModuleDict({"keys": nn.ReLU()}),
            lambda: nn.ModuleList([3]),
            lambda: nn.Sequential({"a": nn.ReLU()}),
            lambda: nn.Flattened,
        ]

    for i, (ours, theirs) in enumerate(zip(calls(tt), calls(torch), strict=True)):
        assert error(ours)[0] is error(theirs)[0], f"call {i}: {error(ours)} and {error(theirs)}"
    with pytest.raises(AttributeError, match=r"Conv2d.*outside tinytensor.s subset"):
        _ = tt.nn.Conv2d
    with pytest.raises(NotImplementedError, match=r"size_average=True.*subset.*reduction"):
        tt.nn.CrossEntropyLoss(size_average=True)


def test_hooks_change_what_goes_in_and_out():
    def watcher(seen):
        return lambda module, args, output: seen.append((args, output))

    for lib in (tt, torch):
        double, seen = lib.nn.Identity(), []
        before = double.register_forward_pre_hook(lambda module, args: args[0] * 2)
        after = double.register_forward_hook(lambda module, args, output: output + 1)
        watch = double.register_forward_hook(watcher(seen))
        y = double(lib.ones(1))
        assert y.tolist() == [3] and seen[0][0][0].tolist() == [2] and seen[0][1] is y
        before.remove()
        watch.remove()
        assert double(lib.ones(1)).tolist() == [2] and len(seen) == 1
        with after:
            pass
        assert double(lib.ones(1)).tolist() == [1]
        after.remove()  # a second time does nothing


def test_train_eval_and_freezing():
    model = block(tt.nn)
    assert all(m.training for m in model.modules())
    assert model.eval() is model and not any(m.training for m in model.modules())
    x = tt.ones(10, 4)
    assert tt.equal(model.attention.drop(x), x)
    model.train()
    assert not tt.equal(model.attention.drop(x), x)
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())


def test_zero_grad():
    model = tt.nn.Linear(2, 1)
    model(tt.ones(1, 2)).sum().backward()
    gradient = model.weight.grad
    model.zero_grad(set_to_none=False)
    assert model.weight.grad is gradient and gradient.tolist() == [[0, 0]]
    model.zero_grad()
    assert model.weight.grad is None


class Tied(tt.nn.Module):
    """Embedding and head share one weight, as in GPT-2."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = tt.nn.Embedding(4, 3), tt.nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("ids", tt.arange(3))
        self.register_buffer("scale", tt.ones(1))


@pytest.mark.parametrize("change", [lambda m: m.double(), copy.deepcopy, lambda m: m.half().float()])
def test_tied_weights_stay_tied(change):
    model = Tied()
    assert len(list(model.parameters())) == 1
    assert list(model.state_dict()) == ["ids", "scale", "embed.weight", "head.weight"]
    changed = change(model)
    assert changed.head.weight is changed.embed.weight
    assert len(list(changed.parameters())) == 1


def test_conversions_keep_parameters_and_leave_integers():
    model = Tied()
    weight = model.embed.weight
    weight.grad = tt.ones(4, 3)
    assert model.to(tt.float64) is model and model.embed.weight is weight
    assert weight.dtype is tt.float64 and weight.grad.dtype is tt.float64 and weight.requires_grad
    assert model.ids.dtype is tt.int64 and model.scale.dtype is tt.float64
    assert model.to("cpu", tt.float32).scale.dtype is tt.float32
    assert model.to(tt.ones(1, dtype=tt.float64)).scale.dtype is tt.float64
    assert model.cpu().scale.device == tt.device("cpu")


def test_deepcopy_is_apart():
    model = tt.nn.Sequential(tt.nn.Linear(2, 2), tt.nn.ReLU())
    model(tt.ones(1, 2)).sum().backward()
    twin = copy.deepcopy(model)
    assert isinstance(twin[0].weight, tt.nn.Parameter) and twin[0].weight.grad is None
    with tt.no_grad():
        twin[0].weight.zero_()
    assert model[0].weight.tolist() != twin[0].weight.tolist()
    assert repr(twin) == repr(model)


def test_parameter():
    data = tt.ones(2)
    p = tt.nn.Parameter(data)
    assert isinstance(p, tt.Tensor) and p.is_leaf and p.requires_grad and p.array is data.array
    assert not isinstance(p * 1, tt.nn.Parameter) and not isinstance(p.data, tt.nn.Parameter)
    assert repr(p) == repr(torch.nn.Parameter(torch.ones(2)))
    assert not tt.nn.Parameter(tt.tensor([1]), requires_grad=False).requires_grad
    assert tt.nn.Parameter().shape == (0,)


def test_lists_and_sequences():
    for nn in (tt.nn, torch.nn):
        row = nn.ModuleList([nn.Linear(1, n) for n in (1, 2, 3)])
        row.append(nn.ReLU()).extend([nn.Tanh()])
        row.insert(1, nn.SiLU())
        kinds = ["Linear", "SiLU", "Linear", "Linear", "ReLU", "Tanh"]
        assert [type(m).__name__ for m in row] == kinds and len(row) == 6
        assert list(dict(row.named_children())) == list("012345")
        assert type(row[1:3]) is nn.ModuleList and row[-1] is row[5] and row[1:3][0] is row[1]
        row[1] = nn.Identity()
        assert type(row[1]) is nn.Identity
        del row[1], row[-2:]
        assert [type(m).__name__ for m in row] == ["Linear"] * 3
        row += [nn.ReLU()]
        assert len(row) == 4
        net = nn.Sequential(OrderedDict(a=nn.Linear(1, 1), b=nn.ReLU(), c=nn.Tanh()))
        assert list(dict(net[1:].named_children())) == ["b", "c"] and net.b is net[1]
        net.append(nn.ReLU())
        assert list(dict(net.named_children())) == ["a", "b", "c", "3"]


def test_module_dict():
    for nn in (tt.nn, torch.nn):
        d = nn.ModuleDict(dict(c_fc=nn.Linear(1, 2), act=nn.GELU()))
        assert d.c_fc is d["c_fc"] and "act" in d and len(d) == 2 and list(d) == ["c_fc", "act"]
        d.update({"act": nn.ReLU(), "more": nn.Tanh()})
        assert list(d.keys()) == ["c_fc", "act", "more"] and type(d.act) is nn.ReLU
        del d["c_fc"]
        assert type(d.pop("more")) is nn.Tanh and [k for k, _ in d.items()] == ["act"]
        assert len(list(d.values())) == 1
        d.clear()
        assert len(d) == 0


def test_layer_norm_begins_anew():
    for t in (torch, tt):
        norm = t.nn.LayerNorm(3)
        t.nn.init.constant_(norm.weight, 5.0)
        t.nn.init.constant_(norm.bias, 5.0)
        norm.reset_parameters()
        assert (norm.weight.tolist(), norm.bias.tolist()) == ([1, 1, 1], [0, 0, 0])


def test_hooks_buffers_and_paths():
    """A pre-hook that changes nothing, an absent child, buffers, a path through what is no module."""
    for t in (torch, tt):
        seen: list[int] = []
        model = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Tanh())
        model.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(len(args)))
        model(t.ones(1, 2))
        assert seen == [1]
        model.register_module("absent", None)
        model.register_buffer("mask", t.ones(3))
        model.register_buffer("gone", None)
        assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
        assert [b.tolist() for b in model.buffers()] == [[1, 1, 1]]
        with pytest.raises(AttributeError, match=r"weight. is not an nn.Module"):
            model.get_submodule("0.weight")
        with pytest.raises(AttributeError, match="has no attribute `nothing`"):
            model.get_submodule("0.nothing")


def test_zero_grad_leaves_what_has_no_gradient():
    for t in (torch, tt):
        model = t.nn.ModuleList([t.nn.Linear(1, 1), t.nn.Linear(1, 1)])
        model[0](t.ones(1, 1)).sum().backward()
        model.zero_grad(set_to_none=False)
        assert [None if p.grad is None else p.grad.tolist() for p in model.parameters()] == [[[0]], [0], None, None]
        optimizer = t.optim.SGD(model.parameters(), lr=0.1)
        optimizer.zero_grad(set_to_none=False)
        assert [p.grad is None for p in model.parameters()] == [False, False, True, True]
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())


def test_the_keys_that_did_not_match_are_shown():
    """As PyTorch prints them."""
    for strict in (True, False):
        shown = []
        for t in (torch, tt):
            model = t.nn.Linear(1, 1)
            state = model.state_dict() if strict else {"other": t.ones(1)}
            shown.append(repr(model.load_state_dict(state, strict=strict)))
        assert shown[0] == shown[1]
