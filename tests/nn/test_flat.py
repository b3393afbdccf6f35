"""Parameters in one buffer (nn.flat, AdamW(fused=True)): the same numbers as parameter by parameter, bit for bit."""

import copy
import inspect
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.nn.flat import Flat, gradients, share_parameters
from tinytensor.ops.gelu import GELU_TANH
from tinytensor.ops.linear import LINEAR
from tinytensor.optim.adamw import PlainAdamW


def make_model():
    tt.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))


def train(model, optimizer, steps, frozen=()):
    generator = tt.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(tt.randn(4, 5, generator=generator)).square().sum().backward()
        for name in frozen:
            dict(model.named_parameters())[name].grad = None
        optimizer.step()


def groups(model):
    parameters = list(model.parameters())
    return [{"params": parameters[::2], "weight_decay": 0.3}, {"params": parameters[1::2], "weight_decay": 0.0}]


def pair(kind=optim.AdamW):
    models = make_model(), make_model()
    return [(model, kind(groups(model), lr=0.01, fused=fused)) for model, fused in zip(models, (True, False))]


def assert_same(fused, plain):
    (a, optimizer_a), (b, optimizer_b) = fused, plain
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.array, q.array, err_msg=name)
        assert optimizer_a.state[p].keys() == optimizer_b.state[q].keys()
        for key in optimizer_a.state[p]:
            np.testing.assert_array_equal(
                optimizer_a.state[p][key].array, optimizer_b.state[q][key].array, err_msg=f"{name} {key}"
            )


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_a_fused_step_is_the_steps_of_the_single_parameters(kind, monkeypatch):
    monkeypatch.setattr(optim.blocks, "BLOCK", 16)  # several blocks, the last one shorter
    fused, plain = pair(kind)
    train(*fused, 5)
    train(*plain, 5)
    assert all(p._flat.complete() for p in fused[0].parameters())
    assert_same(fused, plain)


@pytest.mark.parametrize("fused", [True, False])
def test_the_plain_loop_and_the_fast_forms_are_equal_bit_for_bit(fused, monkeypatch):
    monkeypatch.setattr(optim.blocks, "BLOCK", 16)  # several blocks, the last one shorter
    fast, plain = make_model(), make_model()
    settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6}
    optimizer, twin = optim.AdamW(groups(fast), **settings, fused=fused), PlainAdamW(groups(plain), **settings)
    for _ in range(5):
        train(fast, optimizer, 1)
        train(plain, twin, 1)
        for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
            np.testing.assert_array_equal(p.array, q.array)
            for name in ("exp_avg", "exp_avg_sq"):
                np.testing.assert_array_equal(optimizer.state[p][name].array, twin.state[q][name])
    assert all((p._flat is not None) is fused for p in fast.parameters())


def test_one_update_serves_a_whole_group(monkeypatch):
    (model, optimizer), _ = pair()
    sizes = []
    update = type(optimizer).update
    monkeypatch.setattr(
        type(optimizer), "update", staticmethod(lambda p, *rest, **kw: (sizes.append(p.size), update(p, *rest, **kw)))
    )
    train(model, optimizer, 1)
    assert sizes == [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]


def test_a_parameter_without_gradient_is_left_alone():
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 2)
        train(model, optimizer, 2, frozen=["0.weight", "1.bias"])
        train(model, optimizer, 2)  # the steps differ from now on
    assert fused[1].state[fused[0][0].weight]["step"].item() == 4
    assert_same(fused, plain)


def test_an_array_that_was_exchanged_is_updated_all_the_same():
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 2)
        model[2].weight.data = model[2].weight.data * 2
        train(model, optimizer, 2)
    assert_same(fused, plain)


def test_a_gradient_of_the_users_own_is_taken():
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 1)
        model[0].bias.grad = tt.ones(7)
        optimizer.step()
    assert_same(fused, plain)


def test_state_is_saved_and_restored_across_both_kinds():
    fused, plain = pair()
    train(*fused, 3)
    train(*plain, 3)
    crossed = fused[1].state_dict(), plain[1].state_dict()
    plain[1].load_state_dict(crossed[0])
    fused[1].load_state_dict(crossed[1])
    train(*fused, 3)
    train(*plain, 3)
    assert_same(fused, plain)


