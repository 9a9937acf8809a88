"""The spectrogram puts sound where it belongs, and noise at zero with unit variance."""

import numpy as np
import pytest

from gwres.layers.spectrogram import COLUMNS, RANGE, ROWS, Spectrogram, spectrogram
from gwres.strain import WHITENED_RATE, WHITENED_SAMPLES
from tests.contract import check_layer

CENTRES = np.geomspace(*RANGE, ROWS)
TIME = np.arange(WHITENED_SAMPLES) / WHITENED_RATE
INSIDE = slice(16, -16)  # columns that the ends of a sine that is cut off do not reach


def sines(*frequencies):
    """One window with a loud sine of each frequency in its detector."""
    return np.stack([20 * np.sin(2 * np.pi * f * TIME) for f in frequencies], axis=-1)


def picture(windows):
    return np.asarray(spectrogram(windows[None].astype(np.float32)))[0]


def nearest(frequency):
    """The row whose frequency is nearest, on the logarithmic scale."""
    return np.abs(np.log(CENTRES / frequency)).argmin()


@pytest.mark.parametrize("frequency", [25.0, 31.7, 50.0, 77.3, 120.0, 201.0, 389.0])
def test_a_sine_is_in_its_row(frequency):
    """To a row: a row is 4.6% in frequency, and lower ones are narrower and gain."""
    image = picture(sines(frequency, frequency, frequency))
    rows = image[:, INSIDE].mean(axis=1).argmax(axis=0)
    assert np.abs(rows - nearest(frequency)).max() <= 1


def test_a_sine_is_constant_in_time():
    image = picture(sines(40.0, 100.0, 300.0))
    for detector, frequency in enumerate((40.0, 100.0, 300.0)):
        row = image[nearest(frequency), INSIDE, detector]
        assert row.std() < 0.03 * row.mean()


def test_rows_and_detectors_do_not_mix():
    """Three frequencies in three detectors peak in three rows, and only there."""
    image = picture(sines(40.0, 100.0, 300.0))
    for detector, frequency in enumerate((40.0, 100.0, 300.0)):
        level = image[:, INSIDE, detector].mean(axis=1)
        far = np.abs(np.log(CENTRES / frequency)) > 0.6
        assert level[far].max() < 0.02 * level.max()


@pytest.mark.parametrize("moment", [0.4, 1.0, 1.7])
def test_a_burst_is_in_its_column(moment):
    """Time runs forwards: a 10 ms burst at 200 Hz is in its own 1/64 s, or beside."""
    burst = np.exp(-(((TIME - moment) / 0.01) ** 2)) * np.sin(2 * np.pi * 200 * TIME)
    image = picture(20 * np.stack([burst] * 3, axis=-1))
    column = image[nearest(200.0)].argmax(axis=0)
    assert np.abs(column - moment * 64).max() <= 1


def test_noise_has_zero_mean_and_unit_variance():
    noise = np.random.default_rng(0).standard_normal((30, WHITENED_SAMPLES, 3))
    image = np.asarray(spectrogram(noise.astype(np.float32)))
    assert image.shape == (30, ROWS, COLUMNS, 3)
    by_row = image.mean(axis=(0, 2, 3)), image.std(axis=(0, 2, 3))
    assert np.abs(by_row[0]).max() < 0.15
    assert 0.75 < by_row[1].min() and by_row[1].max() < 1.15
    louder = np.asarray(spectrogram(1.3 * noise.astype(np.float32)))
    assert louder.mean(axis=(0, 2, 3)).min() > 0.15


def test_zeros_are_finite():
    """A missing detector: no noise is 1.9 standard deviations below the mean."""
    image = picture(np.zeros((WHITENED_SAMPLES, 3)))
    np.testing.assert_allclose(image, image[0, 0, 0])
    assert image[0, 0, 0] == pytest.approx(-1.91, abs=0.01)


def test_layer_contract(tmp_path):
    windows = np.random.default_rng(1).standard_normal((2, WHITENED_SAMPLES, 3))
    check_layer(Spectrogram(), windows.astype(np.float32), tmp_path)
