from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from gwres.data.corpus import Windows
from gwres.errors import InputError
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.matched import bank as banks
from gwres.matched import bayes, draws
from gwres.matched import score as scoring
from gwres.matched.bank import TemplateBank, template_bank, templates
from gwres.matched.design import filters as filters_of
from gwres.matched.incoherent import coincident, flat, marginal
from gwres.matched.score import score
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.simulate import glitches
from gwres.simulate.dataset import Source
from gwres.simulate.noise import inner, noise
from gwres.simulate.population import population
from gwres.simulate.waveforms import STEP_HZ
from gwres.strain import SAMPLE_RATE, SAMPLES, SCALE

G2NET = population("g2net")
MERGER_S = 1.65


@pytest.fixture(scope="module")
def plus():
    """32 templates, as in production."""
    return templates(G2NET, 32)


@pytest.fixture(scope="module")
def filters(plus, curve):
    return template_bank(plus, curve, G2NET)


def record(plus, phase=0.0, merger=MERGER_S, distance=3.0):
    """Noiseless strain (3, 4096) of a template, the same in all detectors."""
    frequencies = np.arange(len(plus)) * STEP_HZ
    turned = plus / distance * np.exp(1j * (phase - 2 * np.pi * frequencies * merger))
    series = np.fft.irfft(turned, int(SAMPLE_RATE / STEP_HZ)) * SAMPLE_RATE
    return np.stack([series[:SAMPLES]] * 3)


def snrs(strain, filters, curve):
    """Complex SNR (3, templates, times) of one window."""
    white = np.asarray(whiten(strain[None], gain(curve, FREQUENCIES)))[0]
    return np.concatenate(list(banks.snr_series(white, filters)), axis=1)


def near(found, expected, tolerance):
    return bool(np.all(np.abs(np.asarray(found) / expected - 1) < tolerance))


def test_templates_have_aligned_spins_and_the_populations_masses(plus):
    again = templates(G2NET, 32)
    assert np.array_equal(plus, again)
    assert not np.array_equal(plus, templates(G2NET, 32, seed=1))
    assert np.isfinite(plus).all()
    assert not plus[:, : int(20 / STEP_HZ)].any()


def test_own_template_reads_the_optimal_snr(plus, filters, curve):
    # The one with the least of itself before the window: the formula counts it all.
    frequencies = np.arange(plus.shape[1]) * STEP_HZ
    heavy = int(np.argmax(np.abs(plus[:, int(25 / STEP_HZ)])))
    z = snrs(record(plus[heavy]), filters, curve)[:, heavy]
    signal = np.stack([plus[heavy] / 3] * 3)
    expected = np.sqrt(inner(signal, signal, frequencies))
    found = np.abs(z).max(axis=-1)
    # Below 25 Hz whitening lets less through.
    assert near(found, expected, 0.02)
    assert not near(found, expected * 1.025, 0.02)
    assert not near(found * np.sqrt(2), expected, 0.02)
    peak = filters.times[np.abs(z).argmax(axis=-1)]
    assert np.abs(peak - MERGER_S).max() <= 0.5 / scoring.RATE + 1e-9


def test_every_template_reads_the_norm_of_its_window(plus, filters, curve):
    tick = filters.times[100]
    for index in range(0, 32, 4):
        strain = record(plus[index], merger=tick)
        white = np.asarray(whiten(strain[None], gain(curve, FREQUENCIES)))[0]
        norm = np.linalg.norm(white, axis=0)
        found = np.abs(snrs(strain, filters, curve)[:, index, 100])
        assert near(found, norm, 0.005)
        assert not near(found * 1.01, norm, 0.005)


def test_a_better_match_than_its_own_template_there_is_none(plus, filters, curve):
    z = np.abs(snrs(record(plus[5]), filters, curve)).max(axis=-1)
    assert (z.argmax(axis=-1) == 5).all()


def test_the_phase_turns_the_snr_and_leaves_its_modulus(plus, filters, curve):
    first = snrs(record(plus[3]), filters, curve)[:, 3]
    turned = snrs(record(plus[3], phase=1.0), filters, curve)[:, 3]
    peak = np.abs(first[0]).argmax()
    assert near(np.abs(turned[:, peak]), np.abs(first[:, peak]), 1e-3)
    angle = np.angle(turned[:, peak] / first[:, peak])
    assert near(angle, 1.0, 0.01)
    assert not near(angle, 1.03, 0.01)


