"""Optimizers and clipping, number by number beside PyTorch's."""

from __future__ import annotations

import inspect
import tracemalloc

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.optim import SGD, Adam, AdamW, blocks

torch = pytest.importorskip("torch")

SETTINGS = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD decay": ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    "SGD maximize": ("SGD", {"lr": 0.1, "maximize": True, "weight_decay": 0.3}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    "SGD nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "SGD all": ("SGD", {"lr": 0.1, "momentum": 0.5, "nesterov": True, "maximize": True}),
    "Adam": ("Adam", {}),
    "Adam decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
    "AdamW": ("AdamW", {}),
    "AdamW no decay": ("AdamW", {"weight_decay": 0.0, "fused": True}),
    "AdamW decay": ("AdamW", {"lr": 0.02, "betas": (0.9, 0.95), "eps": 1e-4, "weight_decay": 0.5}),
}
SETTINGS |= {
    "RMSprop": ("RMSprop", {}),
    "RMSprop momentum": ("RMSprop", {"lr": 0.03, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.2, "momentum": 0.7}),
    "Adagrad": ("Adagrad", {}),
    "Adagrad decay": (
        "Adagrad",
        {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
}
SHAPES = [(40, 7), (11,), (), (3, 2, 5)]


def starts(dtype="float64", seed=0):
    """Values of the parameters."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def parameters(lib, dtype="float64"):
    """The same parameters in both libraries, each with memory of its own."""
    return [lib.nn.Parameter(lib.tensor(x)) for x in starts(dtype)]


def train(lib, params, opt, steps, scheduler=None, first=0):
    """Descend on gradients made of the step and the parameters; one is absent at times."""
    for step in range(first, first + steps):
        opt.zero_grad()
        for i, (p, noise) in enumerate(zip(params, starts(seed=step + 1), strict=True)):
            if i != 1 or step % 3:
                noise = noise.astype(str(p.dtype).split(".")[1])
                p.grad = lib.tensor(noise) + p.detach() * 0.5
        opt.step()
        if scheduler is not None:
            scheduler.step()


def assert_same(ours, theirs, rtol):
    for p, q in zip(ours, theirs, strict=True):
        q = q.detach().numpy()
        assert p.detach().numpy().dtype == q.dtype
        np.testing.assert_allclose(p.detach().numpy(), q, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("case", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("block", [1 << 16, 8])
def test_20_steps(case, dtype, rtol, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    name, settings = case
    sides = []
    for lib in (tt, torch):
        params = parameters(lib, dtype)
        opt = getattr(lib.optim, name)(params, **settings)
        train(lib, params, opt, 20)
        sides.append((params, opt.state_dict()["state"]))
    (ours, state), (theirs, expected) = sides
    assert_same(ours, theirs, rtol)
    assert state.keys() == expected.keys()
    for i in state:
        assert state[i].keys() == expected[i].keys()
        assert_same(state[i].values(), expected[i].values(), rtol)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_float32_stays_and_memory_stays(name):
    p = tt.nn.Parameter(tt.ones(5))
    array, p.grad = p.array, tt.ones(5)
    opt = getattr(tt.optim, name)([p], lr=np.float64(0.1), weight_decay=np.float64(0.1))
    opt.param_groups[0]["lr"] = np.float64(0.2)  # what a schedule written with NumPy sets
    opt.step()
    assert p.array is array and array.dtype == np.float32 and p.grad.tolist() == [1] * 5
    assert all(x.dtype is tt.float32 for x in opt.state[p].values())


def test_a_backward_after_the_step_is_refused():
    for lib in (tt, torch):
        p = lib.nn.Parameter(lib.ones(2))
        loss = (p * p).sum()
        p.grad = lib.ones(2)
        lib.optim.SGD([p], lr=0.1).step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_a_transposed_parameter_is_updated():
    for name in ("SGD", "AdamW"):
        p = tt.nn.Parameter(tt.ones(300, 300).T)
        q = tt.nn.Parameter(tt.ones(300, 300))
        p.grad, q.grad = tt.rand(300, 300), None
        q.grad = p.grad.T.contiguous().T
        for x in (p, q):
            getattr(tt.optim, name)([x], lr=0.1).step()
        assert tt.equal(p, q) and p.max() < 1


def groups(lib, params, **first):
    return [
        {"params": params[:2], "lr": 0.5, **first},
        {"params": iter(params[2:]), "weight_decay": 0.25},
    ]


def test_parameter_groups_and_their_state_dict():
    sides = []
    for lib in (tt, torch):
        params = parameters(lib)
        opt = lib.optim.AdamW(groups(lib, params), lr=0.01, betas=(0.9, 0.99))
        train(lib, params, opt, 3)
        sides.append((params, opt.state_dict()))
    assert_same(sides[0][0], sides[1][0], 1e-12)
    ours, theirs = (state["param_groups"] for _, state in sides)
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.items() <= expected.items()
    opt = SGD([tt.nn.Parameter(tt.ones(1))], lr=0.1)
    opt.add_param_group({"params": tt.nn.Parameter(tt.ones(1)), "lr": 0.2, "name": "second"})
    assert [g["lr"] for g in opt.param_groups] == [0.1, 0.2] and opt.param_groups[1]["name"] == "second"


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_state_dict_round_trip(name):
    settings = {"lr": 0.05, **({"momentum": 0.9} if name == "SGD" else {})}
    straight = parameters(tt)
    train(tt, straight, getattr(tt.optim, name)(straight, **settings), 6)
    params = parameters(tt)
    opt = getattr(tt.optim, name)(params, **settings)
    train(tt, params, opt, 3)
    state = opt.state_dict()
    fresh = getattr(tt.optim, name)(params, lr=9.0)
    fresh.load_state_dict(state)
    train(tt, params, fresh, 3, first=3)
    for p, q in zip(params, straight, strict=True):
        assert tt.equal(p, q)
    for i, entries in state["state"].items():
        for key, value in entries.items():
            assert value is not fresh.state[params[i]][key], "loading copies"


def test_continues_where_pytorch_stopped():
    theirs = parameters(torch)
    their_opt = torch.optim.AdamW(groups(torch, theirs), lr=0.01)
    train(torch, theirs, their_opt, 5)
    saved = their_opt.state_dict()
    entries = {i: {k: tt.tensor(v.numpy()) for k, v in s.items()} for i, s in saved["state"].items()}
    ours = [tt.nn.Parameter(tt.tensor(p.detach().numpy())) for p in theirs]
    opt = AdamW(groups(tt, ours))
    opt.load_state_dict({"state": entries, "param_groups": saved["param_groups"]})
    train(torch, theirs, their_opt, 5, first=5)
    train(tt, ours, opt, 5, first=5)
    assert_same(ours, theirs, 1e-12)


def test_loaded_state_takes_the_dtype_of_its_parameter():
    p, q = tt.nn.Parameter(tt.ones(2, dtype=tt.float64)), tt.nn.Parameter(tt.ones(2))
    opt, single = AdamW([p]), AdamW([q])
    p.grad, q.grad = tt.ones(2, dtype=tt.float64), tt.ones(2)
    opt.step()
    single.load_state_dict(opt.state_dict())
    single.step()
    assert single.state[q]["exp_avg"].dtype is tt.float32 and single.state[q]["step"].item() == 2
    opt.load_state_dict(single.state_dict())
    assert opt.state[p]["exp_avg"].dtype is tt.float64 and opt.state[p]["step"].dtype is tt.float32


def test_loaded_state_that_is_no_tensor_is_copied():
    p = tt.nn.Parameter(tt.ones(1))
    opt, history = SGD([p]), [[1]]
    opt.load_state_dict({**opt.state_dict(), "state": {0: {"history": history}}})
    history[0][0] = 2
    assert opt.state[p] == {"history": [[1]]}


def test_errors_are_pytorchs():
    def calls(lib):
        optim, p = lib.optim, lib.nn.Parameter(lib.ones(2))
        two = [{"params": [p]}, {"params": [lib.nn.Parameter(lib.ones(1))]}]
        return [
            lambda: optim.SGD([], lr=0.1),
            lambda: optim.AdamW(iter([])),
            lambda: optim.SGD(p, lr=0.1),
            lambda: optim.SGD([p, 3], lr=0.1),
            lambda: optim.SGD([p * 2], lr=0.1),
            lambda: optim.SGD([{"params": {p}}], lr=0.1),
            lambda: optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1),
            lambda: optim.SGD([{"lr": 0.1}]),
            lambda: optim.SGD([p], lr=0.1).add_param_group([p]),
            lambda: optim.SGD([p], lr=-1),
            lambda: optim.SGD([p], lr=0.1, momentum=-1),
            lambda: optim.SGD([p], lr=0.1, nesterov=True),
            lambda: optim.Adam([p], lr=-1.0),
            lambda: optim.Adam([p], eps=-1),
            lambda: optim.AdamW([p], betas=(1.0, 0.9)),
            lambda: optim.AdamW([p], betas=(0.9, -0.1)),
            lambda: optim.AdamW([p], weight_decay=-0.1),
            lambda: optim.SGD([p]).load_state_dict(optim.SGD(two).state_dict()),
            lambda: optim.SGD([p]).load_state_dict(optim.SGD([p, two[1]["params"][0]]).state_dict()),
            lambda: optim.RMSprops,
        ]

    for i, (ours, theirs) in enumerate(zip(calls(tt), calls(torch), strict=True)):
        with pytest.raises(Exception) as expected:
            theirs()
        with pytest.raises(expected.type) as caught:
            ours()
        if i < 19 and i != 2:
            assert str(caught.value) == str(expected.value)


def test_where_the_words_are_not_pytorchs():
    p = tt.nn.Parameter(tt.ones(2))
    with pytest.raises(TypeError, match=r"^params argument .* iterable of Tensors or dicts, but got Parameter$"):
        SGD(p)


def test_defaults_and_limits_are_pytorchs():
    for name in ("SGD", "Adam", "AdamW"):
        ours = getattr(tt.optim, name)([tt.nn.Parameter(tt.ones(1))]).defaults
        assert ours.items() <= getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))]).defaults.items()
    p = tt.nn.Parameter(tt.ones(1))
    for settings in ({"eps": 0}, {"betas": (0.0, 0.0)}, {"lr": 0}, {"fused": True}):
        assert AdamW([p], **settings).param_groups[0].items() >= settings.items()


def test_what_is_outside_the_subset_says_so():
    p = tt.nn.Parameter(tt.ones(2))
    with pytest.raises(NotImplementedError, match=r"AdamW\(amsgrad=True\) is outside tinytensor's subset"):
        AdamW([p], amsgrad=True)
    saved = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], maximize=True).state_dict()
    with pytest.raises(NotImplementedError, match=r"Adam\(maximize=True\) is outside tinytensor's subset"):
        Adam([p]).load_state_dict(saved)
    with pytest.raises(AttributeError, match=r"LBFGS.*outside"):
        _ = tt.optim.LBFGS
    with pytest.warns(UserWarning, match="^optimizer contains a parameter group with duplicate parameters"):
        SGD([p, p], lr=0.1)
    assert "fused" in inspect.signature(AdamW).parameters  # nanoGPT asks


def test_capturable_is_for_gpus():
    for lib in (tt, torch):
        p = lib.nn.Parameter(lib.ones(2))
        p.grad = lib.ones(2)
        with pytest.raises(AssertionError, match="capturable=True"):
            lib.optim.AdamW([p], capturable=True).step()
        optimizer = lib.optim.AdamW([p], capturable=True, fused=True)
        p.grad = lib.ones(2)
        optimizer.step()
        assert optimizer.state[p]["step"].item() == 1


def test_a_learning_rate_may_be_a_tensor():
    sides = []
    for lib in (tt, torch):
        params = parameters(lib)
        rate = lib.tensor(0.1)
        opt = lib.optim.AdamW(groups(lib, params, weight_decay=0.1), lr=rate)
        scheduler = lib.optim.lr_scheduler.CosineAnnealingLR(opt, 8)
        train(lib, params, opt, 5, scheduler)
        assert opt.param_groups[1]["lr"] is rate
        sides.append(([*params, rate], scheduler.get_last_lr()))
        with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
            lib.optim.Adam(params, lr=lib.tensor([0.1, 0.2]))
    assert_same(sides[0][0], sides[1][0], 1e-6)
    assert [float(x) for x in sides[0][1]] == pytest.approx([float(x) for x in sides[1][1]])


@pytest.mark.parametrize("fused", [True, False])
def test_float16_weights_have_masters_in_float32(fused):
    """1e-4 is below a rounding of 1 in float16: without masters the weights would never move."""
    p, q = tt.nn.Parameter(tt.ones(3, dtype=tt.float16)), tt.nn.Parameter(tt.ones(3))
    masters = AdamW([p], lr=1e-4, fused=fused, master_weights=True)
    wide = AdamW([q], lr=1e-4, master_weights=True)
    for step in range(20):
        g = tt.tensor([1.0, -2.0, 0.25]) * (step + 1)
        p.grad, q.grad = g.half(), g
        masters.step()
        wide.step()
    assert p.dtype is tt.float16 and "master" not in wide.state[q]
    assert all(masters.state[p][key].dtype is tt.float32 for key in ("master", "exp_avg", "exp_avg_sq"))
    np.testing.assert_array_equal(masters.state[p]["master"].array, q.detach().array)
    np.testing.assert_array_equal(p.detach().array, q.detach().array.astype("float16"))
    assert (p.detach() != 1).all()


@pytest.mark.parametrize("fused", [True, False])
def test_a_weight_that_was_set_anew_is_the_master(fused):
    p = tt.nn.Parameter(tt.ones(3, dtype=tt.float16))
    opt = AdamW([p], lr=1e-4, weight_decay=0, fused=fused, master_weights=True)
    for value in (1.0, 2.0):
        p.grad = tt.ones(3, dtype=tt.float16)
        opt.step()
        np.testing.assert_allclose(opt.state[p]["master"].array, value - 1e-4, rtol=1e-6)
        with tt.no_grad():
            p.copy_(tt.full((3,), 2.0))


@pytest.mark.parametrize("fused", [True, False])
def test_masters_are_saved_and_loaded(fused):
    sides = []
    for stop in (False, True):
        p = tt.nn.Parameter(tt.ones(3, dtype=tt.float16))
        opt = AdamW([p], lr=1e-4, fused=fused, master_weights=True)
        for step in range(6):
            p.grad = tt.tensor([1.0, -2.0, 0.25]).half() * step
            opt.step()
            if stop and step == 2:
                saved = opt.state_dict()
                p = tt.nn.Parameter(p.detach().clone())
                opt = AdamW([p], lr=1e-4, fused=not fused, master_weights=True)
                opt.load_state_dict({**saved, "param_groups": opt.state_dict()["param_groups"]})
                assert opt.state[p]["exp_avg"].dtype is tt.float32
        sides.append({"p": p.detach(), **opt.state[p]})
    for key, value in sides[0].items():
        np.testing.assert_array_equal(value.array, sides[1][key].array, err_msg=key)


def test_step_runs_a_closure_with_gradients():
    p = tt.nn.Parameter(tt.ones(1))
    opt = SGD([p], lr=0.25)

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tt.no_grad():
        assert opt.step(closure).item() == 1
    assert p.item() == 0.5
    opt.zero_grad(set_to_none=False)
    assert p.grad.item() == 0
    opt.zero_grad()
    assert p.grad is None
    assert opt.step() is None


def test_a_step_allocates_nothing():
    size = 4 * blocks.BLOCK
    for name, settings in [s for s in SETTINGS.values() if s[0] in ("SGD", "Adam", "AdamW")]:
        p = tt.nn.Parameter(tt.ones(size))
        opt = getattr(tt.optim, name)([p], **settings)
        p.grad = tt.ones(size)
        opt.step()  # makes the state and the scratch arrays
        tracemalloc.start()
        opt.step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < blocks.BLOCK, (name, settings)
        assert all(x.dtype == np.float32 and x.size <= blocks.BLOCK for xs in opt._scratch.values() for x in xs)


def test_an_optimizer_of_ones_own_needs_no_settings():
    class Sign(tt.optim.Optimizer):
        def _settings(self, group):
            return {}

        def _update(self, p, g, state, settings):
            p -= np.sign(g)

    p = tt.nn.Parameter(tt.ones(2))
    opt = Sign([p], {})
    p.grad = tt.tensor([-3.0, 0.5])
    opt.step()
    assert p.tolist() == [2, 0]


def test_repr():
    text = repr(SGD([{"params": [tt.nn.Parameter(tt.ones(1))], "name": "only"}], lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n") and text.endswith(
        "\n)"
    )
    assert "params" not in text


def test_a_loaded_state_takes_the_dtype_of_its_parameter() -> None:
    states = []
    for dtype in (tt.float32, tt.float64):
        p = tt.nn.Parameter(tt.ones(2, dtype=dtype))
        opt = SGD([p], lr=0.1, momentum=0.9)
        p.grad = tt.ones(2, dtype=dtype)
        opt.step()
        states.append((opt, p))
    (single, _), (double, p) = states
    double.load_state_dict(single.state_dict())
    assert double.state[p]["momentum_buffer"].dtype is tt.float64


# -------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 3])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clip_grad_norm(norm_type, max_norm, dtype):
    sides = []
    for lib in (tt, torch):
        params = [*parameters(lib, dtype), lib.nn.Parameter(lib.ones(3))]
        for p, g in zip(params, starts(dtype, 1), strict=False):
            p.grad = lib.tensor(g)
        norm = lib.nn.utils.clip_grad_norm_(iter(params), max_norm, norm_type)
        sides.append(([p.grad for p in params[:-1]], norm))
    rtol = 1e-12 if dtype == "float64" else 1e-5
    assert_same(sides[0][0], sides[1][0], rtol)
    assert_same([sides[0][1]], [sides[1][1]], rtol)
    assert sides[0][1].shape == ()


def test_clip_grad_norm_corners():
    p = tt.nn.Parameter(tt.ones(2))
    assert tt.nn.utils.clip_grad_norm_(p, 1.0).item() == 0
    p.grad = tt.tensor([1.0, float("nan")])
    with pytest.raises(RuntimeError, match="non-finite"):
        tt.nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad[0].item() == 1
    assert tt.nn.utils.clip_grad_norm_(p, 1.0).isnan() and p.grad.isnan().all()


@pytest.mark.parametrize("times", [1.0, 1.0625, 1.9])
def test_gradients_within_the_limit_stay_as_they_are(times):
    p = tt.nn.Parameter(tt.ones(2))
    p.grad = tt.tensor([3.0, 4.0])
    p.grad.array.flags.writeable = times == 1  # nothing is written; at the limit itself the 1e-6 counts
    assert tt.nn.utils.clip_grad_norm_(p, 5 * times).item() == 5
    np.testing.assert_allclose(p.grad.tolist(), [3, 4], rtol=1e-6)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_norm_that_is_not_finite_is_named(value, norm_type):
    p = tt.nn.Parameter(tt.ones(2))
    p.grad = tt.tensor([1.0, value])
    with pytest.raises(RuntimeError) as caught:
        tt.nn.utils.clip_grad_norm_(p, 1.0, norm_type, error_if_nonfinite=True)
    assert str(caught.value) == (
        f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped."
        " To scale the gradients by it anyway, set `error_if_nonfinite=False`"
    )
    np.testing.assert_array_equal(p.grad.tolist(), [1.0, value])


def test_the_norm_of_float16_gradients_is_float32():
    p = tt.nn.Parameter(tt.zeros(3, dtype=tt.float16))
    p.grad = tt.full((3,), 60000.0, dtype=tt.float16)
    norm = tt.nn.utils.clip_grad_norm_([p], 1.0)
    assert norm.dtype is tt.float32 and norm.item() == pytest.approx(60000 * 3**0.5, rel=1e-3)
    np.testing.assert_allclose(p.grad.numpy(), 3**-0.5, rtol=1e-3)


def test_clip_grad_value():
    p = tt.nn.Parameter(tt.ones(3))
    p.grad = tt.tensor([-3.0, 0.5, 2.0])
    gradient = p.grad
    tt.nn.utils.clip_grad_value_([p], 1)
    assert p.grad is gradient and gradient.tolist() == [-1, 0.5, 1] and gradient.dtype is tt.float32


def test_adam_is_an_array_function():
    from tinytensor.optim.adam import adamw_update

    p, g = np.ones(4), np.full(4, 2.0)
    m, v, scratch = np.zeros(4), np.zeros(4), np.empty(4)
    adamw_update(p, g, m, v, scratch, step=1, lr=0.1, beta1=0.9, beta2=0.99, eps=0, weight_decay=0.5)
    np.testing.assert_allclose(p, 1 - 0.1 * 0.5 - 0.1, rtol=1e-12)
    np.testing.assert_allclose(m, 0.2, rtol=1e-12)
    assert Adam is not AdamW and issubclass(AdamW, Adam)


def test_what_a_subclass_has_to_define_says_so():
    p = tt.ones(1, requires_grad=True)
    p.grad = tt.ones(1)
    with pytest.raises(NotImplementedError):
        tt.optim.Optimizer([p], {}).step()
