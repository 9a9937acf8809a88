"""Detectors that agree are found, at their time, in slides as in data that moved."""

import numpy as np
import pandas as pd
import pytest

from gwres.search import slides, snrs, triggers, windows
from gwres.search.strain import open_strain
from tests.search.conftest import FIELD, MERGER, added
from tests.search.recorded import GPS, challenge

STILL = {"H1": 0.0, "L1": 0.0}
MOVED = {"H1": 0.0, "L1": 16.0}  # of slide 4; a part of the strain has its PSD


def moved(recording, path, later_s):
    """The same strain, of which that of L1 is so much later."""
    strain, _ = recording.read(recording.start, recording.stop)
    data = {("H1", GPS): strain[0], ("L1", GPS + int(later_s)): strain[1]}
    return open_strain(challenge(path, data))


def spans_of(stretch):
    return windows.spans(stretch, windows.trim_s(FIELD.merger_s, 1.0))


def found(maps, offsets, spans, threshold=triggers.THRESHOLD, least=2):
    pieces = triggers.find(maps, offsets, spans, least, threshold)
    return triggers.table([(0, times, ratios) for times, ratios, *_ in pieces])


@pytest.fixture(scope="module")
def early(quiet, merger, tmp_path_factory):
    """The strain of `loud`, with that of L1 16 s early."""
    folder = tmp_path_factory.mktemp("early")
    return windows.whiten(
        moved(added(quiet, merger), folder / "early.hdf", -16), folder
    )


def near(table, time, within_s=1 / 32):
    return table[(table["time"] - time).abs() <= within_s]


def test_a_signal_is_found_where_the_detectors_agree(loud, maps, early, doubting):
    apart = triggers.measure(early, doubting, early.path.parent)
    [one] = near(found(maps, STILL, spans_of(loud)), MERGER)["trigger"]
    assert one > 1.5 * triggers.THRESHOLD
    # In slides it is not, nor where the data are apart.
    for one_of, offsets, stretch in (
        (maps, MOVED, loud),
        (maps, {"H1": 0.0, "L1": -4.0}, loud),
        (apart, STILL, early),
    ):
        table = found(one_of, offsets, spans_of(stretch), threshold=0.75 * one)
        assert near(table, MERGER, 1.0).empty
        assert near(table, MERGER + offsets["L1"], 1.0).empty
    # The slide that moves L1 back has it again, and as loud.
    [back] = near(found(apart, MOVED, spans_of(early)), MERGER)["trigger"]
    assert back == pytest.approx(one, rel=0.01)


def test_a_slide_is_data_that_moved(
    loud, maps, quiet, merger, doubting, judge, tmp_path
):
    """Triggers and logits, to the last digits, away from the ends."""
    later = moved(added(quiet, merger), tmp_path / "later.hdf", 16)
    stretch = windows.whiten(later, tmp_path)
    own = triggers.measure(stretch, doubting, tmp_path)
    still = found(own, STILL, spans_of(stretch), threshold=9.0)
    slid = found(maps, MOVED, spans_of(loud), threshold=9.0)
    inner = still[still["time"].between(GPS + 34, GPS + 140)].reset_index(drop=True)
    again = slid[slid["time"].between(GPS + 34, GPS + 140)].reset_index(drop=True)
    assert len(inner) > 5
    pd.testing.assert_frame_equal(inner, again, rtol=1e-3)
    other = found(maps, {"H1": 0.0, "L1": 20.0}, spans_of(loud), threshold=9.0)
    assert len(near(other, inner["time"].iloc[0])) == 0
    times = [*inner["time"][:6], MERGER, MERGER + 16]
    arguments = {0: STILL, 4: MOVED}, FIELD.merger_s
    for held in (None, judge.scorer):
        parts = [held and snrs.Snrs(held, one) for one in (loud, stretch)]
        plain, same = (
            list(windows.score(judge.scorer, one, [(slide, x) for x in times], *rest))
            for one, slide, rest in (
                (loud, 4, (*arguments, parts[0])),
                (stretch, 0, (*arguments, parts[1])),
            )
        )
        np.testing.assert_allclose(
            *([x for x, _ in one] for one in (plain, same)), 1e-3
        )
        assert all(used == "H1 L1" for _, used in plain + same)


