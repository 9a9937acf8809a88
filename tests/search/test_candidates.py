"""Candidates are the loudest averages, whatever chunks they are found in."""

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.search.candidates import Clusters

START = 1126259446.0


def windows(statistic, start=START, detectors="H1 L1"):
    times = start + 0.1 * np.arange(len(statistic))
    return pd.DataFrame({"time": times, "statistic": statistic, "detectors": detectors})


def found(table, edges=(), **settings):
    """Candidates of a table given in chunks that end at `edges`."""
    clusters = Clusters(**settings)
    ends = [0, *edges, len(table)]
    chunks = [table.iloc[low:high] for low, high in zip(ends[:-1], ends[1:])]
    parts = [*map(clusters.add, chunks), clusters.finish()]
    return pd.concat(parts, ignore_index=True), clusters


def noise(rng, count):
    """Correlated as overlapping windows are, with ties, gaps and unscored windows."""
    values = np.convolve(rng.normal(size=count + 4), np.ones(5), "valid").round(1)
    values[rng.random(count) < 0.01] = np.nan
    values[70:90] = 2.5
    table = windows(values)
    table["detectors"] = rng.choice(["H1 L1", "H1 L1 V1", "L1 V1"], count)
    table.loc[count // 2 :, "time"] += 7.03
    return table.drop(index=range(40, 65)).reset_index(drop=True)


def plainly(table, threshold, count, apart_s):
    """Candidates by looking at all averages at once."""
    averages = []
    for last in range(count - 1, len(table)):
        part = table.iloc[last - count + 1 : last + 1]
        length = part["time"].iloc[-1] - part["time"].iloc[0]
        if part["statistic"].notna().all() and abs(length - 0.1 * (count - 1)) < 1e-3:
            middle = part["time"].iloc[[0, -1]].mean()
            used = part["detectors"].iloc[count // 2]
            averages.append((middle, sum(part["statistic"]) / count, used))
    chosen = []
    for i, (time, value, used) in enumerate(averages):
        near = [
            (other, j)
            for j, (t, other, _) in enumerate(averages)
            if abs(t - time) <= apart_s + 1e-3
        ]
        best = max(near, key=lambda pair: (pair[0], -pair[1]))
        hidden = any(other == value and j < i for other, j in near)
        if value > threshold and best[0] == value and not hidden:
            chosen.append((time, value, used))
    return chosen, len(averages)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length_s", [0, 0.3, 1.0])
def test_chunks_and_one_piece_and_brute_force_agree(seed, length_s):
    rng = np.random.default_rng(seed)
    table = noise(rng, 900)
    settings = {"threshold": 0.5, "length_s": length_s, "apart_s": 0.7}
    whole, clusters = found(table, **settings)
    chosen, count = plainly(table, 0.5, max(round(length_s / 0.1), 1), 0.7)
    expected = pd.DataFrame(chosen, columns=["time", "statistic", "detectors"])
    assert len(expected) > 10
    pd.testing.assert_frame_equal(whole, expected, rtol=0, atol=1e-12)
    assert clusters.live_s == pytest.approx(0.1 * count)
    for pieces in (1, 5, 300):
        edges = np.sort(rng.integers(0, len(table), pieces))
        parts, chunked = found(table, edges, **settings)
        pd.testing.assert_frame_equal(parts, whole, check_exact=True)
        assert chunked.live_s == clusters.live_s


def test_window_by_window_is_as_in_one_piece():
    table = noise(np.random.default_rng(5), 160)
    whole, _ = found(table, threshold=0.5, apart_s=0.7)
    single, _ = found(table, range(1, len(table)), threshold=0.5, apart_s=0.7)
    assert len(whole) > 3
    pd.testing.assert_frame_equal(single, whole, check_exact=True)


def test_a_merger_is_one_candidate_at_its_time():
    """A plateau of ten windows; its average is highest in its middle."""
    values = np.full(200, -5.0)
    values[80:90] = 20
    rows, _ = found(windows(values), threshold=0)
    assert len(rows) == 1
    assert rows["time"][0] == pytest.approx(START + 8.45, abs=1e-6)
    assert rows["statistic"][0] == pytest.approx(20)
    # Without the average the first window of the plateau is as loud as any.
    alone, _ = found(windows(values), threshold=0, length_s=0)
    assert alone["time"][0] == pytest.approx(START + 8.0, abs=1e-6)


def test_a_lone_loud_window_counts_little():
    values = np.full(100, -5.0)
    values[50] = 20
    assert not len(found(windows(values), threshold=0)[0])
    assert len(found(windows(values), threshold=0, length_s=0)[0]) == 1


def test_what_is_kept_does_not_grow():
    clusters = Clusters(threshold=-100.0)
    rng, most = np.random.default_rng(0), 0
    for chunk in range(50):
        clusters.add(windows(rng.normal(size=100), START + 10 * chunk))
        most = max(most, len(clusters._loud) + len(clusters._windows))
    # All are above the threshold: 2 s of averages, and those that are not complete.
    assert 20 <= most <= 40


def test_candidates_are_given_as_soon_as_they_are_decided():
    values = np.full(100, -5.0)
    values[40:50] = 20
    clusters = Clusters(threshold=0)
    given = [
        len(clusters.add(windows([v], START + 0.1 * i))) for i, v in enumerate(values)
    ]
    assert sum(given) == 1
    # Its average ends with window 49, and nothing after 1 s more can hide it.
    assert 59 <= given.index(1) <= 61


def test_averages_reach_across_no_gap():
    values = np.full(9, 9.0)
    apart = pd.concat([windows(values), windows(values, START + 5)])
    rows, clusters = found(apart, threshold=0)
    assert not len(rows) and clusters.live_s == 0
    joined = pd.concat([windows(values), windows(values, START + 0.9)])
    rows, clusters = found(joined, threshold=0)
    assert len(rows) == 1 and clusters.live_s == pytest.approx(0.9)


def test_nothing_gives_nothing():
    rows, clusters = found(windows([]), threshold=0)
    assert list(rows) == ["time", "statistic", "detectors"] and not len(rows)
    assert clusters.live_s == 0
    rows, clusters = found(windows(np.full(50, np.nan)), threshold=0)
    assert not len(rows) and clusters.live_s == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"statistic": [0, np.inf, 0]}, "1 that are infinite"),
        ({"time": [0.0, 0.1, 0.1]}, "received 0.1 after 0.1"),
        ({"time": [0.0, np.nan, 0.2]}, "received nan after 0.0"),
        ({"time": [0.0, 0.05, 0.2]}, "rise by the step, 0.1 s"),
    ],
)
def test_a_wrong_statistic_is_refused(change, told):
    with pytest.raises(InputError, match=told):
        Clusters(threshold=0).add(windows([0.0, 1.0, 2.0]).assign(**change))


def test_chunks_out_of_order_are_refused():
    clusters = Clusters(threshold=0)
    clusters.add(windows([1.0, 2.0]))
    with pytest.raises(InputError, match="times must rise"):
        clusters.add(windows([1.0, 2.0]))
    with pytest.raises(InputError, match="columns time, statistic, detectors"):
        clusters.add(windows([1.0]).drop(columns="detectors"))


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": np.nan},
        {"threshold": 0, "length_s": 0.25},
        {"threshold": 0, "apart_s": -1},
        {"threshold": 0, "step_s": 0},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InputError, match="received"):
        Clusters(**settings)