def test_noise_gives_standard_normal_quadratures(plus, curve):
    filters = template_bank(plus[::8], curve, G2NET)
    windows = noise(np.random.default_rng(3), 600)
    white = np.asarray(whiten(windows, gain(curve, FREQUENCIES)))
    middle = len(filters.times) // 2
    z = np.stack([next(banks.snr_series(w, filters))[:, :, middle] for w in white])
    for detector in range(3):
        # One template a window, as those of one window share its noise.
        halves = np.abs(z[np.arange(600), detector, np.arange(600) % 4]) ** 2 / 2
        assert abs(halves.mean() - 1) < 0.15  # 3.7 standard errors
        assert kstest(halves, "expon").pvalue > 1e-3
        assert kstest(halves * 1.5, "expon").pvalue < 1e-3
    assert abs(z.mean()) < 0.05
    assert near(np.mean(np.abs(z) ** 2), 2.0, 0.05)  # all windows and templates


SPREAD = np.array([10.0, 10.0, 4.0])
TICKS = 90


def peaks(*at, height=64.0):
    """Squared SNRs of two templates, zero but for a peak in each detector."""
    squares = np.zeros((3, 2, TICKS))
    for detector, tick in enumerate(at):
        squares[detector, 0, tick] = height
    return squares


@pytest.mark.parametrize("statistic", [coincident, marginal])
@pytest.mark.parametrize("detector", [1, 2])
def test_light_must_have_had_time_to_get_there(statistic, detector):
    reach = (0, 5, 14)[detector]  # samples of 1/512 s in 10 and 28 ms
    for sign in (-1, 1):
        ticks = [45, 45, 45]
        ticks[detector] += sign * reach
        inside = statistic(peaks(*ticks), SPREAD)
        ticks[detector] += sign
        outside = statistic(peaks(*ticks), SPREAD)
        assert inside - outside > 15


def test_coincident_is_the_sum_of_the_squares():
    assert coincident(peaks(45, 47, 40), SPREAD) == 3 * 64
    assert coincident(peaks(45, 60, 45), SPREAD) == 2 * 64


def test_marginal_is_the_mean_of_the_likelihood_ratio():
    """Against the formula, summed one by one."""
    squares = np.random.default_rng(2).chisquare(2, (3, 2, TICKS))
    ratio = np.exp(squares / 2 * (SPREAD / (1 + SPREAD))[:, None, None])
    ratio /= (1 + SPREAD)[:, None, None]
    values = []
    for template in range(2):
        for tick in range(TICKS):
            value = ratio[0, template, tick]
            for detector, reach in ((1, 5), (2, 14)):
                low = max(0, tick - reach)
                value *= ratio[detector, template, low : tick + reach + 1].mean()
            values.append(value)
    expected = np.log(np.mean(values))
    found = marginal(squares, SPREAD)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found != pytest.approx(marginal(squares, SPREAD * 1.01), rel=1e-9)


def test_flat_is_the_limit_of_a_wide_prior():
    squares = np.random.default_rng(2).chisquare(2, (3, 2, TICKS))
    wide = np.full(3, 1e9)
    limit = marginal(squares, wide) + np.log1p(wide).sum()
    assert flat(squares, SPREAD) == pytest.approx(limit, rel=1e-6)
    assert flat(squares, SPREAD * [1, 1, 0]) < flat(squares, SPREAD)


def test_marginal_has_mean_one_in_noise():
    """A likelihood ratio's mean over noise is 1, which no other scaling has."""
    rng = np.random.default_rng(4)
    small = np.array([0.3, 0.3, 0.2])  # large ones have no finite variance
    draws = rng.chisquare(2, (4000, 3, 2, TICKS))
    mean = np.mean([np.exp(marginal(squares, small)) for squares in draws])
    assert abs(mean - 1) < 0.01
    wrong = np.mean([np.exp(marginal(1.1 * squares, small)) for squares in draws])
    assert abs(wrong - 1) > 0.01


def test_marginal_stays_finite_where_exponentials_overflow():
    loud = marginal(peaks(45, 45, 45, height=1e5), SPREAD)
    louder = marginal(peaks(45, 45, 45, height=2e5), SPREAD)
    assert np.isfinite([loud, louder]).all()
    expected = (SPREAD / (1 + SPREAD)).sum() * 1e5 / 2
    assert near(louder - loud, expected, 1e-6)
    # A glitch in each, at different times, is no signal of both.
    apart = marginal(peaks(20, 70, 45, height=1000.0), SPREAD)
    together = marginal(peaks(45, 45, 45, height=1000.0), SPREAD)
    assert together - apart > 400


