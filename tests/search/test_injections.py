"""Signals that are added: where, how loud, and what their being found says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.search import injections, psd
from gwres.search.strain import open_strain
from gwres.simulate.population import SnrPowerLaw, population
from tests.search.conftest import FIELD, added
from tests.search.recorded import GPS, challenge, white

SPANS = {"H1": [(GPS + 2.0, GPS + 158.0)], "L1": [(GPS + 2.0, GPS + 158.0)]}


@pytest.fixture(scope="module")
def drawn(quiet):
    return injections.draw(quiet, SPANS, FIELD, 10, seed=3)


def test_they_merge_in_the_live_time_and_apart(quiet, drawn):
    times = drawn["time"].to_numpy()
    assert len(drawn) == 10 and drawn["number"].tolist() == list(range(10))
    assert (np.diff(times) >= injections.APART_S).all()
    assert times[0] >= GPS + 2 and times[-1] < GPS + 158
    assert np.ptp(np.diff(times)) > 0.5, "not a comb"
    assert drawn["network_snr"].between(4, 100).all()
    quadrature = np.sqrt((drawn[["snr_H1", "snr_L1", "snr_V1"]] ** 2).sum(axis=1))
    np.testing.assert_allclose(drawn["network_snr"], quadrature)
    assert not drawn["snr_V1"].any(), "V1 has no strain"
    pd.testing.assert_frame_equal(
        drawn, injections.draw(quiet, SPANS, FIELD, 10, seed=3)
    )
    other = injections.draw(quiet, SPANS, FIELD, 10, seed=4)
    assert (other["chirp_mass"] != drawn["chirp_mass"]).all()


def test_only_where_two_detectors_are_live(quiet):
    spans = {
        "H1": [(GPS + 2.0, GPS + 50.0), (GPS + 80.0, GPS + 158.0)],
        "L1": [(GPS + 30.0, GPS + 120.0)],
    }
    table = injections.draw(quiet, spans, FIELD, 5, seed=0)
    live = table["time"].between(GPS + 30, GPS + 50)
    live |= table["time"].between(GPS + 80, GPS + 120)
    assert live.all() and (table["time"].diff().dropna() >= 12).all()
    told = "expected 5 or fewer in 60 s; received 6"
    with pytest.raises(InputError, match=told):
        injections.draw(quiet, spans, FIELD, 6, seed=0)


def test_what_is_added_has_the_snr_and_the_time_that_the_table_says(quiet, drawn):
    own = added(quiet, drawn, seed=3)
    asds = {one.start: one.asd for one in psd.along(quiet)}
    for row in drawn.to_dict("records"):
        begin = np.floor(row["time"]) - 4
        begin = min(max(begin, GPS), GPS + 152.0)
        before, _ = quiet.read(begin, begin + 8)
        after, good = own.read(begin, begin + 8)
        wave = after - before
        assert good[:2].all() and not wave[2].any()
        [asd] = [x for start, x in asds.items() if start <= row["time"] < start + 16]
        frequencies = np.fft.rfftfreq(8 * 2048, 1 / 2048)
        band = (frequencies >= 20) & (frequencies <= 512)
        for place, name in enumerate(("H1", "L1")):
            fine = np.interp(frequencies, np.arange(513), asd[place])
            power = np.abs(np.fft.rfft(wave[place]) / 2048) ** 2 / fine**2
            snr = np.sqrt(4 * power[band].sum() / 8)
            assert snr == pytest.approx(row[f"snr_{name}"], rel=0.05)
        # It ends where it merges.
        energy = np.cumsum(wave[0] ** 2)
        last = begin + np.searchsorted(energy, 0.95 * energy[-1]) / 2048
        assert abs(last - row["time"]) < 0.15


def test_it_is_read_in_pieces_as_in_one(quiet, drawn):
    own = added(quiet, drawn, seed=3)
    assert own.detectors == quiet.detectors and own.spans is quiet.spans
    whole, good = own.read(GPS, GPS + 60)
    pieces = [
        added(quiet, drawn, seed=3).read(GPS + s, GPS + s + 5) for s in range(0, 60, 5)
    ]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in pieces], axis=1), whole)
    assert not (whole == quiet.read(GPS, GPS + 60)[0]).all() and good[:2].all()
    with pytest.raises(AttributeError, match="no_such"):
        own.no_such  # noqa: B018


def test_where_strain_is_cut_nothing_is_added(tmp_path, quiet, merger):
    strain = white(0, 160, 2048)
    strain[86 * 2048 : 87 * 2048] = 0
    data = {("H1", GPS): strain, ("L1", GPS): white(1, 160, 2048)}
    cut = open_strain(challenge(tmp_path / "cut.hdf", data))
    after, good = added(cut, merger).read(GPS + 84, GPS + 88)
    assert not good[0].all() and not after[0][~good[0]].any()
    assert (after[1] != cut.read(GPS + 84, GPS + 88)[0][1]).any()


def test_a_signal_is_found_by_the_candidate_at_its_time():
    table = pd.DataFrame({"time": [100.0, 200.0, 300.0, 400.0]})
    candidates = pd.DataFrame(
        {"time": [99.8, 100.2, 200.31, 400.0], "statistic": [5.0, 9.0, 50.0, 2.0]}
    )
    rows = injections.found(table, candidates, np.array([1.0, 3.0, 8.0]), 1e6)
    np.testing.assert_array_equal(rows["statistic"], [9, np.nan, np.nan, 2])
    # One more than there are as loud, in the background's time.
    month = injections.MONTH_S
    np.testing.assert_allclose(
        rows["far_per_month"], [month / 1e6, np.inf, np.inf, 3 * month / 1e6]
    )
    none = injections.found(table, candidates[:0], np.array([1.0]), 1e6)
    assert np.isinf(none["far_per_month"]).all()


def test_all_found_of_a_ball_reach_its_radius():
    """Evenly in volume up to 3530 Mpc, of which those below 1765 Mpc are found."""
    far = population("volumetric")
    count = 4000
    distance = far.loudness.far_mpc * ((np.arange(count) + 0.5) / count) ** (1 / 3)
    rows = pd.DataFrame({"luminosity_distance": distance, "network_snr": 1.0})
    near = distance < far.loudness.far_mpc / 2
    rows["far_per_month"] = np.where(near, 5.0, np.inf)
    table = injections.reached(rows, far, 1e9, rates=(100.0, 5.0, 4.0)).set_index(
        "far_per_month"
    )
    for rate in (100.0, 5.0):
        line = table.loc[rate]
        assert line["found"] == near.sum() and line["injections"] == count
        assert line["fraction"] == pytest.approx(1 / 8, abs=1e-3)
        assert line["fraction_low"] < 1 / 8 < line["fraction_high"]
        radius = far.loudness.far_mpc / 2
        assert line["distance_mpc"] == pytest.approx(radius, rel=1e-3)
        assert line["distance_mpc_low"] < radius < line["distance_mpc_high"]
    assert table.loc[4.0, "found"] == 0 and table.loc[4.0, "distance_mpc"] == 0


def test_snrs_of_a_power_law_stand_for_a_uniform_density():
    """All binaries of one kind are heard at SNR 8 or more, at 800 Mpc or nearer."""
    rng = np.random.default_rng(0)
    for index in (-4.0, -2.5):
        loudness = SnrPowerLaw(floor=4.0, ceiling=1000.0, index=index)
        made = replace(FIELD, loudness=loudness)
        snr = 6400 / loudness.distance(rng.random(200_000), np.full(200_000, 6400.0))
        rows = pd.DataFrame({"network_snr": snr, "luminosity_distance": 6400 / snr})
        rows["far_per_month"] = np.where(snr >= 8, 0.5, np.inf)
        [line] = injections.reached(rows, made, 1e9, rates=(1.0,)).to_dict("records")
        assert line["distance_mpc"] == pytest.approx(800, rel=0.02)
        assert line["distance_mpc_low"] < line["distance_mpc_high"]


def test_a_short_background_knows_no_low_rate():
    rows = pd.DataFrame({"network_snr": [9.0], "luminosity_distance": [100.0]})
    rows["far_per_month"] = 0.0
    table = injections.reached(rows, FIELD, injections.MONTH_S / 100)
    known = table.set_index("far_per_month")["found"].notna()
    assert known.to_dict() == {1000.0: True, 100.0: True, 10.0: False, 1.0: False}
