"""Module: what is a parameter, what update, freeze, load and the rest do to it."""

import copy
import gc
import pickle

import numpy as np
import pytest

import legato.core as mx
from legato import nn
from legato import optimizers as optim
from legato.utils import tree_flatten


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = mx.zeros((2,))
        self._hidden = mx.ones((1,))
        self.size = 5

    def __call__(self, x):
        return x * self.w


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [Part(), Part()]
        self.named = {"a": Part(), "n": 3}
        self.pair = (Part(),)
        self.linear = nn.Linear(2, 3)
        self.z = mx.zeros((1,))
        self.mixed = [mx.zeros((1,)), 3]
        self.nothing = None


def names(tree):
    return [path for path, _ in tree_flatten(tree)]


ALL = ["parts.0.w", "parts.1.w", "named.a.w", "linear.weight", "linear.bias", "z", "mixed.0"]


# -- attributes -----------------------------------------------------------------------------


def test_arrays_modules_and_containers_live_in_the_dict_others_do_not():
    model = Model()
    assert list(model) == ["parts", "named", "pair", "linear", "z", "mixed"]
    assert model.nothing is None
    assert model.parts[0].size == 5
    assert model.state is model


def test_an_attribute_may_change_its_kind():
    part = Part()
    part.w = 3
    assert part.w == 3
    assert "w" not in part
    part.w = mx.ones((1,))
    assert part.w.tolist() == [1.0]
    assert "w" in part


def test_attributes_can_be_deleted():
    model = Model()
    del model.z
    del model.nothing
    for name in ("z", "nothing"):
        with pytest.raises(AttributeError, match=f"'Model' object has no attribute '{name}'"):
            getattr(model, name)
    with pytest.raises(AttributeError):
        del model.z


@pytest.mark.parametrize("name", ["values", "update", "shared"])
def test_a_name_that_the_class_would_hide_is_refused(name):
    class WithAttribute(nn.Module):
        shared = 1

    with pytest.raises(AttributeError, match=f"class attribute or method '{name}', which would"):
        setattr(WithAttribute(), name, mx.zeros((1,)))


def test_attributes_may_be_set_before_the_base_class_is_initialized():
    class Early(nn.Module):
        def __init__(self):
            self.w = mx.zeros((1,))
            super().__init__()

    assert Early().training
    assert names(Early().parameters()) == ["w"]


def test_modules_copy_and_pickle():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm(3)).eval()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not twin.training
        assert twin.layers[1]._no_grad == {"running_mean", "running_var"}
        assert twin.layers[0] is not model.layers[0]
        np.testing.assert_array_equal(twin.layers[0].weight, model.layers[0].weight)


# -- walking --------------------------------------------------------------------------------


def test_parameters_are_searched_in_lists_dicts_and_modules_but_not_in_tuples():
    assert names(Model().parameters()) == ALL
    assert names(Model().trainable_parameters()) == ALL


def test_children_leaf_modules_and_named_modules():
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(1, 2)), nn.Tanh())
    is_module = nn.Module.is_module
    assert [p for p, _ in tree_flatten(model.children(), is_leaf=is_module)] == [
        "layers.0",
        "layers.1",
    ]
    assert [p for p, _ in tree_flatten(model.leaf_modules(), is_leaf=is_module)] == [
        "layers.0.layers.0",
        "layers.0.layers.1",
        "layers.1",
    ]
    paths = [p for p, _ in model.named_modules()]
    assert paths == ["", "layers.1", "layers.0", "layers.0.layers.1", "layers.0.layers.0"]
    assert len(model.modules()) == 5
    seen = []
    assert model.apply_to_modules(lambda p, m: seen.append(p)) is model
    assert seen == paths


def test_filter_and_map_calls_the_filter_with_paths_within_the_module():
    keys = []
    model = Model()
    sizes = model.filter_and_map(
        lambda m, k, v: keys.append(k) or nn.Module.valid_parameter_filter(m, k, v),
        lambda x: x.size,
    )
    assert sizes["mixed"] == [1, {}]
    assert sizes["named"] == {"a": {"w": 2}, "n": {}}
    assert {"parts.0", "named.n", "mixed.1", "weight"} <= set(keys)


