"""The noise is G2Net's: its spectrum, stationary, Gaussian, cut out of a stream."""

import numpy as np
import pytest
from bilby.gw.detector import PowerSpectralDensity
from scipy.signal import csd, welch
from scipy.signal.windows import hann
from scipy.stats import kurtosis

from gwres.simulate.noise import asd, noise
from gwres.strain import DETECTORS, SAMPLE_RATE
from tests.binaries import CURVES
from tests.contract import close

COUNT = 600
SEGMENT = 2048  # of Welch's method: 1 s
# Edges in Hz, so wide that each band's mean over the windows is good to 0.7%.
BANDS = np.array([20, 30, 42, 60, 85, 120, 170, 240, 340, 480, 700, 1000])


@pytest.fixture(scope="module")
def drawn():
    return noise(np.random.default_rng(3), COUNT)


@pytest.fixture(scope="module")
def psd(drawn):
    """Frequencies, and the mean PSD of each detector."""
    frequencies, power = welch(drawn, SAMPLE_RATE, nperseg=SEGMENT, detrend=False)
    return frequencies, power.mean(axis=0)


def published(detector):
    """Frequencies and ASD of the published curve, read without gwres."""
    path = CURVES[detector]
    if detector != "V1":
        path = PowerSpectralDensity(asd_file=path).asd_file
    return np.loadtxt(path, unpack=True)


def seen(detector, shift_hz=0.0):
    """The PSD that `welch` makes of a curve, whose lines its Hann window smears."""
    fine = 16  # steps per Hz
    frequencies = np.arange(SAMPLE_RATE // 2 * fine + 1) / fine
    power = np.interp(frequencies - shift_hz, *published(detector)) ** 2
    power[frequencies < 10] = 0
    window = np.abs(np.fft.fft(hann(SEGMENT, sym=False), SEGMENT * fine)) ** 2
    window = np.roll(window, 20 * fine)[: 40 * fine + 1]
    return np.convolve(power, window / window.sum(), "same")[::fine]


def relative_asd(psd, detector, expected):
    """ASD over what is expected, in each of `BANDS`."""
    frequencies, power = psd
    ratio = power[DETECTORS.index(detector)] / expected
    band = np.digitize(frequencies, BANDS)
    means = [ratio[band == number].mean() for number in range(1, len(BANDS))]
    return np.sqrt(means)


@pytest.mark.parametrize("detector", DETECTORS)
def test_spectrum_is_the_curve(psd, detector):
    flat = np.ones(len(BANDS) - 1)
    close(relative_asd(psd, detector, seen(detector)), flat, rtol=0.02)
    other = "H1" if detector == "V1" else "V1"
    wrong = seen(detector) * 1.03**2, seen(other), seen(detector, shift_hz=0.5)
    for expected in wrong:
        with pytest.raises(AssertionError):
            close(relative_asd(psd, detector, expected), flat, rtol=0.02)


@pytest.mark.parametrize("detector", DETECTORS)
def test_asd_is_the_files(detector):
    frequencies, curve = published(detector)
    inside = (frequencies >= 10) & (frequencies < 1024)
    found = asd(detector, frequencies[inside])
    close(found / curve[inside], np.ones(inside.sum()), rtol=1e-6)
    assert not asd(detector, np.array([0.0, 5.0, 9.99])).any()
    assert asd(detector, 10.0) > 0
    assert np.isfinite(asd(detector, np.array([0.0, 1024.0, 8192.0]))).all()


def test_nothing_is_below_ten_hertz(psd):
    frequencies, power = psd
    at_ten = power[:, (frequencies >= 10) & (frequencies <= 12)].mean(axis=1)
    assert (power[:, frequencies <= 7].max(axis=1) < 1e-4 * at_ten).all()


def test_standard_deviation_is_g2nets(drawn):
    """7.4e-21, 7.4e-21 and 1.84e-21 in the real windows."""
    found = drawn.std(axis=(0, 2))
    close(found / np.array([7.4e-21, 7.4e-21, 1.86e-21]), np.ones(3), rtol=0.03)


def coherence(one, other):
    """Mean coherence of two sets of windows over its value by chance."""
    arguments = {"fs": SAMPLE_RATE, "nperseg": SEGMENT, "noverlap": 0, "detrend": False}
    cross = csd(one, other, **arguments)[1].mean(axis=0)
    autos = [welch(x, **arguments)[1].mean(axis=0) for x in (one, other)]
    squared = (np.abs(cross) ** 2 / (autos[0] * autos[1]))[10:]
    return squared.mean() * 2 * len(one)


def test_detectors_and_windows_are_independent(drawn):
    h1, l1, v1 = drawn.transpose(1, 0, 2)
    pairs = [(h1, l1), (h1, v1), (l1, v1), (h1[:-1], h1[1:]), (h1[:-1], l1[1:])]
    for pair in pairs:
        assert coherence(*pair) == pytest.approx(1, abs=0.2)
    # A twentieth of the power in common would be seen.
    shared = l1 + np.sqrt(0.05) * h1
    assert coherence(h1, shared) > 2


def test_noise_is_gaussian(drawn):
    """The windows' 10 Hz noise leaves some 5,000 independent values a detector."""
    close(kurtosis(drawn, axis=(0, 2)) + 3, np.full(3, 3.0), rtol=0.06)
    # Windows of unlike loudness have heavy tails.
    loudness = np.random.default_rng(0).uniform(0.6, 1.4, (COUNT, 1, 1))
    with pytest.raises(AssertionError):
        close(kurtosis(drawn * loudness, axis=(0, 2)) + 3, np.full(3, 3.0), rtol=0.06)


def jump(windows):
    """How far the last sample is from the first, over the standard deviation."""
    return (windows[..., 0] - windows[..., -1]).std() / windows.std()


def test_windows_are_not_periodic(drawn):
    h1 = drawn[:, 0]
    assert jump(h1) > 1
    # What a bare inverse FFT of the window's own length gives.
    rng = np.random.default_rng(4)
    colour = asd("H1", np.fft.rfftfreq(4096, 1 / SAMPLE_RATE))
    periodic = np.fft.irfft(np.fft.rfft(rng.standard_normal((COUNT, 4096))) * colour)
    assert jump(periodic) < 0.1


def ends(windows):
    """Loudness of sixteen parts of the window, over that of the whole."""
    parts = windows.reshape(len(windows), 3, 16, -1)
    return parts.std(axis=(0, 3)) / windows.std(axis=(0, 2))[:, None]


def test_windows_are_stationary_and_not_tapered(drawn):
    close(ends(drawn), np.ones((3, 16)), rtol=0.1)
    with pytest.raises(AssertionError):
        close(ends(drawn * np.hanning(4096)), np.ones((3, 16)), rtol=0.1)


def test_a_seed_is_all_it_takes(drawn):
    np.testing.assert_array_equal(noise(np.random.default_rng(3), 1)[0], drawn[0])
    other = noise(np.random.default_rng(4), 1)
    assert other.shape == (1, 3, 4096) and other.dtype == np.float64
    assert (other[0] != drawn[0]).all()
