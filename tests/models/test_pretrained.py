"""Shipped weights: whole, small, and of the network they are said to be of."""

import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.models import pretrained
from gwres.models.classifier import FRONTENDS, classifier, network
from gwres.models.pretrained import Card
from gwres.models.resnet import ResNet
from gwres.training.recipe import Recipe
from tests.contract import awake, close

SMALL = ResNet(16, width=2)


def card(frontend, config=SMALL):
    return Card(
        name=f"resnet16-{frontend}",
        network=asdict(config),
        population="g2net",
        windows=10,
        core_seconds=1.0,
        roc_auc=(0.8, 0.7, 0.9),
        evidence=0.88,
        judged="made up",
        command="mlflow run . -e train",
        turns=[],
    )


def spoil(path, damage):
    """Damage a file: flip a byte of it, cut it short, or take it away."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(held if damage == "flipped" else held[:-100])


@pytest.fixture(params=FRONTENDS)
def frontend(request):
    return request.param


@pytest.fixture
def inputs():
    return np.random.default_rng(0).standard_normal((4, 2048, 3)).astype(np.float32)


def test_weights_come_back_in_half_precision(frontend, designed, inputs, tmp_path):
    model = awake(network(SMALL, frontend, designed))
    pretrained.save(model, card(frontend), tmp_path)
    fresh = network(SMALL, frontend, designed)
    before = np.asarray(fresh(inputs))
    path = pretrained.find(f"resnet16-{frontend}", SMALL, tmp_path)
    pretrained.load(fresh, path)
    after, expected = np.asarray(fresh(inputs)), np.asarray(model(inputs))
    assert np.abs(after - expected).max() < 0.02
    assert np.abs(before - expected).max() > 0.02
    (written,) = pretrained.cards(tmp_path).values()
    assert written.population == "g2net" and written.digest


def test_what_is_fitted_is_not_shipped(designed, inputs, tmp_path):
    """PSD, templates and prior are made anew from the data, and stay."""
    model = network(SMALL, "waveform", designed)
    path = pretrained.save(model, card("waveform"), tmp_path)
    chirps = [np.asarray(x) for x in model.get_layer("chirps").variables]
    with np.load(path) as arrays:
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
        size = sum(array.size for array in arrays.values())
    assert size == model.count_params() - sum(x.size for x in chirps)
    pretrained.load(model, path)
    for before, after in zip(chirps, model.get_layer("chirps").variables):
        np.testing.assert_array_equal(before, np.asarray(after))


def test_running_statistics_are_shipped(designed, inputs, tmp_path):
    config = ResNet(16, width=4, norm="batch")
    model = awake(network(config, "spectrogram", designed))
    for variable in model.non_trainable_variables:
        variable.assign(keras.ops.ones_like(variable) * 1.5)
    path = pretrained.save(model, card("spectrogram", config), tmp_path)
    other = network(config, "spectrogram", designed)
    pretrained.load(other, path)
    close(np.asarray(other(inputs)), np.asarray(model(inputs)), rtol=0.02)


def test_weights_of_another_network_are_refused(designed, tmp_path):
    pretrained.save(network(SMALL, "waveform", designed), card("waveform"), tmp_path)
    with pytest.raises(InputError, match="weights of resnet16-waveform; received res"):
        pretrained.find("resnet18-waveform", ResNet(18, width=2), tmp_path)
    with pytest.raises(InputError, match="'width': 2.*received .*'width': 4"):
        pretrained.find("resnet16-waveform", ResNet(16, width=4), tmp_path)
    with pytest.raises(InputError, match="no network; received"):
        pretrained.find("resnet16-waveform", SMALL, tmp_path / "none")
    path = pretrained.find("resnet16-waveform", SMALL, tmp_path)
    with pytest.raises(InputError, match="does not fit"):
        pretrained.load(network(ResNet(16, width=4), "waveform", designed), path)
    # What only training uses may differ.
    pretrained.find("resnet16-waveform", ResNet(16, width=2, dropout=0.3), tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damaged_weights_are_refused(designed, tmp_path, damage):
    model = network(SMALL, "waveform", designed)
    path = pretrained.save(model, card("waveform"), tmp_path)
    spoil(path, damage)
    with pytest.raises(InputError, match="resnet16-waveform-.*.npz is not as it was"):
        pretrained.find("resnet16-waveform", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet16-waveform", [-1.9236234, -0.89188254, -1.1662191, -1.2457905]),
        ("resnet16-spectrogram", [-1.8228313, -0.8523661, -0.6918193, -0.3979416]),
    ],
)
def test_shipped_weights_say_what_they_always_said(name, expected, designed, inputs):
    """Whatever the populations that have come since they were trained on g2net.

    Weights that are trained further have new numbers here.
    """
    depth, frontend = name.removeprefix("resnet").split("-")
    recipe = Recipe().vary({"depth": depth, "frontend": frontend}).sized()
    model = network(recipe.model, frontend, designed)
    pretrained.load(model, pretrained.find(name, recipe.model))
    # Rounding, which differs between processors, decides between templates that cover
    # a population as well: that changes logits by some hundredths.
    np.testing.assert_allclose(np.asarray(model(inputs))[:, 0], expected, atol=0.05)


def test_shipped_weights_fit_their_networks(designed):
    """All together they are small enough for a package."""
    shipped = pretrained.cards()
    assert shipped
    for name, one in shipped.items():
        depth, frontend = name.removeprefix("resnet").split("-")
        recipe = Recipe().vary({"depth": depth, "frontend": frontend}).sized()
        path = pretrained.find(name, recipe.model)
        pretrained.load(network(recipe.model, frontend, designed), path)
        value, low, high = one.roc_auc
        assert 0.5 < low < value < high < 1 and one.name == name
        text = (pretrained.FOLDER / f"{name}.json").read_text()
        assert set(json.loads(text)) == {*asdict(one), "xxh3"}
    total = sum(path.stat().st_size for path in pretrained.FOLDER.iterdir())
    assert total < 30 * 2**20


@pytest.fixture
def kept(designed, curve, tmp_path):
    """A classifier that ships whole beside weights that do not, and its folder."""
    model = classifier(awake(network(SMALL, "spectrogram", designed)), curve)
    pretrained.save(model.layers[-1], card("spectrogram"), tmp_path)
    whole = replace(card("spectrogram"), name="detector", whole=True, noise="detector")
    return model, pretrained.save_whole(model, whole, tmp_path), tmp_path


def test_a_whole_classifier_comes_back(kept, windows):
    """With all that it is fitted to: it says the same of the same strain."""
    model, written, folder = kept
    path, found = pretrained.whole("detector", folder)
    assert path == written and path.suffix == ".keras"
    assert found.whole and found.noise == "detector" and found.digest[:8] in path.name
    strain = windows[:4].astype(np.float32)
    expected = np.asarray(model(strain))
    close(np.asarray(keras.models.load_model(path)(strain)), expected, rtol=1e-5)
    assert np.ptp(expected) > 1e-3
    # One that comes later takes its place, and no file is left over.
    again = replace(found, windows=11)
    model.layers[-1].get_layer("logit").set_weights(
        [1 + x for x in model.layers[-1].get_layer("logit").get_weights()]
    )
    later = pretrained.save_whole(model, again, folder)
    assert later != path and not path.exists()
    assert pretrained.whole("detector", folder)[0] == later
    assert len(list(folder.iterdir())) == 4


def test_whole_classifiers_and_weights_are_listed_apart(kept):
    *_, folder = kept
    assert list(pretrained.cards(folder)) == ["resnet16-spectrogram"]
    assert list(pretrained.cards(folder, whole=True)) == ["detector"]
    with pytest.raises(InputError, match="ship are detector; received resnet16-spec"):
        pretrained.whole("resnet16-spectrogram", folder)
    with pytest.raises(InputError, match="of resnet16-spectrogram; received detector"):
        pretrained.find("detector", SMALL, folder)
    with pytest.raises(InputError, match="ship are none; received detector"):
        pretrained.whole("detector", folder / "none")


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_whole_classifier_is_refused(kept, damage):
    _, path, folder = kept
    spoil(path, damage)
    with pytest.raises(InputError, match="detector-.*.keras is not as it was written"):
        pretrained.whole("detector", folder)
