"""Glitches: shapes, loudness, times and rates."""

import numpy as np
import pytest
from scipy.stats import poisson

from gwres.simulate import glitches
from gwres.simulate.glitches import FREQUENCIES, KINDS, Glitch, bump, catalogue, draw
from gwres.simulate.noise import HERTZ, measured
from gwres.strain import DETECTORS, SAMPLE_RATE

ASD = np.interp(FREQUENCIES, HERTZ, measured("H1")[0])
BOTH = pytest.mark.parametrize("kind", KINDS)


def whitened(strain, asd=ASD, rise_hz=0.0):
    """Strain at 2048 Hz of any length, whitened between 20 and 512 Hz.

    The norm of a signal is its optimal SNR, where the band's lower edge is sharp.
    """
    frequencies = np.fft.rfftfreq(len(strain), 1 / SAMPLE_RATE)
    inside = (frequencies >= 20) & (frequencies < 512)
    if rise_hz:
        inside = inside * np.sin(
            np.pi / 2 * np.clip((frequencies - 20) / rise_hz, 0, 1)
        )
    known = np.interp(frequencies, FREQUENCIES, asd)
    gains = inside * np.sqrt(2 / SAMPLE_RATE) / np.maximum(known, 1e-30)
    return np.fft.irfft(np.fft.rfft(strain) * gains, len(strain))


def added(glitch, seconds=16):
    strain = np.zeros(seconds * SAMPLE_RATE)
    glitch.add(strain, ASD)
    return strain


@BOTH
@pytest.mark.parametrize("detector", DETECTORS)
def test_its_norm_when_whitened_is_its_snr(kind, detector):
    for seed in range(3):
        glitch = draw(np.random.default_rng(seed), kind, detector, 8.0)
        strain = added(glitch)
        assert np.isfinite(strain).all()
        assert glitch.snr >= 7.5
        norm = np.linalg.norm(whitened(strain))
        assert norm == pytest.approx(glitch.snr, rel=0.02)
        # With twice the noise it would be half as loud.
        assert np.linalg.norm(whitened(strain, 2 * ASD)) < 0.6 * glitch.snr


@BOTH
def test_brief_ones_are_over_within_a_second(kind):
    shares = []
    for seed in range(20):
        glitch = draw(np.random.default_rng(seed), kind, "L1", 8.0)
        # A sharp edge would ring for as long as one likes.
        power = whitened(added(glitch), rise_hz=5) ** 2
        middle = slice(7 * SAMPLE_RATE, 9 * SAMPLE_RATE)
        shares.append(power[middle].sum() / power.sum())
    assert (min(shares) > 0.95) == KINDS[kind].brief, min(shares)


def test_a_bump_has_its_maximum_and_width_where_it_says():
    shape = np.abs(bump(60.0, 2.0, 0.3))
    assert FREQUENCIES[shape.argmax()] == 60.0
    # One e-fold below: ln^2(f / f0) = 1.
    assert np.interp(60 * np.e, FREQUENCIES, shape) == pytest.approx(np.exp(-1), 1e-3)


def test_scattered_light_is_where_its_arch_is():
    """The loudest frequency of a single harmonic is the arch's peak, by Accadia."""
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        transform = glitches._scattered(rng, 0.1, 7.0)
        peak = np.random.default_rng(seed).uniform(20, 60)
        found.append(FREQUENCIES[np.abs(transform).argmax()] / peak)
    assert np.median(found) == pytest.approx(1.0, abs=0.05)
    assert max(found) < 1.05


def test_it_moves_with_its_time_between_samples():
    one = draw(np.random.default_rng(1), "blip", "H1", 8.0)
    later = Glitch(one.kind, 8.0 + 2.5 / SAMPLE_RATE, one.snr, one.transform)
    still, moved = added(one), added(later)
    frequencies = np.fft.rfftfreq(len(still), 1 / SAMPLE_RATE)
    turn = np.exp(-2j * np.pi * frequencies * 2.5 / SAMPLE_RATE)
    expected = np.fft.irfft(np.fft.rfft(still) * turn)
    scale = np.abs(still).max()
    assert np.abs(moved - expected).max() < 0.01 * scale
    assert np.abs(moved - still).max() > 0.1 * scale