def test_filter_and_map_says_what_it_can_not_search():
    with pytest.raises(RuntimeError, match="'w' of Part is of type array"):
        Part().filter_and_map(lambda m, k, v: True, is_leaf_fn=lambda m, k, v: False)


def test_repr_lists_children_by_flat_paths():
    assert repr(nn.Sequential(nn.Sequential(nn.ReLU()), nn.Linear(1, 2))) == (
        "Sequential(\n"
        "  (layers.0): Sequential(\n"
        "    (layers.0): ReLU()\n"
        "  )\n"
        "  (layers.1): Linear(input_dims=1, output_dims=2, bias=True)\n"
        ")"
    )


# -- update ---------------------------------------------------------------------------------


def test_update_takes_a_part_of_the_tree():
    model = Model()
    assert model.update({"parts": [{}, {"w": mx.ones((2,))}], "mixed": [mx.ones((1,))]}) is model
    assert model.parts[1].w.tolist() == [1.0, 1.0]
    assert model.parts[0].w.tolist() == [0.0, 0.0]
    assert model.mixed[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"linear": {"nope": mx.zeros((1,))}}, "parameter named \"nope\" of 'linear'"),
        ({"size": mx.zeros((1,))}, 'parameter named "size"'),
        ({"linear": 3}, "received invalid type int for 'linear', which is a Linear"),
        ({"z": {"x": mx.zeros((1,))}}, r"'z' is a parameter of shape \(1,\).*invalid type dict"),
        ({"linear": {"weight": "text"}}, "'linear.weight'.*invalid type str"),
        ({"parts": [{}, {}, {"w": mx.zeros((1,))}]}, "list index 2 of 'parts' is out of bounds"),
        ([mx.zeros((1,))], "received invalid type list"),
    ],
)
def test_update_with_what_the_model_lacks_is_an_error_and_changes_nothing(tree, message):
    model = Model()
    if isinstance(tree, dict):
        tree = {"parts": [{"w": mx.ones((2,))}], **tree}
    with pytest.raises(ValueError, match=message):
        model.update(tree)
    if "parts" not in tree or len(tree["parts"]) == 1:
        assert model.parts[0].w.tolist() == [0.0, 0.0]


def test_update_may_ignore_what_the_model_lacks():
    model = Model()
    extra = {"nope": mx.zeros((1,)), "linear": {"x": 1}, "parts": [{}, {}, {}], "z": mx.ones((1,))}
    model.update(extra, strict=False)
    assert model.z.tolist() == [1.0]
    assert "nope" not in model


def test_update_with_partly_frozen_lists():
    model = Model().freeze(keys=["mixed.0"])
    assert model.trainable_parameters()["mixed"] == [{}, {}]
    model.update(model.trainable_parameters())


def test_apply_and_set_dtype():
    model = Part()
    model.count = mx.zeros((1,), mx.int32)
    model.apply(lambda x: x + 1)
    assert model.w.tolist() == [1.0, 1.0]
    model.set_dtype(mx.float16)
    assert (model.w.dtype, model.count.dtype) == (mx.float16, mx.int32)
    model.set_dtype(mx.float32, None)
    assert (model.w.dtype, model.count.dtype) == (mx.float32, mx.float32)


def test_update_modules():
    model = Model()
    new = {"linear": nn.ReLU(), "parts": [{}, nn.Tanh()], "named": {"a": nn.GELU()}}
    assert model.update_modules(new) is model
    kinds = [type(m) for m in (model.linear, *model.parts, model.named["a"])]
    assert kinds == [nn.ReLU, Part, nn.Tanh, nn.GELU]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"nope": nn.ReLU()}, 'sub-module named "nope"'),
        ({"named": {"n": nn.ReLU()}}, "invalid type ReLU for 'named.n', which is a int"),
        ({"parts": [{}, {}, nn.ReLU()]}, "list index 2 of 'parts'"),
        ({"parts": 3}, "invalid type int for 'parts'"),
    ],
)
def test_update_modules_with_what_the_model_lacks(tree, message):
    with pytest.raises(ValueError, match=message):
        Model().update_modules(tree)
    Model().update_modules(tree, strict=False)


