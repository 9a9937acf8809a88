"""Raw strain in, one logit out."""

import keras
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.models.classifier import FRONTENDS, classifier, informed, network
from gwres.models.resnet import ResNet
from tests.binaries import HEAVY, record
from tests.contract import awake, close, fresh


@pytest.fixture(scope="module", params=FRONTENDS)
def inner(request, designed):
    return awake(network(ResNet(16, width=4), request.param, designed))


@pytest.fixture(scope="module")
def model(inner, fitted):
    return classifier(inner, fitted)


def logits(model, strain):
    return np.asarray(model(np.asarray(strain, np.float32)))


def test_the_classifier_is_whitening_and_the_network(model, inner, windows, fitted):
    """Training in whitened space and scoring raw strain agree."""
    by_hand = inner(whiten(windows[:4], gain(fitted, FREQUENCIES)))
    found = logits(model, windows[:4])
    assert found.shape == (4, 1) and found.dtype == np.float32
    close(found, np.asarray(by_hand), rtol=1e-4)
    with pytest.raises(AssertionError):
        raw = windows[:4, :, ::2].transpose(0, 2, 1) * 1e21
        close(found, np.asarray(inner(raw.astype(np.float32))), rtol=1e-4)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_network_for_mergers_in_a_whole_second(frontend, wide, windows, fitted):
    """It carries its grid, and hears a signal early in the window and late."""
    inner = awake(network(ResNet(16, width=4), frontend, wide))
    again = type(inner).from_config(inner.get_config())
    again.set_weights(inner.get_weights())
    model = classifier(again, fitted)
    quiet = windows[:1]
    found = logits(model, quiet)
    close(found, logits(classifier(inner, fitted), quiet), rtol=1e-5)
    for merger in (0.55, 1.0, 1.45):
        loud = HEAVY | {"merger_time": merger, "luminosity_distance": 300.0}
        heard = logits(model, quiet + record(loud)[0])
        assert np.isfinite(heard).all() and abs(heard - found) > 1e-3
        if frontend == "templates":
            assert heard > found + 5


def test_float64_strain_is_taken_as_it_is(model, windows):
    found = model.predict(windows[:2], verbose=0)
    close(found, logits(model, windows[:2]), rtol=1e-4)


def test_a_window_does_not_see_its_neighbours(model, windows):
    alone = np.concatenate([logits(model, windows[i : i + 1]) for i in range(3)])
    close(logits(model, windows[:3]), alone, rtol=1e-4)


def test_the_detectors_are_told_apart(model, windows):
    """Every detector counts, and which is which."""
    whole = logits(model, windows[:1])
    for detector in range(3):
        missing = windows[:1].copy()
        missing[:, detector] = 0
        found = logits(model, missing)
        assert np.isfinite(found).all() and found != whole
    assert logits(model, windows[:1, [0, 2, 1]]) != whole
    assert logits(model, windows[:1, [1, 0, 2]]) != whole


def test_names_and_shapes(model):
    assert model.input_shape == (None, 3, 4096)
    assert model.output_shape == (None, 1)
    assert model.name.startswith("resnet16_")


def test_unknown_front_end_is_refused():
    with pytest.raises(
        InputError, match="one of templates, waveform, spectrogram; received wavelet"
    ):
        network(ResNet(16), "wavelet")


def test_dropout_is_off_when_scoring(fitted, designed, windows):
    inner = network(ResNet(16, width=4, dropout=0.5), "waveform", designed)
    model = classifier(awake(inner), fitted)
    np.testing.assert_array_equal(
        logits(model, windows[:1]), logits(model, windows[:1])
    )
    strain = windows[:1].astype(np.float32)
    assert np.asarray(model(strain, training=True)) != logits(model, strain)


LOAD = """
import sys
from pathlib import Path
import keras
import numpy as np
import gwres.models.classifier

folder = Path(sys.argv[1])
model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
strain = np.load(folder / "strain.npy")
np.save(folder / "logits.npy", keras.ops.convert_to_numpy(model(strain)))
"""


def test_it_carries_its_whitening_to_another_process(
    fitted, designed, windows, tmp_path
):
    inner = awake(network(ResNet(16, width=4), "waveform", designed))
    model = classifier(inner, fitted)
    strain = windows[:2].astype(np.float32)
    np.save(tmp_path / "strain.npy", strain)
    model.save(tmp_path / "model.keras")
    fresh(LOAD, tmp_path)
    close(np.load(tmp_path / "logits.npy"), logits(model, strain), rtol=1e-5)


def test_a_faint_signal_changes_the_logit_as_its_whitened_form_does(
    model, inner, windows, fitted
):
    """What it adds, 1e-23 of 1e-20, is not lost on the way through float32."""
    faint, _ = record(HEAVY | {"luminosity_distance": 8000.0})
    gains = gain(fitted, FREQUENCIES)
    both = windows[:1] + faint, windows[:1]
    by_hand = [np.asarray(inner(whiten(strain, gains))) for strain in both]
    found = [logits(model, strain) for strain in both]
    assert by_hand[0] != by_hand[1]
    close(found[0] - found[1], by_hand[0] - by_hand[1], rtol=0.02)


def test_no_lambda_layers():
    """Safe mode would refuse them."""
    for frontend in FRONTENDS:
        for layer in network(ResNet(16, width=4), frontend).layers:
            assert not isinstance(layer, keras.layers.Lambda)


def test_who_knows_the_asd_may_give_it(model, inner, windows, fitted):
    """Over the same weights, for each window its own."""
    known = np.stack([fitted, 1.5 * fitted])[..., ::4] * 1e-21
    found = np.asarray(informed(model)([windows[:2].astype(np.float32), known]))
    by_hand = [
        inner(whiten(windows[i : i + 1], gain(factor * fitted, FREQUENCIES)))
        for i, factor in enumerate((1.0, 1.5))
    ]
    close(found, np.concatenate(by_hand), rtol=0.02)
    assert abs(found[1] - logits(model, windows[1:2])) > 1e-3


def test_a_saved_model_takes_an_asd_too(model, windows, fitted, tmp_path):
    model.save(tmp_path / "model.keras")
    again = informed(keras.models.load_model(tmp_path / "model.keras"))
    known = np.repeat(fitted[None, :, ::4], 2, axis=0) * 1e-21
    inputs = [windows[:2].astype(np.float32), known]
    close(np.asarray(again(inputs)), np.asarray(informed(model)(inputs)), rtol=1e-5)
