"""The local PSD, and gates."""

import logging
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.signal import welch

from gwres.errors import InputError
from gwres.layers.whiten import refined
from gwres.matched.reweighted import ZERO_S, gate
from gwres.search import psd
from gwres.search.strain import open_strain
from gwres.simulate.noise import estimate, measured, stretch
from gwres.strain import SAMPLE_RATE, SCALE, WHITENED_RATE, check_asds
from tests.search.recorded import GPS, challenge, gwosc

SECONDS = 192


def detector_noise(seed, detector="H1", seconds=SECONDS):
    """Noise of a detector with a spectrum as measured, without glitches."""
    rng = np.random.default_rng(seed)
    return stretch(rng, detector, seconds, measured(detector)[0], busy=0.0)[0]


@pytest.fixture(scope="module")
def pair():
    return detector_noise(1), detector_noise(2, "L1")


@pytest.fixture
def recording(tmp_path, pair):
    values = {("H1", GPS): pair[0], ("L1", GPS): pair[1]}
    return open_strain(challenge(tmp_path / "data.hdf", values))


def burst(time_s, peak, hertz=100.0, width_s=0.02, seconds=SECONDS):
    """A sine-Gaussian that whitening makes loud."""
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE - time_s
    return peak * np.exp(-((times / width_s) ** 2)) * np.cos(2 * np.pi * hertz * times)


def test_whole_strain_has_the_estimate_of_the_minute_around(recording, pair):
    spectra = list(psd.along(recording))
    assert [one.start - GPS for one in spectra] == list(range(0, SECONDS, 16))
    assert [one.stop - one.start for one in spectra] == [16.0] * 12
    for place, first in (0, 0), (6, 72), (11, SECONDS - 64):
        around = slice(first * SAMPLE_RATE, (first + 64) * SAMPLE_RATE)
        known = estimate(np.stack([strain[around] for strain in pair]))
        assert np.allclose(spectra[place].asd[:2], known, rtol=1e-9, atol=0)
        assert spectra[place].seconds.tolist() == [64, 64, 0]
        assert spectra[place].short.tolist() == [False, False, True]
    other = estimate(pair[0][: 64 * SAMPLE_RATE])
    assert not np.allclose(spectra[6].asd[0], other, rtol=0.01, atol=0)


def test_whitening_takes_it(recording):
    one = next(psd.along(recording))
    assert one.asd.shape == (3, 513) and not one.asd[2].any()
    check_asds(one.asd[None], np.array([[True, True, False]]))
    fine = np.asarray(refined(one.asd[None]))
    assert fine.shape == (1, 3, 2049) and np.isfinite(fine).all()
    assert np.allclose(fine[0, :2, ::4][:, 20:], one.asd[:2, 20:] / SCALE, rtol=1e-4)


def test_the_last_part_is_what_is_left(tmp_path):
    values = {("H1", GPS): detector_noise(3, seconds=100)}
    spectra = list(psd.along(open_strain(challenge(tmp_path / "a.hdf", values))))
    assert [one.stop - GPS for one in spectra] == [16, 32, 48, 64, 80, 96, 100]
    assert not any(one.short[0] for one in spectra)


