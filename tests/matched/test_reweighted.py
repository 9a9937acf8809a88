import time

import numpy as np
import pytest
from pycbc.events.ranking import newsnr
from pycbc.filter import matched_filter
from pycbc.strain import detect_loud_glitches, gate_data
from pycbc.types import FrequencySeries, TimeSeries
from pycbc.vetoes.chisq import power_chisq, power_chisq_at_points_from_precomputed
from scipy.stats import chi2, kstest

from gwres.errors import InputError
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.matched import bank as banks
from gwres.matched import reweighted
from gwres.matched import score as scoring
from gwres.matched.bank import template_bank, templates
from gwres.matched.incoherent import RATE, marginal
from gwres.matched.reweighted import BINS, FREEDOM, GATE, LOUD, chi_squared, gate
from gwres.matched.score import score
from gwres.simulate.noise import asd as curve_asd
from gwres.simulate.noise import noise
from gwres.simulate.population import population
from gwres.simulate.waveforms import STEP_HZ
from gwres.strain import SAMPLE_RATE, SAMPLES, SCALE, WHITENED_RATE

G2NET = population("g2net")
LONG = int(SAMPLE_RATE / STEP_HZ)  # samples of a stretch that a template fits in
TEMPLATES = 32


@pytest.fixture(scope="module")
def plus():
    return templates(G2NET, TEMPLATES)


@pytest.fixture(scope="module")
def bands(plus, curve):
    return reweighted.bands(template_bank(plus, curve, G2NET))


@pytest.fixture
def few(monkeypatch):
    """`score` takes the templates of `bands`."""
    monkeypatch.setattr(scoring, "enough", lambda population: TEMPLATES)


def white(strain, curve):
    return np.asarray(whiten(strain, gain(curve, FREQUENCIES)))


def snrs(window, bands):
    """Complex SNR (3, templates, times) of a whitened window."""
    return np.concatenate(list(banks.snr_series(window, bands.bank)), axis=1)


def series(window, bands, row):
    """What is summed over frequency for a template's SNR at time 0, (bins,)."""
    half = bands.bank.spectra.shape[2]
    data = np.fft.rfft(window[:, row[0]], 2 * half)[:half]
    return data * bands.bank.spectra[row] / half


def parts(window, bands, row, tick):
    """SNR of each band of one template at one time, band by band."""
    half, when = bands.turns.shape[1], round(bands.bank.times[tick] * RATE)
    turned = series(window, bands, row) * np.exp(
        2j * np.pi * np.arange(half) * when / half
    )
    edges = bands.edges[row]
    split = [turned[a:b].sum() for a, b in zip(edges, edges[1:])]
    return np.array(split) * bands.bank.scale[row][tick]


def record(plus, snr, curve, merger, phase=0.4):
    """Noiseless strain (3, LONG) of a template with an SNR in each detector."""
    frequencies = np.arange(len(plus)) * STEP_HZ
    turned = plus * np.exp(1j * (phase - 2 * np.pi * frequencies * merger))
    strain = np.stack([np.fft.irfft(turned, LONG) * SAMPLE_RATE] * 3)
    loudness = np.linalg.norm(white(strain[None, :, :SAMPLES], curve)[0], axis=0)
    return strain * snr / loudness[:, None]


def sine_gaussian(snr, curve, centre, hertz, quality):
    """Noiseless strain (3, LONG) of a glitch with an SNR in each detector."""
    late = np.arange(LONG) / SAMPLE_RATE - centre
    width = quality / (np.sqrt(2) * np.pi * hertz)
    burst = np.exp(-((late / width) ** 2)) * np.cos(2 * np.pi * hertz * late)
    strain = np.stack([burst * SCALE] * 3)
    loudness = np.linalg.norm(white(strain[None, :, :SAMPLES], curve)[0], axis=0)
    return strain * snr / loudness[:, None]