@pytest.fixture(scope="module")
def simulated():
    """300 windows, half of them signals, and what they hold."""
    return Source(G2NET, 5, "test").windows(0, 300)


@pytest.fixture
def few(monkeypatch):
    """Fewer draws, for speed: what they tell is nearly as much."""
    monkeypatch.setattr(draws.draw, "__defaults__", (400, 0))
    monkeypatch.setattr(bayes.log_factor, "__defaults__", (4000,))


@pytest.mark.parametrize("statistic", scoring.NAMES)
def test_auc_is_the_classical_one(simulated, curve, statistic, few):
    strain, labels = simulated[0], simulated[1]["target"].to_numpy()
    scores = score(strain, curve, G2NET, statistic)
    assert scores.shape == (300,) and scores.dtype == np.float64
    # 0.85 and 0.83 on 4,000 windows; the standard error of 300 is 0.022.
    assert 0.77 < roc_auc_score(labels, scores) < 0.92
    rng = np.random.default_rng(0)
    assert not 0.77 < roc_auc_score(rng.permutation(labels), scores) < 0.92


@pytest.mark.parametrize(
    ("statistic", "count"), [("marginal", 200), ("coherent", 200), ("bayes", 80)]
)
def test_signals_of_the_field_are_scored(curve, statistic, count, few):
    """Early and late mergers, light and heavy binaries, detectors missing."""
    field = population("field")
    strain, table = Source(field, 5, "test").windows(0, count)
    labels = table["target"].to_numpy()
    scores = score(strain, curve, field, statistic)
    # 0.79 on 6,000 windows; the standard error of 200 is 0.03, of 80 0.05.
    assert 0.66 < roc_auc_score(labels, scores) < 0.9
    loud = (table["network_snr"] > 7).to_numpy()
    assert np.median(scores[loud]) > np.quantile(scores[labels == 0], 0.95)


@pytest.mark.parametrize("statistic", ["marginal", "flat", "coincident"])
def test_a_missing_detector_adds_nothing(simulated, curve, statistic):
    strain = simulated[0][:4].copy()
    strain[:, 2] = 0
    without = score(strain, curve, G2NET, statistic)
    # The same, with detectors that could not have seen anything left out by hand.
    filters = template_bank(templates(G2NET, banks.TEMPLATES), curve, G2NET)
    for window, found in zip(strain, without):
        squares = np.abs(snrs(window, filters, curve)) ** 2
        assert not squares[2].any()
        two = np.concatenate([squares[:2], np.zeros_like(squares[:1])])
        spread = filters.spread * [1, 1, 0]
        expected = scoring.STATISTICS[statistic](two, spread)
        assert found == pytest.approx(expected, rel=1e-6)
    assert not np.allclose(without, score(simulated[0][:4], curve, G2NET, statistic))


def test_coherent_is_what_a_network_begins_with(simulated, curve):
    strain = simulated[0][:40].astype(np.float32)
    strain[1, 1] = 0
    untrained = network(ResNet(16, width=2), "templates", filters_of(G2NET, curve))
    expected = classifier(untrained, curve).predict_on_batch(strain)[:, 0]
    found = score(strain, curve, G2NET, "coherent")
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    apart = score(strain, curve, G2NET)
    assert 0.5 < np.corrcoef(apart, expected)[0, 1] < 0.9999


def test_consistent_is_what_a_network_in_detector_noise_begins_with(simulated, curve):
    """Signals keep what they have, and a glitch loses most of it."""
    strain = simulated[0][:24].astype(np.float32)
    front = filters_of(G2NET, curve, consistent=True)
    untrained = network(ResNet(16, width=2), "templates", front)
    expected = classifier(untrained, curve).predict_on_batch(strain)[:, 0]
    found = score(strain, curve, G2NET, "consistent")
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert np.corrcoef(found, score(strain, curve, G2NET, "coherent"))[0, 1] > 0.95
    disturbed = strain.astype(float)
    asd = np.interp(glitches.FREQUENCIES, FREQUENCIES, curve[0]) * SCALE
    rng = np.random.default_rng(2)
    for window in disturbed:
        blip = glitches.draw(rng, "blip", "H1", rng.uniform(1.5, 1.8))
        replace(blip, snr=20.0).add(window[0], asd)
    lifted = {
        name: np.median(score(disturbed, curve, G2NET, name))
        for name in ("coherent", "consistent")
    }
    assert lifted["coherent"] > 8
    assert lifted["consistent"] < lifted["coherent"] / 2