def test_it_follows_the_noise(tmp_path):
    values = detector_noise(4)
    values[SECONDS // 2 * SAMPLE_RATE :] *= 3
    recording = open_strain(challenge(tmp_path / "a.hdf", {("H1", GPS): values}))
    spectra = list(psd.along(recording, every_s=8))
    assert len(spectra) == SECONDS // 8
    ratio = np.median(spectra[-1].asd[0, 20:] / spectra[0].asd[0, 20:])
    assert 2.8 < ratio < 3.2


def test_what_is_cut_is_left_out(tmp_path, pair):
    """Twenty seconds of 30 times the noise, flagged, between good ones."""
    dirty = pair[0].copy()
    dirty[90 * SAMPLE_RATE : 110 * SAMPLE_RATE] *= 30
    quality = np.full(SECONDS, 127)
    quality[90:110] = 0

    def asd(name, values, dq):
        path = gwosc(tmp_path / name, "H1", values, rate=SAMPLE_RATE, dq=dq)
        spectra = list(psd.along(open_strain(path)))
        assert not any(one.short[0] for one in spectra)
        return np.array([one.asd[0, 25:500] for one in spectra])

    clean = asd("clean.h5", pair[0], None)
    flagged = asd("flagged.h5", dirty, quality)
    unflagged = asd("unflagged.h5", dirty, None)
    # In the middle of the cut, what is known comes from both sides of it.
    assert np.abs(np.median(flagged / clean, axis=1) - 1).max() < 0.04
    assert np.median(unflagged / clean, axis=1).max() > 1.2


def test_a_hole_costs_the_segments_that_it_touches(tmp_path, pair):
    values = pair[0].copy()
    values[96 * SAMPLE_RATE + 700] = np.nan
    recording = open_strain(challenge(tmp_path / "a.hdf", {("H1", GPS): values}))
    spectrum = list(psd.along(recording))[6]
    assert np.isfinite(spectrum.asd).all() and not spectrum.short[0]
    assert spectrum.seconds[0] == 63.5 + 1  # the hole's own half second is lost
    # By hand: two segments are lost, and the next on either side take their place.
    powers = []
    for first in np.arange(71.5, 136, 0.5):
        begin = round(first * SAMPLE_RATE)
        segment = values[begin : begin + SAMPLE_RATE]
        powers += [welch(segment, SAMPLE_RATE, nperseg=SAMPLE_RATE, detrend=False)[1]]
    powers = [power for power in powers if np.isfinite(power).all()]
    assert len(powers) == 127
    # Mean of the median of 127 exponential draws.
    bias = sum((-1) ** (one + 1) / one for one in range(1, 128))
    known = np.sqrt(np.median(powers, axis=0)[:513] / bias)
    assert np.allclose(spectrum.asd[0], known, rtol=1e-9, atol=0)


@pytest.mark.parametrize("seconds", [1, 10, 63])
def test_a_short_stretch_says_so(tmp_path, caplog, seconds):
    values = detector_noise(5, seconds=64)[: seconds * SAMPLE_RATE]
    recording = open_strain(challenge(tmp_path / "a.hdf", {("H1", GPS): values}))
    with caplog.at_level(logging.WARNING):
        spectra = list(psd.along(recording))
    assert all(one.short[0] for one in spectra)
    assert {one.seconds[0] for one in spectra} == {float(seconds)}
    assert len(caplog.records) == 1
    assert f"H1: PSD from GPS {GPS} on is made from {seconds}.0 s" in caplog.text
    # One segment is one draw of an exponential; more are closer to the truth.
    ratio = np.median(spectra[0].asd[0, 25:500] / measured("H1")[0][25:500])
    assert 0.7 < ratio < 1.1 if seconds == 1 else 0.93 < ratio < 1.07


def test_whole_strain_gives_no_warning(recording, caplog):
    with caplog.at_level(logging.WARNING):
        list(psd.along(recording))
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "value"),
    [("around_s", 63), ("around_s", np.nan), ("every_s", 0), ("every_s", 65)],
)
def test_settings_out_of_range(recording, name, value):
    with pytest.raises(InputError, match=name):
        next(psd.along(recording, **{name: value}))
    with pytest.raises(InputError, match=name):
        psd.excursions(recording, **{name: value})


def test_a_longer_surrounding(recording, pair):
    spectrum = list(psd.along(recording, around_s=128))[6]
    known = estimate(pair[0][40 * SAMPLE_RATE : 168 * SAMPLE_RATE])
    assert np.allclose(spectrum.asd[0], known, rtol=1e-9, atol=0)