def test_maps_are_the_highest_snrs_of_their_bins(loud, maps, doubting):
    design, prior = doubting.coarse, doubting.coarse_prior
    layer = triggers.Templates(design.grid, dtype="float32")
    layer.fit(design)
    first = loud.sample(MERGER) // 1024 * 1024
    for place, name in enumerate(("H1", "L1")):
        parts = snrs.measured(layer, loud, name, first, first + 1024)
        power = np.minimum(parts[0] ** 2 + parts[1] ** 2, triggers.LOUDEST)
        weight = prior.spread[place] / (1 + prior.spread[place]) / 2
        each = triggers.BIN // design.grid.tick
        highest = power.reshape(64, each, -1).max(axis=1) * weight
        rows = maps.rows(name, first // triggers.BIN, first // triggers.BIN + 64)
        if triggers.REACH[name]:
            # Light's way: a bin holds what its neighbours do.
            assert (rows > highest * 0.99).all()
            highest = np.max([highest[:-2], highest[1:-1], highest[2:]], axis=0)
            rows = rows[1:-1]
        np.testing.assert_allclose(rows, highest, rtol=1e-3, atol=1e-3)
    outside = maps.rows("H1", -3, 2)
    assert not outside[:3].any() and outside[3:].any()


@pytest.mark.parametrize("left", [0, 777, 2 * 1024 * 128, 5 * 1024 * 128 + 1])
def test_a_stopped_measurement_goes_on(loud, maps, doubting, tmp_path, left):
    for name in ("H1", "L1"):
        whole = maps.paths[name].read_bytes()
        (tmp_path / f"{name}.f2").write_bytes(whole[:left])
    again = triggers.measure(loud, doubting, tmp_path)
    for name in ("H1", "L1"):
        assert again.paths[name].read_bytes() == maps.paths[name].read_bytes()
    assert (again.bins, again.count) == (maps.bins, maps.count)


def test_triggers_are_apart_and_within_the_live_time(loud, maps):
    spans = spans_of(loud)
    table = found(maps, STILL, spans, threshold=8.0)
    assert len(table) > 20
    assert table["time"].diff().min() >= triggers.APART * triggers.BIN_S
    start, stop = spans["H1"][0]
    assert table["time"].between(start, stop).all()
    half = {"H1": spans["H1"], "L1": [(start + 60, stop)]}
    late = found(maps, STILL, half, threshold=8.0)
    assert late["time"].min() >= start + 60
    lone = found(maps, STILL, half, threshold=8.0, least=1)
    assert lone["time"].min() < start + 60
    assert found(maps, STILL, {"H1": spans["H1"], "L1": []}).empty
    assert slides.foreground_s(half) == pytest.approx(stop - start - 60)


@pytest.mark.parametrize("chunk", [700, 2048])
def test_chunks_change_nothing(loud, maps, monkeypatch, chunk):
    arguments = maps, MOVED, spans_of(loud), 14.0
    whole = found(*arguments)
    monkeypatch.setattr(triggers, "CHUNK", chunk)
    monkeypatch.setattr(triggers, "BLOCK", 100)
    pd.testing.assert_frame_equal(found(*arguments), whole)
    assert len(whole) > 3


def test_a_candidate_is_where_its_signal_is(loud, merger, doubting):
    rows = pd.DataFrame({"time": [MERGER + 0.3], "detectors": ["H1 L1"], "n": [7]})
    [one] = triggers.locate(loud, doubting, rows, 0.6).to_dict("records")
    assert abs(one["time"] - MERGER) < 0.03 and one["n"] == 7
    for name in ("H1", "L1"):
        optimal = merger[f"snr_{name}"].iloc[0]
        assert one[f"snr_{name}"] == pytest.approx(optimal, rel=0.15)
        assert 0.4 < one[f"chi2_{name}"] < 2
    assert np.isnan(one["snr_V1"]) and np.isnan(one["chi2_V1"])
    none = triggers.locate(loud, doubting, rows[:0], 0.6)
    assert list(none) == [*rows.columns.drop("time"), "time", *none.columns[3:]]


def test_a_glitch_has_a_high_chi_squared(loud, doubting, tmp_path):
    """A burst in one detector, as loud as the signal."""
    other = tmp_path / "white.f4"
    strain = np.array(loud.strain)
    middle = loud.sample(GPS + 40.0)
    times = np.arange(-60, 60)
    burst = np.sin(times * 0.9) * np.exp(-((times / 8) ** 2))
    strain[middle - 60 : middle + 60, 0] += 15 * burst / np.linalg.norm(burst)
    strain.tofile(other)
    stretch = windows.Stretch(
        other, loud.start, loud.samples, loud.detectors, loud.whole
    )
    rows = pd.DataFrame({"time": [GPS + 40.0], "detectors": ["H1"]})
    [one] = triggers.locate(stretch, doubting, rows, 0.1).to_dict("records")
    assert one["snr_H1"] > 6 and one["chi2_H1"] > 2.5
