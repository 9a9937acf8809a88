"""Whitening: against its description written out in float64, and against physics."""

import keras
import numpy as np
import pytest
from scipy.signal import welch
from scipy.signal.windows import tukey

from gwres.errors import InputError
from gwres.layers import whiten as module
from gwres.layers.whiten import (
    FREQUENCIES,
    Whiten,
    fade,
    fit_asd,
    gain,
    refined,
    whiten,
)
from gwres.strain import DETECTORS, SCALE
from tests.binaries import HEAVY, LIGHT, record
from tests.conftest import UNSEEN
from tests.contract import check_layer, close

INSIDE = slice(128, -128)  # samples of a whitened window that `fade` leaves alone


@pytest.fixture
def layer(fitted):
    made = Whiten()
    made.fit(fitted)
    return made


def reference(strain, asd, pad="odd", taper=True, late=0, louder=1.0, faded=True):
    """Whitened strain (3, 2048), in float64, by other means than the layer's.

    The keywords make it wrong.
    """
    if pad == "zero":
        long = np.pad(strain / SCALE, ((0, 0), (2048, 2048)))
    else:
        how = {"mode": "reflect", "reflect_type": pad}
        long = np.pad(strain / SCALE, ((0, 0), (2048, 2048)), **how)
    if taper:
        long *= tukey(8192, 4096 / 8191)
    frequencies = np.fft.rfftfreq(8192, 1 / 2048)
    known = np.full((3, len(frequencies)), np.inf)
    known[:, : asd.shape[1]] = asd
    rise = np.interp(frequencies, [20, 25], [0, np.pi / 2])
    band = np.where(frequencies < 512, np.sin(rise) ** 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(band > 0, louder * np.sqrt(2 / 1024) * band / known, 0)
    series = np.fft.irfft(np.fft.rfft(long) * gains)
    # Nothing is left above 512 Hz, so every second sample says all.
    series = np.roll(series, 2 * late, axis=-1)[:, 2048:-2048:2]
    if faded:
        ends = np.zeros(2048)
        ends[32:-32] = tukey(1984, 2 * 96 / 1983)
        series = series * ends
    return series.T


def whitened(strain, asd):
    """`whiten` of one window."""
    return np.asarray(whiten(strain[None], gain(asd, FREQUENCIES)))[0]


def test_whitening_is_the_reference(windows, fitted):
    for window in windows[:5]:
        close(whitened(window, fitted), reference(window, fitted), rtol=1e-4)
    loud = 30 * record(HEAVY)[0]
    close(whitened(loud, fitted), reference(loud, fitted), rtol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pad": "even"},
        {"pad": "zero"},
        {"taper": False},
        {"late": 1},
        {"louder": 1.001},
        {"faded": False},
    ],
    ids=lambda wrong: "{}={}".format(*next(iter(wrong.items()))),
)
def test_other_whitening_is_seen(windows, fitted, wrong):
    with pytest.raises(AssertionError):
        expected = reference(windows[0], fitted, **wrong)
        close(whitened(windows[0], fitted), expected, rtol=1e-4)


def test_float32_loses_nothing(windows, fitted):
    """Strain squared underflows float32; strain given in float32 must not."""
    close(
        whitened(windows[0].astype(np.float32), fitted),
        whitened(windows[0], fitted),
        rtol=1e-4,
    )


def spectrum(series):
    """PSD times rate/2 in eight bands from 30 to 500 Hz, (3, 8); white noise has 1."""
    frequencies, power = welch(
        series[:, INSIDE], 1024, nperseg=512, axis=1, detrend=False
    )
    edges = np.geomspace(30, 500, 9)
    band = np.digitize(frequencies, edges)
    mean = power.mean(axis=0) * 512
    return np.stack([mean[band == n].mean(axis=0) for n in range(1, 9)], axis=1)