def with_bursts(tmp_path, pair, *bursts):
    values = pair[0] + sum(burst(*one) for one in bursts)
    path = challenge(tmp_path / "b.hdf", {("H1", GPS): values, ("L1", GPS): pair[1]})
    return open_strain(path)


def test_quiet_noise_and_signals_pass(tmp_path, recording, pair):
    assert psd.excursions(recording).empty
    # Whitened peak of about 25: louder than any binary yet.
    assert psd.excursions(with_bursts(tmp_path, pair, (100, 3e-21))).empty


def test_levels_are_in_standard_deviations_of_the_noise(recording):
    assert psd.excursions(recording, level=6.5).empty
    # One in 2,100 of 400,000 samples.
    assert 30 < len(psd.excursions(recording, level=3.5)) < 200


@pytest.mark.parametrize("time_s", [5.0, 104.3, 96.0, 95.9, 96.2, 191.0])
def test_an_extreme_excursion_is_found_once(tmp_path, pair, time_s):
    """Also on the border of two parts."""
    recording = with_bursts(tmp_path, pair, (time_s, 1e-19))
    gates = psd.excursions(recording)
    assert list(gates.columns) == ["detector", "start", "stop", "peak"]
    [one] = gates.itertuples(index=False)
    assert one.detector == "H1" and one.peak > 200
    assert one.start < GPS + time_s - ZERO_S and one.stop > GPS + time_s + ZERO_S
    assert one.stop - one.start < 1.0
    first = max(GPS, GPS + round(time_s) - 4)
    strain, _ = recording.read(first, min(first + 8, recording.stop))
    silent = psd.silenced(strain, first, gates)
    center = round((GPS + time_s - first) * SAMPLE_RATE)
    assert np.abs(strain[0, center]) > 5e-20 and silent[0, center] == 0
    assert np.array_equal(silent[1], strain[1])
    far = np.abs(np.arange(strain.shape[1]) - center) > SAMPLE_RATE
    assert np.array_equal(silent[0, far], strain[0, far])
    assert np.abs(silent).max() < 1e-19 / 4


def test_two_close_ones_share_a_gate_and_others_do_not(tmp_path, pair):
    near = with_bursts(tmp_path, pair, (100, 1e-19), (100.4, 1e-19))
    assert len(psd.excursions(near)) == 1
    apart = with_bursts(tmp_path, pair, (100, 1e-19), (102, 2e-19))
    gates = psd.excursions(apart)
    assert len(gates) == 2
    assert gates.start.is_monotonic_increasing
    assert gates.peak[1] == pytest.approx(2 * gates.peak[0], rel=0.1)


def test_gates_are_those_of_the_classical_side():
    """The same weights, from a table, as `reweighted.gate` has on whitened strain."""
    white = np.zeros((8 * WHITENED_RATE, 1))
    for sample in 2000, 2100, 2900, 6000:
        white[sample] = 99
    rate = WHITENED_RATE
    rows = [(2000 / rate, 2100 / rate), (2900 / rate,) * 2, (6000 / rate,) * 2]
    gates = pd.DataFrame(
        [("L1", GPS + one - ZERO_S, GPS + two + ZERO_S, 99) for one, two in rows],
        columns=["detector", "start", "stop", "peak"],
    )
    weight = psd.weights(gates, GPS, 8 * SAMPLE_RATE)
    assert (weight[[0, 2]] == 1).all()
    _, where = gate(white)
    ones, _ = gate(np.where(white > 0, white, 1.0))
    assert np.allclose(
        weight[1, ::2][~(white > 0)[:, 0]], ones[~(white > 0)], atol=2e-6
    )
    assert ((weight[1, ::2] < 1) == where[:, 0]).mean() > 0.999
    inside = psd.weights(gates, GPS + 2, 1000)
    assert np.array_equal(inside, weight[:, 2 * SAMPLE_RATE :][:, :1000])