# -- freezing and modes ---------------------------------------------------------------------


def test_freeze_and_unfreeze_all():
    model = Model()
    assert names(model.freeze().trainable_parameters()) == []
    assert names(model.parameters()) == ALL
    assert names(model.unfreeze().trainable_parameters()) == ALL


def test_freeze_this_module_only():
    model = Model().freeze(recurse=False)
    assert names(model.trainable_parameters()) == ALL[:5]


def test_freeze_by_key():
    model = Model().freeze(keys="w")
    assert names(model.trainable_parameters()) == ALL[3:]
    model.freeze().unfreeze(keys=["bias"])
    assert names(model.trainable_parameters()) == ["linear.bias"]
    assert names(Model().freeze(keys="linear", recurse=False).trainable_parameters()) == [
        *ALL[:3],
        *ALL[5:],
    ]


def test_freeze_strictly_needs_a_key_that_some_module_has():
    model = Model()
    model.freeze(keys="bias", strict=True)
    for change in (model.freeze, model.unfreeze):
        with pytest.raises(KeyError, match="doesn't contain member nope"):
            change(keys=["bias", "nope"], strict=True)
        with pytest.raises(KeyError, match="doesn't contain member bias"):
            change(keys="bias", strict=True, recurse=False)


def test_running_averages_stay_frozen():
    model = nn.Sequential(nn.BatchNorm(2)).freeze().unfreeze()
    assert names(model.trainable_parameters()) == ["layers.0.weight", "layers.0.bias"]


def test_train_and_eval():
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    assert model.training
    assert not model.eval().layers[1].training
    assert model.train().layers[1].training
    with pytest.raises(AttributeError):
        model.training = False


# -- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_weights_survive_a_file(tmp_path, ending, kind):
    model = Model()
    file = kind(tmp_path / f"weights{ending}")
    model.save_weights(file)
    other = Model()
    assert other.load_weights(file) is other
    for (path, a), (_, b) in zip(
        tree_flatten(model.parameters()), tree_flatten(other.parameters()), strict=True
    ):
        np.testing.assert_array_equal(np.array(a), np.array(b), err_msg=path)


def test_saving_under_an_unknown_ending(tmp_path):
    with pytest.raises(ValueError, match=r"Use '.npz' or '.safetensors'"):
        Model().save_weights(tmp_path / "weights.txt")