@pytest.mark.parametrize("time_s", [-5.0, -1.0, 0.3, 15.9, 18.0, 21.0])
def test_only_what_lies_in_the_stretch_is_added(time_s):
    drawn = draw(np.random.default_rng(2), "koi_fish", "L1", time_s)
    strain = np.zeros(16 * SAMPLE_RATE)
    drawn.add(strain, ASD)
    inside = Glitch(drawn.kind, time_s + 24, drawn.snr, drawn.transform)
    long = added(inside, seconds=64)[24 * SAMPLE_RATE : 40 * SAMPLE_RATE]
    np.testing.assert_allclose(strain, long, atol=1e-9 * np.abs(long).max())
    assert strain.any() == (-4 < time_s < 20)


@pytest.fixture
def light(monkeypatch):
    """Glitches without a shape, which take no time to draw."""

    def plain(rng, kind, detector, time_s):
        return Glitch(kind, time_s, 10.0, None)

    monkeypatch.setattr(glitches, "draw", plain)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("busy", [1.0, 3.0])
def test_each_kind_is_as_frequent_as_it_should_be(light, detector, busy):
    rng, hours = np.random.default_rng(3), 300
    drawn = catalogue(rng, detector, 3600 * hours, busy)
    for name, kind in KINDS.items():
        count = sum(glitch.kind == name for glitch in drawn)
        expected = busy * kind.rate(detector) * hours
        # Followers come in pairs, which widens the spread a little.
        low, high = poisson.interval(0.9999, expected)
        assert low - 0.1 * expected < count < high + 0.1 * expected, name
    total = busy * sum(kind.rate(detector) for kind in KINDS.values()) * hours
    assert len(drawn) == pytest.approx(total, rel=0.03)


def test_some_follow_another(light):
    """9 to 12% of loud glitches follow another within 10 s; by chance it would be 2."""
    times = [g.time_s for g in catalogue(np.random.default_rng(4), "H1", 3_600_000)]
    assert times == sorted(times)
    share = np.mean(np.diff(times) < 10)
    assert 0.12 < share < 0.22
    rate = len(times) / 3_600_000
    alone = np.random.default_rng(5).exponential(1 / rate, len(times))
    assert np.mean(alone < 10) < 0.12


def test_a_fitted_glitch_has_the_shape_of_a_fit():
    for name, detector in (("tomte", "H1"), ("blip", "V1"), ("blip", "L1")):
        shapes = [bump(*row[:3]) for row in glitches.fits()[name, detector]]
        for seed in range(20):
            glitch = draw(np.random.default_rng(seed), name, detector, 0.0)
            assert any(np.allclose(glitch.transform, shape) for shape in shapes)


def test_blips_are_as_loud_as_found_and_koi_fish_as_fitted():
    rng = np.random.default_rng(7)
    snrs = np.array([draw(rng, "blip", "H1", 0.0).snr for _ in range(4000)])
    for level in (10, 20, 40):
        assert np.mean(snrs > level) == pytest.approx((7.5 / level) ** 1.33, abs=0.03)
    fitted = glitches.fits()["koi_fish", "L1"][:, 3]
    assert draw(rng, "koi_fish", "L1", 0.0).snr in fitted


def test_half_of_those_that_are_aimed_are_close_to_a_merger():
    rng = np.random.default_rng(6)
    times = np.array([glitches.aim(rng, (1.5, 1.8)) for _ in range(4000)])
    close = np.mean((times > 1.3) & (times < 2.0))
    assert close == pytest.approx(0.5 * 0.97 + 0.5 * 0.35, abs=0.03)