def test_gated_strain_is_left_out_of_the_psd(tmp_path, pair):
    """One glitch after the other for most of a minute, which no median withstands."""
    times = np.arange(80, 130, 0.9)
    recording = with_bursts(tmp_path, pair, *[(time, 1e-19) for time in times])
    rows = [("H1", GPS + time - 0.4, GPS + time + 0.4, 500.0) for time in times]
    gates = pd.DataFrame(rows, columns=["detector", "start", "stop", "peak"])
    clean = open_strain(challenge(tmp_path / "c.hdf", {("H1", GPS): pair[0]}))
    truth = list(psd.along(clean))[6].asd[0, 95:105]
    moved = list(psd.along(recording))[6].asd[0, 95:105]
    kept = list(psd.along(recording, gates=gates))[6]
    assert np.median(moved / truth) > 5
    assert np.median(kept.asd[0, 95:105] / truth) == pytest.approx(1, abs=0.1)
    assert not kept.short[:2].any()


def test_tapers_are_left_out_of_the_psd(tmp_path, pair):
    """Bursts in the tapers of gates, where a segment ends before the gate."""
    times = np.arange(40.9, 160, 2)
    recording = with_bursts(tmp_path, pair, *[(time, 1e-19) for time in times])
    rows = [("H1", GPS + time + 0.2, GPS + time + 0.4, 500.0) for time in times]
    gates = pd.DataFrame(rows, columns=["detector", "start", "stop", "peak"])
    truth = estimate(pair[0][40 * SAMPLE_RATE : 168 * SAMPLE_RATE])[95:105]
    kept = list(psd.along(recording, gates=gates))[6].asd[0, 95:105]
    assert np.median(kept / truth) == pytest.approx(1, abs=0.1)


def test_the_edges_of_what_is_cut_are_no_excursions(tmp_path, pair):
    """Strong noise below the band that ends at once is no glitch."""
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    values = pair[0] + 3e-19 * np.cos(2 * np.pi * 8 * times)
    values[50 * SAMPLE_RATE : 53 * SAMPLE_RATE + 77] = 0
    values[100 * SAMPLE_RATE + 5] = np.nan
    recording = open_strain(challenge(tmp_path / "a.hdf", {("H1", GPS): values}))
    assert set(recording.cuts.reason) == {"zeros", "not finite"}
    assert psd.excursions(recording, level=15).empty


def test_parts_do_not_depend_on_how_they_are_worked_on(tmp_path, monkeypatch, caplog):
    """By groups, by processes, or from the middle on: the same numbers."""
    values = detector_noise(7, seconds=200)
    values[30 * SAMPLE_RATE : 170 * SAMPLE_RATE] = 0
    recording = open_strain(challenge(tmp_path / "a.hdf", {("H1", GPS): values}))
    expected = [psd.whitened(recording, one) for one in psd.along(recording)]
    assert "PSD" in caplog.text
    monkeypatch.setattr(psd, "GROUP", 3)
    for first in (0, 5):
        caplog.clear()
        made = list(psd.parts(recording, first=first))
        assert len(made) == len(expected) - first
        for (_, one), other in zip(made, expected[first:]):
            np.testing.assert_array_equal(one, other)
        assert caplog.text.count("H1: PSD from GPS") == 1
    monkeypatch.setenv("GWRES_WORKERS", "2")
    for (_, one), other in zip(psd.parts(recording), expected):
        np.testing.assert_array_equal(one, other)


def test_memory_does_not_grow_with_the_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr(psd, "GROUP", 4)
    values = detector_noise(6, seconds=64)
    for number in range(6):
        gps = GPS + 64 * number
        challenge(tmp_path / f"{number:02}.hdf", {("H1", gps): values})
    files = sorted(tmp_path.iterdir())

    def peak(files):
        recording = open_strain(files)
        tracemalloc.start()
        psd.excursions(recording)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(files) < 1.1 * peak(files[:3])
