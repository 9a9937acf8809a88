"""The plan of slides and its live times, held against a count of every second."""

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.search import slides

START = 1126259446


def ragged(rng, detectors, seconds=400):
    """Spans on whole seconds, with gaps, out of order, some overlapping."""
    spans = {}
    for name in detectors:
        edges = np.sort(rng.choice(seconds, 12, replace=False)).reshape(-1, 2) + START
        edges[0, 1] = edges[1, 0] + 1
        spans[name] = [tuple(map(float, one)) for one in rng.permutation(edges)]
    return spans


def seconds(spans, offset, low=-2000, high=3000):
    """Which seconds from START + low on a detector's moved spans hold."""
    held = np.zeros(high - low, dtype=bool)
    for start, stop in spans:
        held[int(start + offset) - START - low : int(stop + offset) - START - low] = (
            True
        )
    return held


@pytest.mark.parametrize("detectors", ["H1 L1", "L1 V1", "H1 L1 V1"])
@pytest.mark.parametrize("seed", range(3))
def test_live_times_are_those_of_a_count_of_seconds(detectors, seed):
    rng = np.random.default_rng(seed)
    spans = ragged(rng, detectors.split())
    table = slides.plan(spans, step_s=3.0)
    assert len(table) > 20
    for row in table.to_dict("records"):
        moved = [seconds(own, row[name]) for name, own in spans.items()]
        assert row["live_s"] == np.sum(np.sum(moved, axis=0) >= 2)
    # All that there can be: none is live beyond.
    reach = 3.0 * np.array(slides.MULTIPLES[: len(spans)])
    for slide in range(-300, 300):
        if slide and slide not in set(table["slide"]):
            moved = [seconds(own, slide * r) for own, r in zip(spans.values(), reach)]
            assert not np.any(np.sum(moved, axis=0) >= 2)
    still = [seconds(own, 0) for own in spans.values()]
    assert slides.foreground_s(spans) == np.sum(np.sum(still, axis=0) >= 2)


@pytest.mark.parametrize("detectors", ["H1 L1", "H1 L1 V1"])
def test_what_is_left_out_is_a_count_of_seconds_too(detectors):
    rng = np.random.default_rng(3)
    spans = ragged(rng, detectors.split())
    table = slides.plan(spans, count=30, step_s=3.0)
    times = START + np.array([50.0, 55.0, 200.0, 390.0])
    left = slides.without(table, spans, times, 4.0)
    near = seconds([(t - 4, t + 4) for t in times], 0)
    for row, live_s in zip(table.to_dict("records"), left):
        moved, lost = [], []
        for name, own in spans.items():
            held = seconds(own, row[name])
            moved.append(held)
            lost.append(held & np.roll(near, int(row[name])))
        counted = (np.sum(moved, axis=0) >= 2) & ~np.any(lost, axis=0)
        assert live_s == counted.sum()
    assert (left < table["live_s"]).any()
    none = slides.without(table, spans, [], 4.0)
    np.testing.assert_array_equal(none, table["live_s"])


def test_detectors_never_stand_at_the_same_distance_twice():
    spans = {name: [(START, START + 200.0)] for name in ("H1", "L1", "V1")}
    table = slides.plan(spans)
    for one, other in (("H1", "L1"), ("H1", "V1"), ("L1", "V1")):
        apart = table[one] - table[other]
        assert apart.abs().min() >= slides.STEP_S, "zero-lag is no slide"
        assert apart.is_unique


def test_a_whole_stretch_gives_the_square_of_its_length_over_the_step():
    spans = {name: [(START, START + 4000.0)] for name in ("H1", "L1")}
    table = slides.plan(spans)
    assert len(table) == 2 * 999
    assert table["live_s"].sum() == pytest.approx(4000**2 / 4, rel=2e-3)
    assert list(table["slide"][:4]) == [1, -1, 2, -2]
    assert table["live_s"][0] == 3996
    assert slides.foreground_s(spans) == 4000


def test_as_many_as_asked_for_or_as_there_can_be():
    spans = {"L1": [(START, START + 20.0)], "H1": [(START, START + 20.0)]}
    assert list(slides.plan(spans, count=3)["slide"]) == [1, -1, 2]
    assert len(slides.plan(spans, count=100)) == 8
    assert list(slides.plan(spans)) == ["slide", "H1", "L1", "live_s"]
    assert not len(slides.plan({"H1": [], "L1": []}))
    assert not len(slides.plan({"H1": [(START, START + 9.0)], "L1": []}))
    assert slides.foreground_s({"H1": [], "L1": []}) == 0


def test_triggers_are_where_the_detectors_data_were():
    spans = {name: [(START, START + 200.0)] for name in ("H1", "L1", "V1")}
    table = slides.plan(spans, count=4)
    events = pd.DataFrame(
        {
            "slide": [2, -1],
            "time": [START + 50.0, START + 60.0],
            "detectors": ["H1 L1 V1", "L1 V1"],
        }
    )
    made = slides.triggers(events, table)
    np.testing.assert_array_equal(made["H1"], [START + 50, np.nan])
    np.testing.assert_array_equal(made["L1"], [START + 42, START + 64])
    np.testing.assert_array_equal(made["V1"], [START + 58, START + 56])
    assert list(slides.triggers(events[:0], table)) == [*made]
    with pytest.raises(InputError, match="not in the plan: 9"):
        slides.triggers(events.assign(slide=9), table)


@pytest.mark.parametrize(
    ("spans", "settings", "told"),
    [
        ({"H1": [(0, 9)]}, {}, "two detectors; received H1"),
        ({"H1": [(0, 9)], "L1": [(5, 5)]}, {}, "L1 must end after it starts"),
        ({"H1": [(0, 9)], "L1": [(0, np.nan)]}, {}, "received 0.0 to nan"),
        ({"H1": [(0, 9)], "G1": [(0, 9)]}, {}, "detector must be one of"),
        ({"H1": [(0, 9)], "L1": [(0, 9)]}, {"step_s": 2}, "step_s must be from"),
        ({"H1": [(0, 9)], "L1": [(0, 9)]}, {"count": 0}, "count must be from 1"),
    ],
)
def test_a_wrong_plan_is_refused(spans, settings, told):
    with pytest.raises(InputError, match=told):
        slides.plan(spans, **settings)
