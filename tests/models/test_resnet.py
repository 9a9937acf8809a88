"""The table of depths, and the networks that are built from it."""

import keras
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.models import resnet
from gwres.models.classifier import FRONTENDS, classifier, network
from gwres.models.resnet import CONVOLUTIONS, DEPTHS, ResNet, trunk
from gwres.training.recipe import Recipe
from tests.contract import awake, check_layer, close, fresh

# Weights of the networks of their own width, without normalisation. A change of the
# architecture changes these: say so in CHANGELOG.md and pin them again.
PARAMETERS = {
    (16, "templates"): 334_745,
    (18, "templates"): 408_602,
    (34, "templates"): 566_898,
    (50, "templates"): 326_210,
    (101, "templates"): 401_843,
    (152, "templates"): 464_228,
    (16, "waveform"): 415_768,
    (18, "waveform"): 637_337,
    (34, "waveform"): 1_112_209,
    (50, "waveform"): 919_753,
    (101, "waveform"): 1_590_522,
    (152, "waveform"): 2_143_211,
    (16, "spectrogram"): 102_208,
    (18, "spectrogram"): 176_065,
    (34, "spectrogram"): 334_361,
    (50, "spectrogram"): 93_965,
    (101, "spectrogram"): 169_598,
    (152, "spectrogram"): 231_983,
}
CASES = [(depth, frontend) for frontend in FRONTENDS for depth in DEPTHS]
CONVOLUTION = (keras.layers.Conv1D, keras.layers.Conv2D)


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_is_two_and_the_convolutions_of_the_blocks(depth):
    block, stages = DEPTHS[depth]
    assert depth == 2 + CONVOLUTIONS[block] * sum(stages)


def longest(model, kinds):
    """Layers of some kinds on the path through a model that has most of them."""
    most = {}
    for operation in model.operations:  # sorted: what comes before is known
        before = [
            most[tensor._keras_history.operation]
            for node in operation._inbound_nodes
            for tensor in node.input_tensors
            if tensor._keras_history.operation in most
        ]
        most[operation] = max(before, default=0) + isinstance(operation, kinds)
    return max(most.values())


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_is_what_is_built(depth, dimensions):
    """The blocks and the head on the main path; the stem, counted once, is before."""
    features = keras.Input((16,) * dimensions + (4,))
    logit = trunk(features, ResNet(depth=depth, width=4), dimensions)
    model = keras.Model(features, logit)
    assert 1 + longest(model, (*CONVOLUTION, keras.layers.Dense)) == depth


def test_depth_is_counted_on_one_path():
    """Convolutions side by side count once."""
    x = keras.Input((8, 1))
    one = keras.layers.Conv1D(1, 1)
    two = keras.layers.Conv1D(1, 1)(one(x) * 2)
    both = keras.layers.Add()([two, keras.layers.Conv1D(1, 1)(x)])
    model = keras.Model(x, keras.layers.Dense(1)(both))
    assert longest(model, CONVOLUTION) == 2
    assert longest(model, keras.layers.Dense) == 1


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).standard_normal((2, 2048, 3)).astype(np.float32)


@pytest.mark.parametrize(("depth", "frontend"), CASES)
def test_every_network_has_its_pinned_size(depth, frontend):
    recipe = Recipe().vary({"depth": depth, "frontend": frontend}).sized()
    model = network(recipe.model, frontend)
    assert model.count_params() == PARAMETERS[depth, frontend]
    assert model.input_shape == (None, 2048, 3)
    assert model.output_shape == (None, 1)


LOAD = """
import sys
from pathlib import Path
import keras
import numpy as np
import gwres.models.classifier

folder = Path(sys.argv[1])
inputs = np.load(folder / "inputs.npy")
logits = {}
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path, safe_mode=True)
    logits[path.stem] = keras.ops.convert_to_numpy(model(inputs))
np.savez(folder / "logits.npz", **logits)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory, inputs, designed):
    """Name to logits of each small network, before saving and in a fresh process."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "inputs.npy", inputs)
    before = {}

    def save(name, config, frontend):
        model = awake(network(config, frontend, designed))
        before[name] = keras.ops.convert_to_numpy(model(inputs))
        model.save(folder / f"{name}.keras")

    for depth, frontend in CASES:
        save(f"{depth}-{frontend}", ResNet(depth=depth, width=4), frontend)
    for norm in resnet.NORMS:
        save(norm, ResNet(16, width=4, norm=norm, dropout=0.5), "waveform")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        save("bfloat16", ResNet(18, width=4), "waveform")
        save("bfloat16-2d", ResNet(16, width=4), "spectrogram")
    finally:
        keras.config.set_dtype_policy(policy)
    fresh(LOAD, folder)
    return before, np.load(folder / "logits.npz")