def test_whitened_noise_is_white(windows, fitted):
    """On windows that the ASD was not fitted on."""
    unseen = windows[UNSEEN:]
    found = np.asarray(whiten(unseen, gain(fitted, FREQUENCIES)))
    close(spectrum(found), np.ones((3, 8)), rtol=0.06)
    band = gain(np.ones(2049), FREQUENCIES) ** 2 * 512
    variance = found[:, INSIDE].var(axis=(0, 1))
    close(variance, np.full(3, band[:-1].mean()), rtol=0.02)
    assert 0.94 < band.mean() < 0.97
    assert np.abs(found[:, INSIDE].mean(axis=(0, 1))).max() < 0.01


def test_noise_whitened_with_another_curve_is_not_white(windows, fitted):
    wrong = fitted[[2, 1, 0]], fitted * 1.05
    for asd in wrong:
        found = np.asarray(whiten(windows[UNSEEN:], gain(asd, FREQUENCIES)))
        with pytest.raises(AssertionError):
            close(spectrum(found), np.ones((3, 8)), rtol=0.06)


@pytest.mark.parametrize("binary", [HEAVY, LIGHT], ids=["heavy", "light"])
def test_norm_of_a_whitened_signal_is_its_optimal_snr(binary, curve):
    strain, truth = record(binary)
    expected = [truth[f"snr_{name}"] for name in DETECTORS]
    # The light one is longer than the window and loses 4% of its SNR with its start.
    rtol = 0.01 if binary is HEAVY else 0.05
    close(np.linalg.norm(whitened(strain, curve), axis=0), expected, rtol)
    for wrong in curve * 1.04, curve[[2, 0, 1]]:
        with pytest.raises(AssertionError):
            close(np.linalg.norm(whitened(strain, wrong), axis=0), expected, rtol)


def test_fitted_asd_is_the_curve(fitted, curve):
    """To 4% in any bin of 1 Hz, off the curve's lines, which 1 Hz smears."""
    inside = (FREQUENCIES > 25) & (FREQUENCIES < 500)
    ratio = fitted[2, inside] / curve[2, inside]
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.percentile(np.abs(ratio - 1), 90) < 0.05
    assert fitted.dtype == np.float64 and fitted.shape == (3, 2049)


def test_fitting_leaves_missing_detectors_out(windows, fitted):
    """With V1 missing from half the windows its PSD is that of the others."""
    half = windows[:20].copy()
    half[::2, 2] = 0
    close(fit_asd(half)[2], fit_asd(windows[1:20:2])[2], rtol=1e-12)
    with pytest.raises(InputError, match="V1; received none"):
        fit_asd(half[::2])
    with pytest.raises(InputError, match="H1; received none"):
        fit_asd([])


def test_a_missing_detector_stays_zero_and_leaves_the_others(windows, fitted):
    alone = windows[0].copy()
    alone[2] = 0
    found, whole = whitened(alone, fitted), whitened(windows[0], fitted)
    assert not found[:, 2].any()
    np.testing.assert_array_equal(found[:, :2], whole[:, :2])


def test_whitening_is_linear(windows, fitted):
    signal, _ = record(HEAVY)
    both = whitened(windows[0] + signal, fitted)
    close(both, whitened(windows[0], fitted) + whitened(signal, fitted), rtol=1e-4)


def test_ends_fade():
    weights = fade(2048)
    assert weights.shape == (2048, 1) and weights.dtype == np.float32
    np.testing.assert_array_equal(weights, weights[::-1])
    assert not weights[: module.SILENT].any()
    assert (weights[INSIDE] == 1).all()
    assert (np.diff(weights[:1024, 0]) >= 0).all()


def test_gain_is_nothing_outside_the_band():
    gains = gain(np.ones(2049), FREQUENCIES)
    assert not gains[FREQUENCIES <= 20].any() and gains[-1] == 0
    inside = (FREQUENCIES >= 25) & (FREQUENCIES < 512)
    np.testing.assert_allclose(gains[inside], np.sqrt(2 / 1024), rtol=1e-6)
    # A curve that is zero below its cut must not make infinities.
    assert np.isfinite(gain(np.where(FREQUENCIES < 15, 0.0, 1.0), FREQUENCIES)).all()