@pytest.mark.parametrize("name", ["exp_avg_sq", "step"])
def test_a_state_that_was_exchanged_in_part_is_taken(name):
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 3)
        for p in model.parameters():
            optimizer.state[p][name] = optimizer.state[p][name] * 2
        train(model, optimizer, 2)
    assert_same(fused, plain)


def test_gradients_accumulate_and_are_forgotten():
    p = nn.Parameter(tt.tensor([1.0, 2.0]))
    flat = Flat([p, nn.Parameter(tt.zeros(3))])
    (p * 3).sum().backward()
    (p * 4).sum().backward()
    assert p.grad.array is flat.gradients[0]
    np.testing.assert_array_equal(flat.grad, [7, 7, 0, 0, 0])
    p.grad = None
    (p * 2).sum().backward()
    np.testing.assert_array_equal(flat.grad, [2, 2, 0, 0, 0])


def test_clipping_scales_the_vector():
    p, q = nn.Parameter(tt.ones(1)), nn.Parameter(tt.ones(1))
    flat = Flat([p, q])
    (3 * p.sum() + 4 * q.sum()).backward()
    norm = nn.utils.clip_grad_norm_([p, q], 1.0)
    assert norm.item() == pytest.approx(5)
    np.testing.assert_allclose(flat.grad, [0.6, 0.8], rtol=1e-6)


def test_a_write_is_dated_for_its_own_parameter():
    p, q = nn.Parameter(tt.ones(2)), nn.Parameter(tt.ones(2))
    Flat([p, q])
    first, second = (p * p).sum(), (q * q).sum()
    with tt.no_grad():
        p.mul_(2)
    second.backward()
    with pytest.raises(RuntimeError, match="inplace"):
        first.backward()


def test_a_copy_of_the_model_is_on_its_own():
    model, optimizer = pair()[0]
    twin = copy.deepcopy(model)
    train(model, optimizer, 1)
    assert all(p._flat is None for p in twin.parameters())
    assert not any(np.shares_memory(p.array, q.array) for p, q in zip(model.parameters(), twin.parameters()))


def test_gradients_come_as_one_vector_only_where_all_are_there():
    p, q, r = (nn.Parameter(tt.ones(n)) for n in (2, 3, 4))
    flat = Flat([p, q])
    (p.sum() + q.sum() + r.sum()).backward()
    assert [g.size for g in gradients([p, q, r])] == [5, 4]
    assert gradients([r, q, p])[1] is flat.grad
    assert [g.size for g in gradients([p, r])] == [2, 4]
    q.grad = None
    assert [g.size for g in gradients([p, q, r])] == [2, 4]


def test_what_does_not_fit_stays_apart():
    p, q = nn.Parameter(tt.ones(2)), nn.Parameter(tt.ones(2, dtype=tt.float64))
    optimizer = optim.AdamW([p, q], fused=True)
    (p.sum() + q.sum()).backward()
    optimizer.step()
    assert p._flat is None
    assert p.grad is not None


def test_sharing_data_with_gradients_of_its_own():
    p, q = nn.Parameter(tt.tensor([1.0, 2.0])), nn.Parameter(tt.zeros(2))
    flat = Flat([p])
    twin = Flat([q], like=flat)
    (q * q).sum().backward()
    assert q.array is p.array
    assert twin.data is flat.data
    np.testing.assert_array_equal(twin.grad, [2, 4])
    np.testing.assert_array_equal(flat.grad, [0, 0])


def test_twins_share_the_parameters_of_a_flat_and_have_gradients_of_their_own():
    (model, _), (copy_, _) = pair()
    parameters, twins = list(model.parameters()), list(copy_.parameters())
    share_parameters(parameters, twins)
    assert all(twin.array is p.array for p, twin in zip(parameters, twins, strict=True))
    before = [twin._flat for twin in twins]
    share_parameters(parameters, twins)  # shared already: nothing is made anew
    assert all(twin._flat is flat is not None for twin, flat in zip(twins, before, strict=True))
    copy_(tt.ones(1, 5)).sum().backward()
    assert [g.size for g in gradients(twins)] == [p._flat.data.size for p in (parameters[0], parameters[1])]
    assert gradients(parameters) == []


def test_twins_share_parameters_that_are_in_no_flat():
    p, q = nn.Parameter(tt.ones(2)), nn.Parameter(tt.zeros(2))
    share_parameters([p], [q])
    (q * 3).sum().backward()
    assert q.array is p.array and p.grad is None and q.grad.tolist() == [3, 3]