def test_loading_strictly():
    model = nn.Linear(2, 3)
    weight, bias = mx.ones((3, 2)), mx.ones((3,))
    model.load_weights([("weight", weight), ("bias", bias)])
    for pairs, message in [
        ([("weight", weight)], "Missing 1 parameters: bias"),
        ([("weight", weight), ("bias", bias), ("x", bias)], "1 parameters not in model: x"),
        ([("weight", bias), ("bias", bias)], r"shape \(3, 2\) but received shape \(3,\).*weight"),
        ([("weight", weight), ("bias", 3)], "Expected an array for parameter bias.*int"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.load_weights(pairs)


def test_loading_loosely_takes_what_fits():
    model = nn.Linear(2, 3)
    model.load_weights({"weight": mx.ones((3, 2)), "x": mx.ones((1,))}, strict=False)
    assert model.weight.sum().item() == 6.0
    with pytest.raises(ValueError, match="Expected an array"):
        model.load_weights([("bias", 3)], strict=False)


# -- value_and_grad, checkpoint -------------------------------------------------------------


def test_value_and_grad_gives_gradients_of_trainable_parameters():
    model = nn.Linear(2, 1)
    weight = model.weight
    f = nn.value_and_grad(model, lambda x, scale=1.0: (scale * model(x)).sum())
    loss, grads = f(mx.array([[1.0, 2.0]]), scale=2.0)
    np.testing.assert_allclose(loss.item(), 2 * model(mx.array([[1.0, 2.0]])).item(), rtol=1e-6)
    assert grads["weight"].tolist() == [[2.0, 4.0]]
    assert grads["bias"].tolist() == [2.0]
    assert model.weight is weight
    model.freeze(keys="weight")
    assert set(f(mx.array([[1.0, 2.0]]))[1]) == {"bias"}


def test_value_and_grad_passes_further_results_on():
    model = nn.Linear(2, 1)
    (_, extra), _ = nn.value_and_grad(model, lambda x: (model(x).sum(), {"n": 3}))(mx.ones((1, 2)))
    assert extra == {"n": 3}


def test_a_failing_loss_leaves_the_model_as_it_was():
    model = nn.Linear(2, 1)
    weight = model.weight
    with pytest.raises(ZeroDivisionError):
        nn.value_and_grad(model, lambda: 1 / 0)()
    assert model.weight is weight


def test_checkpoint_gives_the_same_gradients():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = mx.random.normal((5, 3))
    expected = nn.value_and_grad(model, lambda x: model(x).sum())(x)
    first = nn.utils.checkpoint(model.layers[0])
    again = nn.utils.checkpoint(model, lambda x: model.layers[2](model.layers[1](first(x))))
    found = nn.value_and_grad(model, lambda x: again(x).sum())(x)
    for (path, a), (_, b) in zip(tree_flatten(expected), tree_flatten(found), strict=True):
        np.testing.assert_allclose(np.array(b), np.array(a), rtol=1e-5, atol=1e-6, err_msg=path)


# -- several processes ----------------------------------------------------------------------


class FakeDistributed:
    """Two processes with the same arrays."""

    def __init__(self):
        self.messages = []

    def init(self):
        return self

    def size(self):
        return 2

    def all_sum(self, x, *, group=None, stream=None):
        self.messages.append((x.size, x.dtype))
        return x + 2 * x


@pytest.fixture
def distributed(monkeypatch):
    fake = FakeDistributed()
    monkeypatch.setattr(mx, "distributed", fake, raising=False)
    return fake


@pytest.mark.parametrize(("size", "messages"), [(0, 4), (16, 3), (1 << 20, 2)])
def test_average_gradients_joins_small_arrays_of_one_dtype(distributed, size, messages):
    gradients = {
        "a": mx.ones((2, 2)),
        "b": [mx.ones((3,), mx.float16), mx.array(2.0)],
        "c": mx.ones((1,)),
    }
    averages = nn.average_gradients(gradients, all_reduce_size=size)
    assert len(distributed.messages) == messages
    assert averages["a"].tolist() == [[1.5, 1.5], [1.5, 1.5]]
    assert averages["b"][0].dtype == mx.float16
    assert averages["b"][1].item() == 3.0
    assert averages["b"][1].shape == ()


def test_clip_grad_norm_sharded_uses_the_norm_of_all_parts(distributed):
    clipped, norm = nn.utils.clip_grad_norm_sharded({"a": mx.array([3.0, 4.0])}, 1.0)
    np.testing.assert_allclose(norm.item(), np.sqrt(75), rtol=1e-6)
    np.testing.assert_allclose(clipped["a"], np.array([3, 4]) / np.sqrt(75), rtol=1e-5)


def test_a_training_step_leaves_nothing_to_the_garbage_collector():
    # What it leaves are arrays: a step's parameters and gradients, kept until Python gets to it.
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = optim.Adam(learning_rate=1e-3)
    x, y = mx.ones((5, 3)), mx.zeros((5, 2))
    loss = nn.value_and_grad(model, lambda m: nn.losses.mse_loss(m(x), y))

    def step():
        value, gradients = loss(model)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value)
        model.update_modules(model.children())
        tree_flatten(model.parameters())

    step()
    gc.collect()
    gc.disable()
    try:
        before = mx.get_active_memory()
        for _ in range(3):
            step()
        assert mx.get_active_memory() == before
        assert gc.collect() == 0
    finally:
        gc.enable()