def test_bands_share_the_power_of_a_template(bands):
    widths = np.diff(bands.edges)
    assert widths.shape == (3, TEMPLATES, BINS) and (widths > 0).all()
    assert (bands.edges[..., 0] == 0).all()
    assert (bands.edges[..., -1] == bands.bank.spectra.shape[2]).all()
    assert bands.shares.sum(axis=2) == pytest.approx(1.0, abs=1e-5)
    middle = bands.shares[..., bands.shares.shape[-1] // 2] * BINS
    # The narrowest band is ten bins wide.
    assert 0.85 < middle.min() and middle.max() < 1.15
    # An early merger leaves less of a light binary's low frequencies in the window.
    lightest = bands.shares[0, 0, 0] * BINS
    assert lightest[0] < 0.8 < 1.1 < lightest[-1]
    assert (np.diff(lightest) > 0).all()


@pytest.mark.parametrize("row", [(0, 0), (1, 15), (2, 31)])
def test_chi_squared_is_pycbcs(bands, curve, windows, row):
    window = white(windows[:1], curve)[0]
    ticks = np.arange(0, len(bands.bank.times), 25)
    when = np.round(bands.bank.times[ticks] * RATE).astype(int)
    scale = bands.bank.scale[row][ticks]
    corr = series(window, bands, row)
    series_ = FrequencySeries(corr, delta_f=1.0)
    sums = snrs(window, bands)[row][ticks] / scale
    equal = np.full((BINS, 1), 1 / BINS)

    def pycbc(edges):
        found = power_chisq_at_points_from_precomputed(
            series_, sums.astype(complex), 1.0, edges, when
        )
        return found * scale**2

    split = np.stack([parts(window, bands, row, tick) for tick in ticks], axis=1)
    found = chi_squared(split, equal)
    expected = pycbc(bands.edges[row])
    assert found == pytest.approx(expected, rel=1e-3)
    # Other bands, or a band's own share of the power, are another chi-squared.
    assert found != pytest.approx(
        pycbc(bands.edges[row[0], (row[1] + 7) % 32]), rel=0.01
    )
    shares = bands.shares[row][:, ticks]
    assert chi_squared(split, shares) != pytest.approx(expected, rel=1e-3)
    assert chi_squared(split, shares) == pytest.approx(expected, rel=0.3)


def test_reweighting_is_pycbcs():
    rng = np.random.default_rng(0)
    rho, reduced = rng.uniform(4, 100, 500), rng.chisquare(FREEDOM, 500) / FREEDOM
    reduced[::5] *= 50
    found = np.sqrt(reweighted.reweighted(rho**2, reduced))
    expected = newsnr(rho, reduced)
    assert found == pytest.approx(expected, rel=1e-9)
    assert np.array_equal(found < rho * (1 - 1e-9), reduced > 1)
    assert found != pytest.approx(newsnr(rho, reduced * 1.01), rel=1e-3)
    assert reweighted.reweighted(1e300, 1e90) == 1e300 / (1e270 / 2) ** (1 / 3)


@pytest.mark.parametrize("kind", ["binary", "glitch"])
def test_snr_and_chi_squared_are_those_of_pycbcs_own_filter(bands, plus, curve, kind):
    """PyCBC filters the 8 s that our 2 s are cut from, by itself."""
    index, merger = 12, 1.65
    if kind == "binary":
        strain = record(plus[index], 20, curve, merger)
    else:
        strain = sine_gaussian(20, curve, merger, 90, 8)
    frequencies = np.arange(LONG // 2 + 1) * STEP_HZ
    coloured = np.fft.rfft(np.random.default_rng(3).standard_normal(LONG))
    coloured *= curve_asd("H1", frequencies) * np.sqrt(SAMPLE_RATE / 2)
    strain[0] += np.fft.irfft(coloured)
    height = np.interp(frequencies, FREQUENCIES, curve[0])
    gains = gain(height, frequencies).astype(float)
    inside = gains > 0
    # Whitening lets less through at the band's lower edge, as this PSD does.
    psd = np.where(inside, 2 / WHITENED_RATE / np.where(inside, gains, 1) ** 2, 1e12)
    low = {"low_frequency_cutoff": 20.0}
    psd = FrequencySeries(psd, delta_f=STEP_HZ)
    padded = np.zeros(len(frequencies), complex)
    padded[: plus.shape[1]] = plus[index] / SCALE
    template = FrequencySeries(padded, delta_f=STEP_HZ)
    data = TimeSeries(strain[0] / SCALE, delta_t=1 / SAMPLE_RATE)
    theirs = np.abs(matched_filter(template, data, psd, **low).numpy())
    reduced = power_chisq(template, data, BINS, psd, **low).numpy() / FREEDOM

    window = white(strain[None, :, :SAMPLES], curve)[0]
    ours = np.abs(snrs(window, bands)[0, index])
    tick = ours.argmax()
    at = round(bands.bank.times[tick] * SAMPLE_RATE)
    assert ours[tick] == pytest.approx(theirs[at], rel=0.03)
    split = parts(window, bands, (0, index), tick)
    found = chi_squared(split, bands.shares[0, index, :, tick]) / FREEDOM
    assert found == pytest.approx(reduced[at], rel=0.2)
    assert (found > 4) == (kind == "glitch")
    squares = reweighted.squares(window, bands)[0, index, tick]
    assert np.sqrt(squares) == pytest.approx(newsnr(theirs[at], reduced[at]), rel=0.08)


@pytest.mark.parametrize("merger", [1.5, 1.65, 1.8])
@pytest.mark.parametrize("index", [0, 16, 31])
def test_a_templates_own_signal_agrees_with_it_in_every_band(
    bands, plus, curve, merger, index
):
    tick = np.abs(bands.bank.times - merger).argmin()
    merger = bands.bank.times[tick]
    window = white(record(plus[index], 30, curve, merger)[None, :, :SAMPLES], curve)[0]
    for row in ((0, index), (2, index)):
        split = parts(window, bands, row, tick)
        assert abs(split.sum()) == pytest.approx(30, rel=0.01)
        # What is left at this SNR is far less than the noise adds.
        shares = bands.shares[row][:, tick]
        assert chi_squared(split, shares) < 0.1 * FREEDOM
        # Equal shares would not do for light binaries that merge early.
        if index == 0 and merger < 1.6:
            equal = np.full(BINS, 1 / BINS)
            assert chi_squared(split, equal) > 5 * chi_squared(split, shares)


def test_chi_squared_has_its_distribution_in_noise_and_signals(bands, plus, curve):
    """Mean 2p - 2, whether the window has a signal of any loudness or none."""
    windows = noise(np.random.default_rng(5), 200)
    values = {0: [], 20: []}
    for place, strain in enumerate(windows):
        index, tick = place % TEMPLATES, place * 7 % len(bands.bank.times)
        merger = bands.bank.times[tick]
        for snr in values:
            both = strain + record(plus[index], snr, curve, merger)[:, :SAMPLES]
            window = white(both[None], curve)[0]
            for detector in range(3):
                row = detector, index
                split = parts(window, bands, row, tick)
                shares = bands.shares[row][:, tick]
                values[snr].append(chi_squared(split, shares))
    for found in map(np.array, values.values()):
        assert found.mean() == pytest.approx(FREEDOM, rel=0.04)
        assert found.var() == pytest.approx(2 * FREEDOM, rel=0.25)
        assert kstest(found, chi2(FREEDOM).cdf).pvalue > 1e-4
        assert kstest(found * 1.15, chi2(FREEDOM).cdf).pvalue < 1e-4


@pytest.mark.parametrize(("hertz", "quality"), [(60, 3), (120, 8), (250, 20)])
def test_a_glitch_counts_little_and_a_binary_in_full(
    bands, plus, curve, hertz, quality
):
    strain = noise(np.random.default_rng(8), 1)[0]
    glitch = strain.copy()
    glitch[0] += sine_gaussian(20, curve, 1.65, hertz, quality)[0, :SAMPLES]
    binary = strain + record(plus[20], 20 / 3**0.5, curve, 1.65)[:, :SAMPLES]
    alone = np.sqrt(reweighted.squares(white(strain[None], curve)[0], bands).max())
    loudest = {}
    for name, one in (("glitch", glitch), ("binary", binary)):
        window = white(one[None], curve)[0]
        raw = np.abs(snrs(window, bands)) ** 2
        less = reweighted.squares(window, bands)
        assert (less <= raw * (1 + 1e-5)).all()
        quiet = raw < 0.99 * LOUD**2
        assert less[quiet] == pytest.approx(raw[quiet], rel=1e-4)
        loudest[name] = [np.sqrt(squares.max()) for squares in (raw, less)]
        loudest[name] += [marginal(x, bands.bank.spread) for x in (raw, less)]
    before, after, evidence, doubted = loudest["glitch"]
    assert before > 7 and after == pytest.approx(alone, rel=0.05)
    assert doubted < 0.4 * evidence
    before, after, evidence, doubted = loudest["binary"]
    assert before > 10 and after > 0.9 * before
    assert doubted > 0.85 * evidence


def test_squares_are_those_of_the_formula(bands, curve, plus):
    strain = noise(np.random.default_rng(9), 1)[0]
    strain += sine_gaussian(15, curve, 1.7, 100, 5)[:, :SAMPLES]
    window = white(strain[None], curve)[0]
    z = snrs(window, bands)
    found = reweighted.squares(window, bands)
    loud = np.argwhere(np.abs(z) >= LOUD * 1.001)
    assert len(loud) > 500
    for detector, template, tick in loud[::23]:
        row = detector, template
        split = parts(window, bands, row, tick)
        reduced = chi_squared(split, bands.shares[row][:, tick]) / FREEDOM
        expected = newsnr(abs(z[row][tick]), reduced) ** 2
        assert found[row][tick] == pytest.approx(expected, rel=2e-3)


def test_a_missing_detector_adds_nothing(bands, curve, windows, plus, few):
    strain = windows[:3].copy()
    strain[0] += record(plus[2], 9, curve, 1.65)[:, :SAMPLES]
    strain[:, 1] = 0
    whole = score(strain, curve, G2NET, "reweighted")
    assert np.isfinite(whole).all()
    for window, found in zip(white(strain, curve), whole):
        squares = reweighted.squares(window, bands)
        assert not squares[1].any()
        spread = bands.bank.spread * [1, 0, 1]
        assert found == pytest.approx(marginal(squares, spread), rel=1e-5)
        assert found != pytest.approx(marginal(squares, bands.bank.spread), rel=1e-3)
    nothing = np.zeros((1, 3, SAMPLES))
    assert score(nothing, curve, G2NET, "reweighted") == pytest.approx(0.0, abs=1e-9)


def test_the_extreme_is_gated_before_the_filter(bands, curve, windows, few):
    strain = windows[:1].copy()
    strain[0, 0] += sine_gaussian(1000, curve, 1.3, 60, 5)[0, :SAMPLES]
    [window] = white(strain, curve)
    gated, where = gate(window)
    assert where[:, 0].any() and not where[:, 1:].any()
    [found] = score(strain, curve, G2NET, "reweighted")
    silent = marginal(reweighted.squares(gated, bands), bands.bank.spread)
    aloud = marginal(reweighted.squares(window, bands), bands.bank.spread)
    assert found == pytest.approx(silent, rel=1e-5)
    assert found != pytest.approx(aloud, rel=0.02)


def test_a_monster_costs_no_more_than_every_cell(bands, curve, plus):
    """All cells are tested, and what is beyond the gate is silent."""
    strain = noise(np.random.default_rng(11), 1)[0]
    quiet = white(strain[None], curve)[0]
    # As loud as the gate lets through, several at a time, in all detectors.
    for hertz in (25, 50, 90, 200, 350):
        for centre in np.arange(0.5, 2, 0.25):
            strain += sine_gaussian(25, curve, centre, hertz, 9)[:, :SAMPLES]
    loud = white(strain[None], curve)[0]
    assert np.abs(loud).max() < GATE
    cells = np.abs(snrs(loud, bands)) >= LOUD
    assert cells.mean() > 0.7

    def seconds(window):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            squares = reweighted.squares(window, bands)
            times.append(time.perf_counter() - start)
        assert np.isfinite(squares).all()
        return min(times)

    # 50 times with these few templates, on a machine with nothing else to do.
    assert seconds(loud) < 200 * seconds(quiet)
    assert np.isfinite(reweighted.squares(loud * 1e6, bands)).all()
    assert np.isfinite(score(strain[None] * 1e3, curve, G2NET, "reweighted")).all()


def excursions(samples, *places, height=60.0):
    data = np.random.default_rng(1).standard_normal((samples, 2)).astype(np.float32)
    for place in places:
        data[place, 0] = height
    return data


def test_the_gate_is_pycbcs():
    at, samples = 3000, 8 * WHITENED_RATE
    data = excursions(samples, at)
    gated, where = gate(data)
    ones = TimeSeries(np.ones(samples), delta_t=1 / WHITENED_RATE, epoch=0)
    expected = gate_data(ones, [(at / WHITENED_RATE, 0.25, 0.25)]).numpy()
    kept = np.abs(data[:, 0]) > 0.1
    found = gated[kept, 0] / data[kept, 0]
    # Its gates end a sample earlier.
    assert found == pytest.approx(expected[kept], abs=0.01)
    assert found != pytest.approx(np.roll(expected, 9)[kept], abs=0.01)
    assert np.array_equal(where[:, 0], np.abs(np.arange(samples) - at) < 512)
    assert np.array_equal(gated[:, 1], data[:, 1]) and not where[:, 1].any()
    assert gated.dtype == data.dtype and data[at, 0] == 60


@pytest.mark.parametrize(("height", "beyond"), [(45.0, False), (58.0, True)])
def test_the_gates_unit_is_pycbcs(height, beyond):
    """White noise with the power of ours, whitened by PyCBC's own means."""
    rng = np.random.default_rng(2)
    flat = rng.standard_normal(64 * WHITENED_RATE)
    # In the middle of the band, so that both bands hold all of it.
    late = (np.arange(len(flat)) - 32 * WHITENED_RATE) / WHITENED_RATE
    burst = np.exp(-((late / 0.02) ** 2)) * np.cos(2 * np.pi * 150 * late)
    data = flat + height * burst
    strain = TimeSeries(data, delta_t=1 / WHITENED_RATE, epoch=0)
    theirs = detect_loud_glitches(strain, threshold=GATE, low_freq_cutoff=20.0)
    assert bool(len(theirs)) is beyond
    assert gate(data[:, None])[1].any() == beyond


def test_the_gate_is_silent_at_the_ends_and_of_what_is_not_finite():
    data = excursions(2048, 3, 2040)
    data[1000, 1] = np.nan
    data[1010, 1] = np.inf
    gated, where = gate(data)
    assert np.isfinite(gated).all()
    assert not gated[:250, 0].any() and not gated[1800:, 0].any()
    assert np.array_equal(gated[600:1400, 0], data[600:1400, 0])
    assert not gated[760:1260, 1].any() and where[500:1500, 1].all()
    assert gated[100, 1] == data[100, 1]
    short, _ = gate(data, zero_s=0.01, taper_s=0.0)
    assert np.array_equal(short[20:900, 0], data[20:900, 0]) and not short[:14, 0].any()
    again, where = gate(gated)
    assert np.array_equal(again, gated) and not where.any()
    lower, _ = gate(gated, level=2.0)
    assert np.abs(lower).max() <= 2.0
    with pytest.raises(InputError, match=r"\(time, detector\), received \(2, 20"):
        gate(np.zeros((2, 2048, 3)))


def test_no_signal_is_gated(plus, curve):
    for index in range(0, TEMPLATES, 4):
        strain = record(plus[index], 30, curve, 1.65)[None, :, :SAMPLES]
        assert np.abs(white(strain, curve)).max() < GATE / 4