NAMES = [f"{depth}-{frontend}" for depth, frontend in CASES]
NAMES += [*resnet.NORMS, "bfloat16", "bfloat16-2d"]


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_finite_and_survive_saving(saved, name):
    before, after = saved[0][name], saved[1][name]
    assert before.shape == (2, 1) and before.dtype == np.float32
    assert np.isfinite(before).all()
    assert before[0] != before[1]
    assert after.dtype == np.float32
    close(after, before, rtol=1e-5)


def test_networks_differ(saved):
    """Comparing the logits of one network with another's would fail."""
    with pytest.raises(AssertionError):
        close(saved[1]["16-waveform"], saved[0]["18-waveform"], rtol=1e-5)


def test_a_network_starts_with_no_opinion(inputs, designed):
    """The head is zero: the first loss is log 2 and the first step no explosion."""
    for frontend in ("waveform", "spectrogram"):
        model = network(ResNet(16, width=4), frontend, designed)
        assert not np.asarray(model(inputs)).any()


def deviations(depth, frontend, inputs, designed=None):
    """Root mean square after each block of an untrained network."""
    keras.utils.set_random_seed(0)
    model = network(ResNet(depth=depth, width=16), frontend, designed)
    sums = [x.output for x in model.layers if isinstance(x, keras.layers.Add)]
    return np.array(
        [np.sqrt(np.mean(x**2)) for x in keras.Model(model.input, sums)(inputs)]
    )


def near_one(found):
    assert 0.35 < found.min() and found.max() < 2.0, found


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("depth", [16, 50, 152])
def test_variance_stays_near_one_without_normalisation(
    depth, frontend, inputs, designed
):
    """As the bookkeeping in `block` claims: no depth explodes or fades."""
    near_one(deviations(depth, frontend, inputs, designed))


def test_without_the_scale_of_the_blocks_it_does_not(inputs, designed, monkeypatch):
    monkeypatch.setattr(resnet, "Scale", lambda initial: keras.layers.Identity())
    with pytest.raises(AssertionError):
        near_one(deviations(50, "waveform", inputs, designed))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: resnet.Scale(0.2), (2, 8)),
    ],
    ids=["Scale"],
)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_layer_contract(layer, shape, dtype, tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        inputs = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        check_layer(layer(), inputs, tmp_path)
    finally:
        keras.config.set_dtype_policy(policy)


def test_h1_and_l1_share_their_stem(inputs):
    """One kernel for both LIGO detectors, another for Virgo."""
    model = network(ResNet(16, width=4), "spectrogram")
    uses = [
        len(layer._inbound_nodes)
        for layer in model.layers
        if isinstance(layer, CONVOLUTION)
    ]
    assert sorted(uses)[-2:] == [1, 2] and len(uses) > 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 35}, "depth must be one of 16, 18, 34, 50, 101, 152; received 35"),
        ({"norm": "layer"}, "norm must be one of none, batch, group; received layer"),
        ({"norm": "group", "width": 6}, "width must be a multiple of 4 .* received 6"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        ResNet(**wrong)
    with pytest.raises(TypeError):
        ResNet(detph=18)


def test_a_width_left_open_is_no_network():
    with pytest.raises(InputError, match="`Recipe.sized` sets it"):
        network(ResNet(16), "waveform")


def test_the_classifier_trains_a_step(fitted, designed):
    """Every weight but the PSD and the chirps gets a gradient."""
    inner = awake(network(ResNet(16, width=4), "waveform", designed))
    model = classifier(inner, fitted)
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    before = [np.array(weight) for weight in model.trainable_weights]
    strain = np.random.default_rng(4).normal(0, 7e-21, (2, 3, 4096))
    model.train_on_batch(strain.astype(np.float32), np.array([[0.0], [1.0]]))
    after = [np.array(weight) for weight in model.trainable_weights]
    assert all(np.isfinite(weight).all() for weight in after)
    assert all((one != other).any() for one, other in zip(after, before))
    np.testing.assert_array_equal(
        model.get_layer("whiten").asd, fitted.astype(np.float32)
    )
