"""Live injection in detector noise agrees with strain that went through whitening."""

import numpy as np
import pytest

from gwres.data import moments as module
from gwres.data import pipeline
from gwres.data.corpus import open_corpus
from gwres.data.moments import Moments, moments
from gwres.data.pipeline import Bank
from gwres.data.settings import Data, Live
from gwres.errors import InputError
from gwres.layers.inject import disturb
from gwres.layers.whiten import FREQUENCIES, RISE_HZ, gain, refined, whiten
from gwres.simulate import dataset, glitches, noise, waveforms
from gwres.simulate.glitches import KINDS
from gwres.simulate.population import population
from gwres.simulate.waveforms import bank_frequencies
from gwres.strain import DETECTORS, SCALE

SEGMENT = population("g2net").segment
HZ = bank_frequencies(SEGMENT).astype(np.float32)
INSIDE = slice(128, -128)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """`Moments` of few states and glitches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "STATES", 20)
        patch.setattr(noise, "each", lambda job, jobs, _: map(job, jobs))
        patch.setattr(module, "ROWS", 3)
        patch.setenv("GWRES_CACHE", str(tmp_path_factory.mktemp("moments")))
        return Moments.load(moments(7, SEGMENT)), noise.states(7)


@pytest.fixture(scope="module")
def real_bank(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveforms, "each", lambda job, jobs, _: map(job, jobs))
        patch.setenv("GWRES_CACHE", str(tmp_path_factory.mktemp("bank")))
        return Bank.load(waveforms.bank(population("g2net"), 16, 1, noise.DETECTOR))


def batch(bank, drawn, curve, config, seed=3):
    signals = population("g2net")
    made = pipeline.live(bank, signals, curve, config, seed, 40, 0, drawn)
    return [(np.asarray(x), np.asarray(y)) for x, y in made]


def test_noise_is_white_but_for_what_is_not_known(real_bank, drawn, curve):
    config = Live(batch=64, loud=1.0, drop=0.0, glitches=0.0)
    batches = batch(real_bank, drawn[0], curve, config)
    quiet = np.concatenate([x[32:] for x, _ in batches])[:, INSIDE]
    window = np.hanning(quiet.shape[1])[:, None]
    power = np.abs(np.fft.rfft(quiet * window, axis=1)) ** 2
    hz = np.fft.rfftfreq(quiet.shape[1], 1 / 1024)
    mean = power.mean(axis=0) / (window**2).sum()
    inside = (hz > 30) & (hz < 500)
    # E[S / S'] of an estimate that is uncertain by 13% in power is a little above one.
    assert mean[inside].mean() == pytest.approx(1.02, abs=0.04)
    assert mean[hz < 18].max() < 0.01
    # What is known is as uncertain as an estimate from 64 s.
    colour = drawn[0].colour[..., 60:-60].astype(float)
    assert np.median(colour) == pytest.approx(1.0, abs=0.02)
    assert 0.05 < np.log(colour).std() < 0.1


@pytest.mark.parametrize("detector", range(3))
@pytest.mark.parametrize("late", [-0.4, 0.0, 0.55])
def test_a_glitch_is_what_whitening_makes_of_its_strain(drawn, detector, late):
    """Of every brief kind, between H1's, L1's and V1's own estimates."""
    held, known = drawn
    for row in np.flatnonzero(held.brief[detector]):
        number = int(row)
        rng = np.random.default_rng([7, detector, number, 4])
        kind = list(KINDS)[number // 3]
        glitch = glitches.draw(rng, kind, DETECTORS[detector], 1.0 + late)
        mean = np.exp(np.log(np.maximum(known.asd, 1e-30)).mean(axis=1))[detector]
        strain = np.zeros((1, 3, 4096))
        fine = np.interp(glitches.FREQUENCIES, noise.HERTZ, mean)
        glitch.add(strain[0, detector], fine)
        estimate = known.estimate[:, 5][None]
        gains = gain(np.ones(2049), FREQUENCIES) / np.asarray(refined(estimate))
        expected = np.asarray(whiten(strain, gains))[0, :, detector]
        found = alone(held, detector, row, late, state=5)
        scale = np.abs(expected).max()
        # The ends of a window whiten what lies across them in another way.
        assert np.abs(found - expected)[INSIDE].max() < 0.05 * scale, kind
        other = alone(held, detector, row, late + 0.01, state=5)
        assert np.abs(other - expected)[INSIDE].max() > 0.1 * scale, kind


def alone(held, detector, row, late, state):
    """A glitch without noise through the functions of live injection, (2048,)."""
    from gwres.layers.inject import white

    one = np.float32(held.shapes[detector, row])[None]
    gains = np.float32(held.gains[:, state])[None]
    snr = np.float32(held.snr[detector, row])[None]
    moved = disturb(one, snr, np.float32([late]), np.array([detector]), gains, HZ)
    nothing = np.zeros((1, 3, len(HZ), 2), np.float32)
    made = white(nothing, np.float32(0 * gains), HZ, SEGMENT.start, 2048, moved)
    return np.asarray(made)[0, :, detector]


def test_each_window_gets_the_glitches_that_were_drawn(real_bank, drawn, curve):
    """Twice the same draws, with and without them: the difference is the glitches."""
    held = drawn[0]
    config = Live(batch=16, loud=1.0, drop=0.0, glitches=0.5)
    rng = np.random.default_rng(0)
    state, found = held.draw(rng, 2000, config, (1.5, 1.8))
    assert state.shape == (2000, 3) and state.max() < 20
    assert len(found.window) == pytest.approx(3000, rel=0.05)
    kinds = np.bincount(found.row // 3, minlength=len(KINDS))
    assert kinds.min() > 0.7 * len(found.row) / len(KINDS)
    assert not found.late[~held.brief[found.detector, found.row]].any()
    some = batch(real_bank, held, curve, config)
    loud = np.concatenate([np.abs(x[8:]).max(axis=1) for x, _ in some])
    assert 0.1 < (loud > 6).mean() < 0.5
    # The signal comes on top of the same noise, and of the same glitches.
    for x, y in some:
        assert np.linalg.norm((x[:8] - x[8:]).reshape(8, -1), axis=1).max() < 33
        np.testing.assert_array_equal(y[:, 0], [1] * 8 + [0] * 8)


def test_loudness_counts_in_the_noise_of_the_moment(real_bank, drawn, curve):
    """The norm of live signals is the SNR that was drawn: 4 to 30, mostly near 4."""
    config = Live(batch=64, loud=1.0, drop=0.0, glitches=0.0)
    norms = [
        np.linalg.norm((x[:32] - x[32:]).reshape(32, -1), axis=1)
        for x, _ in batch(real_bank, drawn[0], curve, config)
    ]
    norms = np.concatenate(norms)
    # A window holds most of a signal, and the estimate's error moves it a little.
    assert 3.0 < np.quantile(norms, 0.02) < 4.2
    assert np.quantile(norms, 0.98) < 30
    assert np.median(norms) == pytest.approx(5.9, rel=0.12)


@pytest.mark.parametrize("setting", ["pink", "Detector"])
def test_another_noise_is_refused(setting):
    with pytest.raises(InputError, match="noise must be one of gaussian, detector"):
        Data(noise=setting)


def test_noise_of_a_folder_is_its_own():
    with pytest.raises(InputError, match="noise is that of simulated data"):
        Data(source="somewhere", noise="detector")


def test_a_corpus_brings_what_is_known_of_its_windows(monkeypatch, serial, tmp_path):
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path))
    monkeypatch.setattr(noise, "STATES", 20)
    small = Data(noise="detector", bank=8, judged=20)
    corpus = open_corpus(small)
    holdout = corpus.judged["holdout"]
    asds = holdout.asds(slice(2, 5))
    assert asds.shape == (3, 3, 513) and (asds[..., 20:] > 0).all()
    assert {*dataset.GLITCHES} <= set(holdout.table)
    # The fitted ASD lies among those that are known.
    ratio = corpus.asd[:, 200:1800:4] * SCALE / asds[..., 50:450]
    assert 0.7 < np.median(ratio) < 1.4
    white, labels = corpus.validation()
    quiet = np.asarray(white[labels == 0], float)[:, INSIDE]
    assert np.median(quiet.std(axis=1)) == pytest.approx(1.0, abs=0.05)
    other = open_corpus(Data(bank=8, judged=20))
    assert other.split_hash != corpus.split_hash and other.name != corpus.name
    assert RISE_HZ and other.judged["holdout"].asds(slice(0, 2)) is None
