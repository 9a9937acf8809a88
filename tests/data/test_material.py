"""Training data as plain arrays are those of live injection."""

import keras
import numpy as np
import pytest

from gwres.data.corpus import BANK_SEED, PSD_SEED, fitted_asd
from gwres.data.material import FILES, HELD, PLACES, Batches, open_material, prepare
from gwres.data.pipeline import Injection, recorded
from gwres.data.settings import Data, Live
from gwres.errors import InputError
from gwres.matched.design import grids
from gwres.simulate import waveforms
from gwres.simulate.population import population

SETTINGS = Live(batch=8, loud=2.0, ease=0.5, drop=0.0)


@pytest.fixture(scope="module")
def folder():
    return prepare("g2net", 48)


@pytest.fixture(scope="module")
def material(folder):
    return open_material(folder)


def test_a_batch_is_what_live_injection_makes_of_its_draws(material):
    batches = material.batches(SETTINGS, 3, 4)
    windows, labels = batches[1]
    spectra, response, arrival, normals, present = batches.draws(1)
    injection = Injection.through(material.asd, population("g2net").segment)
    noise = np.asarray(injection.noise(normals))
    signal = np.asarray(injection.signal(spectra, response, arrival))
    assert present.all()
    np.testing.assert_array_equal(labels[:, 0], [1] * 4 + [0] * 4)
    windows = keras.ops.convert_to_numpy(windows)
    np.testing.assert_allclose(windows[4:], noise, atol=1e-4)
    np.testing.assert_allclose(windows[:4], noise + signal, atol=1e-3)
    assert np.abs(signal).max() > 0.3


def test_places_are_the_populations(material):
    """Each waveform at many places, as loud as the population says."""
    powers = np.load(waveforms.bank(population("g2net"), 48, BANK_SEED) / "power.npy")
    response = np.array(material.arrays["response"]).reshape(-1, 3, 2)
    many = np.repeat(powers, PLACES, axis=0)
    snrs = waveforms.reach(many, response) / waveforms.REFERENCE_MPC
    assert 3.99 < snrs.min() < 4.05 and 20 < snrs.max() < 30.1
    assert np.median(snrs) == pytest.approx(6.1, abs=0.3)
    rng = np.random.default_rng(BANK_SEED)
    placed = waveforms.place(population("g2net"), many, rng)
    expected, _ = recorded(placed, population("g2net").segment)
    np.testing.assert_array_equal(response, expected)


def test_batches_depend_on_seed_and_step_alone(material):
    whole = material.batches(SETTINGS, 3, 4)
    late = material.batches(SETTINGS, 3, 4, first=2)
    assert len(whole) == 4 and len(late) == 2
    for one, again in zip(whole.draws(2), late.draws(2)):
        np.testing.assert_array_equal(one, again)
    windows = [keras.ops.convert_to_numpy(x) for x, _ in (whole[3], late[1])]
    np.testing.assert_array_equal(*windows)
    other = material.batches(SETTINGS, 4, 4)[3][0]
    assert np.abs(keras.ops.convert_to_numpy(other) - windows[0]).max() > 0.5
    dropped = material.batches(Live(batch=64, loud=1.0, drop=0.9), 3, 1)
    silent = ~keras.ops.convert_to_numpy(dropped[0][0]).any(axis=1)
    assert (silent[:32] == silent[32:]).all() and silent.any()
    assert not silent.all(axis=1).any()


@pytest.mark.usefixtures("serial")
def test_detectors_that_the_population_lacks_are_missing():
    material = open_material(prepare("field", 48))
    assert material.made.design.grid == grids(population("field"))["fine"]
    missing = ~material.arrays["response"].any(axis=3).reshape(-1, 3)
    np.testing.assert_allclose(
        missing.mean(axis=0), population("field").missing, atol=0.05
    )
    batches = material.batches(Live(batch=64, loud=1.0, drop=0.0), 3, 1)
    _, response, *_, present = batches.draws(0)
    np.testing.assert_array_equal(present > 0, response.any(axis=2))
    windows = keras.ops.convert_to_numpy(batches[0][0])
    silent = ~windows.any(axis=1)
    np.testing.assert_array_equal(silent[:32], present == 0)
    np.testing.assert_array_equal(silent[32:], present == 0)
    snrs = np.linalg.norm(windows[:32] - windows[32:], axis=(1, 2))
    assert 3 < np.median(snrs) < 6.5


def test_validation_has_waveforms_of_its_own(material):
    def used(held):
        steps = 20
        batches = Batches(material, Live(batch=64, loud=1.0), 3, steps, held=held)
        drawn = [batches.draws(step)[0] for step in range(steps)]
        return {waveform.tobytes() for waveform in np.concatenate(drawn)}

    assert len(used(True)) == int(HELD * 48) and len(used(False)) > 40
    assert not used(True) & used(False)


def test_the_noise_curve_is_the_corpus_one(material):
    np.testing.assert_array_equal(material.asd, fitted_asd(Data().psd_windows))
    assert PSD_SEED != BANK_SEED


def test_a_folder_that_is_not_whole_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        if file.name != "gains.npy":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="training material; no gains.npy"):
        open_material(tmp_path)
    assert "gains" in FILES
