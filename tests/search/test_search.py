"""Windows to false-alarm rates: the parts of the room agree with one another."""

import numpy as np
import pandas as pd
import pytest

from gwres.search import background, slides
from gwres.search.candidates import Clusters

START = 1126259446.0
COUNT = 36000  # windows, an hour


def statistic(series, offsets):
    """What a network says of two moved detectors: of their noise, the sum."""
    moved = {name: series[name].shift(round(offsets[name] / 0.1)) for name in series}
    return pd.DataFrame(
        {
            "time": START + 0.1 * np.arange(COUNT),
            "statistic": moved["H1"] + moved["L1"],
            "detectors": "H1 L1",
        }
    )


def search(table):
    clusters = Clusters(threshold=0.5)
    found = pd.concat([clusters.add(table), clusters.finish()], ignore_index=True)
    return found, clusters.live_s


@pytest.fixture(scope="module")
def hour():
    """An hour of two detectors with gaps of their own, and a signal in both."""
    rng = np.random.default_rng(0)
    on = {"H1": [(0, 20000), (21000, COUNT)], "L1": [(500, 30000), (30500, COUNT)]}
    series = {}
    for name, parts in on.items():
        values = np.full(COUNT, np.nan)
        for low, high in parts:
            # The same noise is in the windows of 2 s.
            noise = rng.normal(size=high - low + 19)
            values[low:high] = np.convolve(noise, np.ones(20) / 20**0.5, "valid") - 1
        values[9000:9010] += 12
        series[name] = pd.Series(values)
    # A candidate needs half an average before it and after it.
    spans = {
        name: [(START + 0.1 * low + 0.4, START + 0.1 * high - 0.5) for low, high in own]
        for name, own in on.items()
    }
    return series, spans


def test_a_signal_is_found_at_its_time_with_the_lowest_rate(hour):
    series, spans = hour
    found, live_s = search(statistic(series, {"H1": 0.0, "L1": 0.0}))
    assert live_s == pytest.approx(slides.foreground_s(spans), abs=1e-3)
    plan = slides.plan(spans, count=60)
    parts = []
    for row in plan.to_dict("records"):
        events, live_s = search(statistic(series, row))
        assert live_s == pytest.approx(row["live_s"], abs=1e-3)
        parts.append(events.assign(slide=row["slide"]))
    events = slides.triggers(pd.concat(parts, ignore_index=True), plan)
    rows = background.table(found, events, plan, spans)
    first, others = rows.iloc[0], rows.iloc[1:]
    assert first["time"] == pytest.approx(START + 900.45, abs=0.2)
    assert first["louder"] == 0
    # In two detectors it is louder than in one, and in one louder than the noise.
    assert first["louder_exclusive"] == 0
    assert events["statistic"].max() > 2 * others["statistic"].max()
    left = events[~background.trigger_of(events, [first["time"]])]
    assert left["statistic"].max() < events["statistic"].max() / 1.5
    # Noise makes as many candidates as the slides foretell.
    share = slides.foreground_s(spans) / plan["live_s"].sum()
    expected = len(left) * share
    assert expected > 30
    assert abs(len(others) - expected) < 4 * np.sqrt(expected)
