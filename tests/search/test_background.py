"""False-alarm rates of simulated searches are the rates of their false alarms."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest

from gwres.errors import InputError
from gwres.search import background, slides

START = 1126259446.0
DAY_S = 86400.0
RATE = 1e-3  # Hz, of simulated false alarms above 0; their statistic is exponential


def loudest(rng, foreground_s, background_s, scale=1.0):
    """p of the loudest candidate of noise alone; `scale` is an error in the time."""
    events = rng.exponential(size=rng.poisson(RATE * background_s))
    candidates = rng.exponential(size=rng.poisson(RATE * foreground_s))
    rate = background.far(candidates, events, scale * background_s)
    return background.p_value(rate, foreground_s).min(initial=1.0)


def test_p_values_of_noise_are_uniform():
    rng = np.random.default_rng(0)
    right = [loudest(rng, 3e4, 3e6) for _ in range(2000)]
    assert kstest(right, "uniform").pvalue > 0.01
    wrong = [loudest(rng, 3e4, 3e6, scale=1.2) for _ in range(2000)]
    assert kstest(wrong, "uniform").pvalue < 1e-6


@pytest.mark.parametrize("threshold", [1.0, 3.0, 6.0])
def test_rates_are_right_within_poisson_error(threshold):
    rng = np.random.default_rng(1)
    time_s = 1e8
    events = rng.exponential(size=rng.poisson(RATE * time_s))
    [rate] = background.far([threshold], events, time_s)
    expected = RATE * np.exp(-threshold)
    error = np.sqrt(expected / time_s)
    assert abs(rate - 1 / time_s - expected) < 3 * error
    assert abs(rate - 1.5 * expected) > 3 * error


def test_the_formulas():
    rate = background.far([5.0, 3.0, 2.0, 1.0], [3.0, 2.0, 2.0], 10.0)
    np.testing.assert_allclose(rate, [0.1, 0.2, 0.4, 0.4])
    np.testing.assert_array_equal(
        background.louder([2.0, 2.1], [2.0, 2.0, 3.0]), [3, 1]
    )
    np.testing.assert_allclose(background.p_value([0.1, np.inf], 5.0), [0.39346934, 1])
    # Small ones keep their digits.
    assert background.p_value([1e-20], 1.0)[0] == pytest.approx(1e-20)


def stretch(rng, signals=(30.0,)):
    """A day of two detectors: candidates, events of the slides, the slides, the spans.

    Every detector has noise triggers of its own; an event is a pair of them that a
    slide brings within 0.5 s, and its statistic their sum. At noon and at six there may
    be signals, as loud in each detector as `signals` says.
    """
    spans = {name: [(START, START + DAY_S)] for name in ("H1", "L1")}
    plan = slides.plan(spans, count=400)
    triggers = {}
    for name in spans:
        count = rng.poisson(0.05 * DAY_S)
        times = START + DAY_S * rng.random(count)
        loud = np.append(rng.exponential(size=count), signals)
        times = np.append(times, START + DAY_S * np.array([0.5, 0.75])[: len(signals)])
        order = np.argsort(times)
        triggers[name] = times[order], loud[order]
    rows = []
    still = pd.DataFrame([{"slide": 0, "H1": 0.0, "L1": 0.0}])
    for row in pd.concat([still, plan]).to_dict("records"):
        (h_times, h_loud), (l_times, l_loud) = triggers["H1"], triggers["L1"]
        moved = l_times + row["L1"]
        place = np.searchsorted(moved, h_times).clip(1, len(moved) - 1)
        place -= h_times - moved[place - 1] < moved[place] - h_times
        near = np.abs(moved[place] - h_times) < 0.5
        rows.append(
            pd.DataFrame(
                {
                    "slide": row["slide"],
                    "time": h_times[near],
                    "statistic": (h_loud + l_loud[place])[near],
                    "detectors": "H1 L1",
                }
            )
        )
    events = pd.concat(rows, ignore_index=True)
    candidates = events[events["slide"] == 0].reset_index(drop=True)
    made = slides.triggers(events[events["slide"] != 0], plan)
    return candidates, made, plan, spans


def test_a_loud_signal_has_the_lowest_rate_and_a_lower_one_without_itself():
    candidates, events, plan, spans = stretch(np.random.default_rng(2))
    rows = background.table(
        candidates[candidates["statistic"] > 5], events, plan, spans
    )
    first, others = rows.iloc[0], rows.iloc[1:]
    assert first["statistic"] == 60 and abs(first["time"] - START - DAY_S / 2) < 1
    total = plan["live_s"].sum()
    assert first["louder"] == 0 and first["background_s"] == total
    assert first["far_per_year"] == pytest.approx(background.YEAR_S / total)
    assert first["ifar_years"] == pytest.approx(total / background.YEAR_S)
    assert first["p"] == pytest.approx(1 - np.exp(-DAY_S / total))
    assert rows["statistic"].is_monotonic_decreasing
    assert rows["far_per_year"].is_monotonic_increasing
    # The signal's triggers beside noise are louder than all other candidates.
    assert len(others) > 3
    assert (others["far_per_year_exclusive"] < others["far_per_year"]).all()
    assert (others["p_exclusive"] < others["p"]).all()
    # 2 s about each candidate in either detector, but where they overlap.
    lost = 2 * 4.0 * len(rows) * len(plan)
    left = total - first["background_s_exclusive"]
    assert 0.95 * lost < left <= lost


def test_a_loud_signal_beside_a_louder_one_is_rare_without_its_triggers():
    rng = np.random.default_rng(3)
    candidates, events, plan, spans = stretch(rng, signals=(30.0, 10.0))
    rows = background.table(candidates, events, plan, spans)
    second = rows.iloc[1]
    assert second["statistic"] == 20
    # Of the louder one with noise of the other detector, each way.
    assert second["louder"] == (events["statistic"] > 30).sum() > 10
    assert second["louder_exclusive"] == 0
    assert second["far_per_year_exclusive"] < 0.1 * second["far_per_year"]
    assert second["p_exclusive"] < 0.1 * second["p"]


def test_noise_alone_is_no_candidate_of_note():
    candidates, events, plan, spans = stretch(np.random.default_rng(4), signals=())
    rows = background.table(candidates, events, plan, spans)
    assert rows["p"].min() > 0.01
    # As many candidates as the rate of the quietest foretells.
    expected = rows["far_per_year"].max() * DAY_S / background.YEAR_S
    assert abs(len(rows) - expected) < 4 * np.sqrt(expected)


def test_events_are_those_of_a_candidate_in_any_detector():
    events = pd.DataFrame(
        {
            "H1": [10.0, 90.0, np.nan, 50.0, np.nan],
            "L1": [60.0, 12.0, 13.0, 60.0, np.nan],
        }
    )
    own = background.trigger_of(events, [11.0, 200.0], half_s=1.5)
    np.testing.assert_array_equal(own, [True, True, False, False, False])
    assert not background.trigger_of(events, []).any()


def test_empty_inputs():
    candidates, events, plan, spans = stretch(np.random.default_rng(5))
    rows = background.table(candidates[:0], events, plan, spans)
    assert not len(rows) and {"ifar_years", "p_exclusive"} < set(rows)
    rows = background.table(candidates, events[:0], plan, spans)
    total = plan["live_s"].sum()
    np.testing.assert_allclose(rows["far_per_year"], background.YEAR_S / total)
    # Without a background nothing is known.
    rows = background.table(candidates, events[:0], plan[:0], spans)
    assert (rows["far_per_year"] == np.inf).all() and (rows["ifar_years"] == 0).all()
    assert (rows["p"] == 1).all() and (rows["p_exclusive"] == 1).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="background_s must be .* received -1.0"):
        background.far([1.0], [1.0], -1.0)
    with pytest.raises(InputError, match="foreground_s must be .* received nan"):
        background.p_value([1.0], np.nan)
    with pytest.raises(InputError, match="candidates must be finite; received 1 of 2"):
        background.far([1.0, np.nan], [1.0], 1.0)
    with pytest.raises(InputError, match="background events must be finite"):
        background.far([1.0], [np.inf], 1.0)
    candidates, events, plan, spans = stretch(np.random.default_rng(6))
    with pytest.raises(InputError, match="live_s must be a live time"):
        background.table(candidates, events, plan.assign(live_s=-1.0), spans)
    with pytest.raises(InputError, match="columns statistic, H1, L1"):
        background.table(candidates, events.drop(columns="L1"), plan, spans)
    with pytest.raises(InputError, match="times of candidates must be finite"):
        background.table(candidates.assign(time=np.nan), events, plan, spans)
    with pytest.raises(InputError, match="half_s must be from"):
        background.table(candidates, events, plan, spans, half_s=0)


def mixture(rng, signals=40.0, noise=60.0, wrong=1.0):
    """p of candidates that are signals or noise, and which are signals."""
    events = rng.exponential(size=rng.poisson(100 * noise))
    simulated = rng.exponential(4.0, size=2000)
    loud = rng.exponential(4.0, size=rng.poisson(signals))
    quiet = rng.exponential(size=rng.poisson(noise))
    truth = np.repeat([True, False], [len(loud), len(quiet)])
    candidates = np.concatenate([loud, quiet])
    return *background.p_astro(candidates, events, simulated, wrong, 100.0), truth


def calibrated(chance, truth):
    """Whether signals are as many as foretold, in each bin of chance."""
    for low in np.arange(0, 1, 0.2):
        inside = (chance >= low) & (chance < low + 0.2)
        few, many = binom.interval(0.9999, inside.sum(), chance[inside].mean())
        if not few <= truth[inside].sum() <= many:
            return False
    return True


def test_p_astro_is_the_share_of_signals():
    rng = np.random.default_rng(7)
    draws = [mixture(rng) for _ in range(60)]
    assert all(reason is None for _, reason, _ in draws)
    chance, truth = (np.concatenate([draw[i] for draw in draws]) for i in (0, 2))
    known = ~np.isnan(chance)
    assert known.mean() > 0.99
    assert calibrated(chance[known], truth[known])
    # With a rate of noise that is too high or too low it is not.
    for wrong in (0.6, 1.6):
        draws = [mixture(rng, wrong=wrong) for _ in range(60)]
        chance, truth = (np.concatenate([draw[i] for draw in draws]) for i in (0, 2))
        known = ~np.isnan(chance)
        assert not calibrated(chance[known], truth[known])


def test_p_astro_rises_with_the_statistic_and_is_low_in_noise():
    rng = np.random.default_rng(8)
    events, simulated = rng.exponential(size=5000), rng.exponential(4.0, size=5000)
    quiet = np.sort(rng.exponential(size=50))
    chance, reason = background.p_astro(quiet, events, simulated, 1.0, 100.0)
    assert reason is None and np.nanmean(chance) < 0.1
    loud = np.append(quiet, [20.0, 30.0])
    chance, _ = background.p_astro(loud, events, simulated, 1.0, 100.0)
    assert (np.diff(chance[~np.isnan(chance)]) >= 0).all()
    # No background is as loud, and yet it is not known to be none.
    assert 0.7 < chance[-1] < 1 and chance[-1] == chance[-2]


@pytest.mark.parametrize(
    ("candidates", "events", "signals", "reason"),
    [
        (9, 5000, 5000, "p_astro needs 10 candidates, received 9"),
        (50, 99, 5000, "p_astro needs 100 background events, received 99"),
        (50, 5000, 99, "p_astro needs 100 signals found, received 99"),
    ],
)
def test_p_astro_says_what_is_too_few(candidates, events, signals, reason):
    rng = np.random.default_rng(9)
    samples = [2 + rng.random(candidates), rng.random(events), 2 + rng.random(signals)]
    chance, told = background.p_astro(*samples, 1.0, 100.0)
    assert np.isnan(chance).all() and len(chance) == candidates and told == reason


def test_p_astro_leaves_out_what_lies_below_all_background():
    rng = np.random.default_rng(10)
    events, signals = 1 + rng.exponential(size=500), 1 + rng.exponential(5, size=500)
    chance, _ = background.p_astro([0.5, *range(2, 14)], events, signals, 1.0, 9.0)
    assert np.isnan(chance[0]) and not np.isnan(chance[1:]).any()
    with pytest.raises(InputError, match="background_s must be above 0"):
        background.p_astro([1.0], events, signals, 1.0, 0.0)