def test_nothing_at_all_is_evidence_of_nothing(curve):
    nothing = np.zeros((1, 3, 4096))
    assert score(nothing, curve, G2NET) == pytest.approx(0.0, abs=1e-9)
    assert score(nothing, curve, G2NET, "coincident") == 0


def test_scores_do_not_depend_on_chunks_or_threads(
    simulated, curve, tmp_path, monkeypatch
):
    strain = simulated[0][:40].astype(np.float32)
    np.save(tmp_path / "strain.npy", strain)
    mapped = np.load(tmp_path / "strain.npy", mmap_mode="r")
    monkeypatch.setenv("GWRES_CORES", "2")
    two = score(mapped, curve, G2NET)
    monkeypatch.setenv("GWRES_CORES", "1")
    one = score(strain, curve, G2NET)
    assert np.array_equal(one, two)
    last = score(strain[35:], curve, G2NET)
    assert np.allclose(one[35:], last, rtol=1e-4)
    assert not np.allclose(one[34:39], last, rtol=1e-4)
    assert score(strain[:0], curve, G2NET).shape == (0,)


def test_the_baseline_is_computed_once(monkeypatch, curve):
    calls = []

    def counted(windows, asd, population, statistic, seed):
        calls.append(statistic)
        return np.arange(len(windows), dtype=float)

    monkeypatch.setattr(scoring, "score", counted)
    table = pd.DataFrame({"id": [f"{i:010x}" for i in range(7)], "label": 0})

    def baseline(made_from="once", count=7, asd=curve, drawn=G2NET, **options):
        windows = Windows("gate", table.head(count), None, {"test": made_from})
        return scoring.baseline(windows, asd, drawn, **options)

    first, second = baseline(), baseline()
    assert list(first["id"]) == list(table["id"])
    assert first["logit"].tolist() == second["logit"].tolist() == list(range(7))
    assert len(calls) == 1
    # Whatever the scores depend on is in the key.
    baseline("twice")
    baseline(asd=curve * 1.01)
    baseline(drawn=population("volumetric"))
    baseline(statistic="coincident")
    baseline(statistic="reweighted")
    baseline(statistic="coherent")
    baseline(statistic="bayes")
    baseline(statistic="bayes", seed=1)
    assert len(calls) == 9
    with pytest.raises(InputError, match="expected the 7 windows .* received 6"):
        baseline(count=6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"statistic": "chi"},
            "one of marginal, flat, .*, coherent, .*, bayes; .* chi",
        ),
        ({"windows": np.zeros((2, 3, 4000))}, r"expected shape \(n, 3, 4096\)"),
        ({"windows": np.zeros((3, 4096))}, r"received \(3, 4096\)"),
        ({"asd": np.ones((3, 2048))}, r"asd: expected shape \(3, 2049\), received"),
    ],
)
def test_what_is_wrong_is_said(change, message, curve):
    right = {"windows": np.zeros((1, 3, 4096)), "asd": curve, "population": G2NET}
    with pytest.raises(InputError, match=message):
        score(**right | change)


def test_a_bank_covers_the_mergers_and_the_light_time_of_the_earth(filters):
    assert isinstance(filters, TemplateBank)
    assert filters.spectra.shape[:2] == filters.scale.shape[:2] == (3, 32)
    assert filters.times[0] == pytest.approx(1.5 - 0.0213, abs=2e-3)
    assert filters.times[-1] == pytest.approx(1.8 + 0.0213, abs=2e-3)


def test_the_spread_is_that_of_simulated_signals(simulated, filters):
    truth = simulated[1]
    for place, column in enumerate(("snr_H1", "snr_L1", "snr_V1")):
        # The median of a squared modulus is 2 ln 2 times the quadrature's variance.
        expected = float((truth[column].dropna() ** 2).median()) / (2 * np.log(2))
        assert near(filters.spread[place], expected, 0.4)
        assert not near(3 * filters.spread[place], expected, 0.4)
        assert not near(filters.spread[place] / 3, expected, 0.4)
