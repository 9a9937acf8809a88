"""Live injection agrees with strain that went through the whitening layer."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.signal import welch

from gwres.layers.inject import respond, white
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.simulate.detectors import delays, patterns
from gwres.simulate.population import population
from gwres.simulate.waveforms import REFERENCE_MPC, bank_frequencies, place
from gwres.strain import WHITENED_RATE, WHITENED_SAMPLES
from tests.binaries import record
from tests.contract import close

SEGMENT = population("g2net").segment
START = SEGMENT.start
HZ = bank_frequencies(SEGMENT).astype(np.float32)
COUNT = 24


@pytest.fixture(scope="module")
def binaries(bank):
    """The bank's binaries, each somewhere in the sky, as `record` takes them."""
    powers = np.load(bank / "power.npy")
    extrinsic = place(population("g2net"), powers, np.random.default_rng(7))
    rows = pd.read_parquet(bank / "parameters.parquet").assign(**extrinsic)
    return rows.to_dict("records")


@pytest.fixture(scope="module")
def raw(binaries, curve):
    """Their strain through the whitening layer's function, (24, 2048, 3)."""
    strain = np.stack([record(binary)[0] for binary in binaries])
    return np.asarray(whiten(strain, gain(curve, FREQUENCIES)))


def bank_gains(curve):
    return gain(np.stack([np.interp(HZ, FREQUENCIES, row) for row in curve]), HZ)


@pytest.fixture(scope="module")
def arguments(bank, binaries, curve):
    """What `respond` is called with for the same binaries."""
    table = pd.DataFrame(binaries)
    sky = table["ra"].to_numpy(), table["dec"].to_numpy()
    nearer = REFERENCE_MPC / table["luminosity_distance"].to_numpy()
    response = patterns(*sky, table["psi"].to_numpy()) * nearer[:, None, None]
    arrival = table["merger_time"].to_numpy()[:, None] + delays(*sky)
    arrival = arrival - SEGMENT.nominal_s
    spectra = np.load(bank / "spectra.npy")
    return {
        "spectra": spectra.view(np.float32).reshape(*spectra.shape, 2),
        "patterns": response.astype(np.float32),
        "arrival": arrival.astype(np.float32),
        "gains": bank_gains(curve),
        "frequencies": HZ,
        "start": START,
        "samples": WHITENED_SAMPLES,
    }


def agree(live, raw):
    """Assert a match above 0.99 and norms within 2%, in each window as a whole."""
    live, raw = (np.asarray(windows).reshape(COUNT, -1) for windows in (live, raw))
    norms = np.linalg.norm(live, axis=1), np.linalg.norm(raw, axis=1)
    match = (live * raw).sum(axis=1) / (norms[0] * norms[1])
    assert match.min() > 0.99, f"match {match.min():.4f}"
    close(norms[0] / norms[1], np.ones(COUNT), rtol=0.02)


def test_live_injection_is_the_raw_path(arguments, raw):
    agree(respond(**arguments), raw)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("arrival", lambda x: x + np.float32(0.6 / WHITENED_RATE)),
        ("arrival", lambda x: x[:, [1, 0, 2]]),
        ("arrival", lambda x: -x),
        ("patterns", lambda x: x[..., ::-1]),
        ("patterns", lambda x: x * np.array([1, -1], np.float32)),
        ("patterns", lambda x: x * np.float32(1.05)),
        ("spectra", lambda x: x * np.array([1, -1], np.float32)),
        ("gains", lambda x: x[[2, 0, 1]]),
        ("start", lambda x: x + 1),
    ],
    ids=[
        "0.6 samples late",
        "H1-L1",
        "time reversed",
        "plus-cross",
        "cross sign",
        "5% louder",
        "conjugate",
        "curves",
        "start",
    ],
)
def test_other_injection_is_seen(arguments, raw, name, wrong):
    with pytest.raises(AssertionError):
        agree(respond(**arguments | {name: wrong(arguments[name])}), raw)


def test_respond_is_the_same_in_a_graph(arguments):
    graph = tf.function(lambda **tensors: respond(**tensors, **fixed))
    fixed = {k: arguments[k] for k in ("gains", "frequencies", "start", "samples")}
    tensors = {k: tf.constant(v) for k, v in arguments.items() if k not in fixed}
    close(graph(**tensors), respond(**arguments), rtol=1e-5)


@pytest.fixture(scope="module")
def live_noise():
    normals = np.random.default_rng(8).standard_normal((100, 3, len(HZ), 2), np.float32)
    band = gain(np.ones_like(HZ), HZ) * np.sqrt(WHITENED_RATE / 2)
    return np.asarray(white(normals, band, HZ, START, WHITENED_SAMPLES))


def spectrum(windows):
    """Frequencies and PSD times rate/2, where nothing is faded."""
    frequencies, power = welch(
        windows[:, 128:-128], WHITENED_RATE, nperseg=512, axis=1, detrend=False
    )
    return frequencies, power.mean(axis=(0, 2)) * WHITENED_RATE / 2


def test_live_noise_has_the_spectrum_of_whitened_noise(live_noise, windows, curve):
    frequencies, live = spectrum(live_noise)
    raw = spectrum(np.asarray(whiten(windows[:100], gain(curve, FREQUENCIES))))[1]
    # The curve's lines are sharper than the whitening of two seconds can follow.
    same = (frequencies > 42) & (frequencies < 505)
    parts = [part.mean() for part in np.array_split((live / raw)[same], 8)]
    close(parts, np.ones(8), rtol=0.05)
    assert live[frequencies < 16].max() < 0.01
    white_band = live[(frequencies > 28) & (frequencies < 505)]
    close(white_band, np.ones(len(white_band)), rtol=0.2)
    assert white_band.mean() == pytest.approx(1, abs=0.01)


def test_live_noise_is_independent_not_periodic_and_of_unit_variance(live_noise):
    inside = live_noise[:, 128:-128]
    band = gain(np.ones_like(HZ), HZ) ** 2 * WHITENED_RATE / 2
    expected = band.sum() / (3 * WHITENED_RATE / 2)  # of the segment's bins
    assert inside.var() == pytest.approx(expected, rel=0.01)
    between = np.corrcoef(inside.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(between).max() < 0.01
    assert np.abs(np.corrcoef(inside[:20, :, 0]) - np.eye(20)).max() < 0.15
    # A window as long as its segment would come round to where it began.
    normals = np.random.default_rng(9).standard_normal((50, 3, len(HZ), 2), np.float32)
    whole = np.asarray(white(normals, np.ones_like(HZ), HZ, 0, 3 * WHITENED_RATE))
    one, two = whole[:, 200:400], whole[:, 200 + 2 * WHITENED_RATE :][:, :200]
    assert np.abs((one * two).mean()) < 0.02


def test_norm_of_a_live_signal_is_its_snr(arguments, binaries):
    found = np.linalg.norm(respond(**arguments), axis=(1, 2))
    snrs = np.array([record(binary)[1]["network_snr"] for binary in binaries])
    ratio = found / snrs
    # The lightest lose a little before the window's start, none gains.
    assert ratio.max() < 1.005 and ratio.min() > 0.95
    assert np.median(ratio) == pytest.approx(0.993, abs=0.005)