def test_layer_contract(layer, windows, tmp_path):
    check_layer(layer, windows[:2].astype(np.float32), tmp_path)


def test_the_layer_is_the_function(layer, windows, fitted):
    close(np.asarray(layer(windows[:1]))[0], whitened(windows[0], fitted), rtol=1e-5)


def test_saving_keeps_the_asd(layer, fitted, tmp_path):
    model = keras.Sequential([keras.Input((3, 4096)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert loaded.fitted
    np.testing.assert_array_equal(loaded.asd, fitted.astype(np.float32))
    assert not loaded.trainable_weights and len(loaded.non_trainable_weights) == 1


def test_unfitted_raises(windows):
    with pytest.raises(ValueError, match="call fit with noise windows"):
        Whiten()(windows[:1])
    model = keras.Sequential([keras.Input((3, 4096)), Whiten()])
    with pytest.raises(ValueError, match="call fit with noise windows"):
        model(windows[:1])


def test_a_config_without_the_weights_whitens_to_nan(layer, windows):
    """As `clone_model` makes it: it must not pass numbers that look like strain."""
    copy = Whiten.from_config(layer.get_config())
    assert np.isnan(copy(windows[:1])).all()


@pytest.mark.parametrize("shape", [(4096, 3), (2, 4096), (3, 2048), (4096,)])
def test_another_shape_is_refused(fitted, shape):
    layer = Whiten(fitted=True)
    with pytest.raises(ValueError, match=r"expected strain of shape \(3, 4096\)"):
        layer(np.zeros((1, *shape), np.float32))


def test_another_asd_is_refused(fitted):
    with pytest.raises(ValueError, match="shape"):
        Whiten().fit(fitted[:2])


def test_half_precision_elsewhere_leaves_whitening_alone(layer, windows, fitted):
    expected = np.asarray(layer(windows[:1]))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        other = Whiten()
        other.fit(fitted)
        found = np.asarray(other(windows[:1]))
    finally:
        keras.config.set_dtype_policy(policy)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def at_each_hz(asd):
    """An ASD at `FREQUENCIES` as a caller would give it, (1, 3, 513)."""
    return asd[None, :, ::4] * SCALE


def test_a_given_asd_takes_the_place_of_the_fitted_one(layer, windows, fitted):
    """The fitted ASD, given, whitens as it does by itself; twice it gives half."""
    own = np.asarray(layer(windows[:3].astype(np.float32)))
    for factor in (1, 2):
        known = np.repeat(factor * at_each_hz(fitted), 3, axis=0)
        given = np.asarray(layer(windows[:3].astype(np.float32), asd=known))
        # Between two Hz it is interpolated, over which the fit knows no more.
        close(factor * given, own, rtol=0.01)
    known[1] *= 3
    mixed = np.asarray(layer(windows[:3].astype(np.float32), asd=known))
    close(mixed[[0, 2]], given[[0, 2]], rtol=1e-5)
    close(3 * mixed[1], given[1], rtol=1e-4)


def test_an_asd_is_interpolated_in_logarithms():
    known = np.exp(np.linspace(0, 5, 513))[None, None].repeat(3, axis=1) * SCALE
    found = np.asarray(refined(known))
    assert found.shape == (1, 3, 2049)
    close(found[0, 0], np.exp(np.linspace(0, 5, 2049)), rtol=1e-4)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_missing_detector_needs_no_asd(layer, windows, fitted, value):
    strain, known = windows[:1].astype(np.float32), at_each_hz(fitted)
    strain[0, 1], known[0, 1] = 0, value
    white = np.asarray(layer(strain, asd=known))
    assert np.isfinite(white).all() and not white[0, :, 1].any()