def test_a_linear_layer_writes_its_gradient_where_it_is_kept():
    layer = nn.Linear(3, 2)
    flat = Flat(list(layer.parameters()))
    x = tt.ones(4, 3)
    layer(x).sum().backward()
    first = flat.grad.copy()
    layer(x).sum().backward()  # adds up
    np.testing.assert_array_equal(flat.grad, 2 * first)
    layer.zero_grad()
    layer(layer(x)[:, :1] * x).sum().backward()  # both uses in one graph add up
    assert layer.weight.grad.array is flat.gradients[0]
    np.testing.assert_allclose(flat.gradients[0], alone(layer, x), rtol=1e-6)


def alone(layer, x):
    """The same gradient of copies of the parameters that are in no Flat."""
    w, b = (p.detach().clone().requires_grad_() for p in (layer.weight, layer.bias))
    linear = nn.functional.linear
    linear(linear(x, w, b)[:, :1] * x, w, b).sum().backward()
    return w.grad.array


def test_a_gradient_on_request_is_not_left_in_the_buffer():
    p = nn.Parameter(tt.ones(2, 3))
    flat = Flat([p])
    (g,) = tt.autograd.grad(nn.functional.linear(tt.ones(4, 3), p).sum(), [p])
    np.testing.assert_array_equal(g.array, np.full((2, 3), 4))
    assert p.grad is None
    assert not np.shares_memory(g.array, flat.grad)
    np.testing.assert_array_equal(flat.grad, np.zeros(6))


def test_the_tape_offers_the_place_and_linear_takes_it(monkeypatch):
    layer = nn.Linear(3, 2)
    flat = Flat(list(layer.parameters()))
    kept, offered = LINEAR.backward, []

    def backward(dy, *saved, needs, out):
        offered.append(out)
        gradients = kept(dy, *saved, needs=needs, out=out)
        assert gradients[1] is out[1] or out[1] is None
        return gradients

    monkeypatch.setattr(LINEAR, "backward", backward)
    x = tt.ones(4, 3)
    layer(layer(x)[:, :1] * x).sum().backward()
    assert [out[1] is flat.gradients[0] for out in offered] == [True, False]  # the first use played
    layer(x).sum().backward()
    assert offered[-1] == (None, None, None)  # there is a gradient to add to


def test_a_second_gradient_is_added_where_the_first_was_left(monkeypatch):
    layer, x = nn.Linear(3, 3, bias=False), tt.ones(4, 3)
    flat, kept, written = Flat(list(layer.parameters())), np.add, []
    monkeypatch.setattr(np, "add", lambda a, b, out=None: written.append(out) or kept(a, b, out))
    layer(layer(x)).sum().backward()
    assert written[-1] is flat.gradients[0]
    assert layer.weight.grad.array is flat.gradients[0]


def test_a_model_that_was_moved_has_gradients_of_its_new_kind():
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 2)
        model.double()
        x = tt.ones(4, 5, dtype=tt.float64)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        assert all(p.grad.dtype == p.dtype == tt.float64 for p in model.parameters())
    assert_same(fused, plain)


def test_a_second_optimizer_takes_the_parameters_over():
    fused, plain = pair()
    for model, optimizer in (fused, plain):
        train(model, optimizer, 2)
        second = optim.AdamW(model.parameters(), lr=0.02, fused=optimizer.defaults["fused"])
        train(model, second, 2)
        train(model, optimizer, 2)
    (flat,) = {p._flat for p in fused[0].parameters()}
    assert flat.complete()
    assert len(flat.parameters) == 6
    assert_same(fused, plain)


def test_the_moments_stay_where_they_are():
    (model, optimizer), _ = pair()
    train(model, optimizer, 1)
    before = {(p, key): state[key] for p, state in optimizer.state.items() for key in state}
    train(model, optimizer, 2)
    assert all(optimizer.state[p][key] is kept for (p, key), kept in before.items())


def test_a_step_without_any_gradient_changes_nothing():
    (model, optimizer), _ = pair()
    values = [p.array.copy() for p in model.parameters()]
    optimizer.step()
    for p, value in zip(model.parameters(), values, strict=True):
        np.testing.assert_array_equal(p.array, value)


def test_a_parameter_of_another_size_has_a_gradient_of_that_size():
    p, q = nn.Parameter(tt.ones(2)), nn.Parameter(tt.ones(3))
    Flat([p, q])
    p.data = tt.ones(5)
    (p.sum() + q.sum()).backward()
    assert p.grad.shape == (5,)


def test_a_forward_that_asks_is_told_whether_to_save(monkeypatch):
    told, kept = [], GELU_TANH.forward

    def forward(x, *, save):
        told.append(save)
        y, saved = kept(x, save=save)
        assert (saved[0] is None) is not save
        return y, saved

    monkeypatch.setattr(GELU_TANH, "forward", forward)
    x, w = tt.ones(3), tt.ones(3, requires_grad=True)
    gelu = nn.GELU(approximate="tanh")
    gelu(x), gelu(w)
    with tt.no_grad():
        gelu(w)
    assert told == [False, True, False]


def test_a_weight_of_one_dimension_has_its_gradient():
    w, x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True), tt.tensor([[1.0, 0.0, 2.0], [0.0, 5.0, 1.0]])
    y = nn.functional.linear(x, w)
    (y * tt.tensor([1.0, 10.0])).sum().backward()
    assert y.tolist() == [7, 13]
    assert w.grad.tolist() == [1, 50, 12]


def test_the_plain_adamw_has_the_defaults_of_adamw() -> None:
    plain, fast = (inspect.signature(cls).parameters for cls in (PlainAdamW, optim.AdamW))
    for name, parameter in plain.items():
        assert parameter.default == fast[name].default
    p = nn.Parameter(tt.ones(2))
    defaults = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}
    assert PlainAdamW([p]).param_groups[0] == {"params": [p], **defaults}
    group = PlainAdamW([p], lr=0.5, betas=(0.1, 0.2), eps=0.3, weight_decay=0.4).param_groups[0]
    assert group == {"params": [p], "lr": 0.5, "betas": (0.1, 0.2), "eps": 0.3, "weight_decay": 0.4}


def test_fused_optimizers_have_no_masters_unless_asked() -> None:
    for cls in (optim.Adam, optim.AdamW):
        assert inspect.signature(cls).parameters["master_weights"].default is False
        assert cls([nn.Parameter(tt.ones(1))]).master_weights is False


def test_twins_of_another_number_are_refused() -> None:
    model = make_model()
    with pytest.raises(ValueError, match="zip"):
        share_parameters(list(model.parameters()), list(copy.deepcopy(model).parameters())[1:])


HOLD = [
    lambda p: p.grad,
    lambda p: p.grad.detach(),
    lambda p: p.grad[0],
    lambda p: p.grad.numpy(),
    lambda p: p.grad.view(-1)[1:],
    lambda p: {"g": p.grad.t()},
]


@pytest.mark.parametrize("hold", HOLD)
@pytest.mark.parametrize("forget", [lambda p: setattr(p, "grad", None), lambda p: tt.optim.SGD([p], 0.1).zero_grad()])
def test_a_gradient_that_somebody_holds_keeps_its_values(hold: Any, forget: Any) -> None:
    """The next gradient lies elsewhere, as in PyTorch; the one after that is in the buffer again."""
    p, q = (nn.Parameter(tt.ones(2, 3)) for _ in range(2))
    flat = Flat([p, q])
    ((p * 2).sum() + q.sum()).backward()
    held, before = hold(p), str(hold(p))
    forget(p)
    ((p * 5) @ p.detach().T).sum().backward()
    assert str(held) == before
    assert p.grad.tolist() == [[10] * 3] * 2 and not flat.complete()
    del held
    forget(p)
    (p * 3).sum().backward()
    assert p.grad.array is flat.gradients[0] and flat.complete()


def test_steps_are_those_of_the_plain_optimizer_while_gradients_are_held() -> None:
    held, found = [], []
    for fused in (False, True):
        tt.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = tt.optim.AdamW(layer.parameters(), lr=0.1, fused=fused)
        for i in range(4):
            layer(tt.ones(1, 3) * (i - 1.5)).pow(2).sum().backward()
            held.append((layer.weight.grad, layer.weight.grad.tolist()))
            optimizer.step()
            optimizer.zero_grad()
        found.append([p.tolist() for p in layer.parameters()])
    assert found[0] == found[1]
    assert all(gradient.tolist() == values for gradient, values in held)
