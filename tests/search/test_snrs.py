"""SNRs of a long stretch are those of its windows, where these cut nothing."""

import numpy as np
import pytest
from keras import ops

from gwres.layers.templates import AFTER
from gwres.search import snrs, windows
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES
from tests.contract import close
from tests.search.conftest import MERGER
from tests.search.recorded import GPS

STILL = {"H1": 0.0, "L1": 0.0}


def of_window(layer, shown):
    """(3, parts, ticks, count), as the layer has them."""
    return np.stack(
        [
            [ops.convert_to_numpy(part)[:, 0] for part in parts]
            for parts in layer(shown[None])
        ]
    )


def test_they_are_those_of_a_window_that_holds_the_templates(loud, judge):
    layer, held = judge.scorer.templates, snrs.Snrs(judge.scorer, loud)
    grid = layer.grid
    merger = np.round(grid.times * WHITENED_RATE).astype(int)
    inside = (merger - grid.length + AFTER >= 128) & (merger + AFTER <= 2048 - 128)
    assert 100 < inside.sum() < len(inside)
    for start in (GPS + 40.0, MERGER - 1.25):
        first, used = loud.places(start, STILL)
        # From a sample on at which the layer's times are those of which there are SNRs.
        late = (first["H1"] + grid.begin + grid.length) % grid.tick
        first = {name: one + late for name, one in first.items()}
        expected = of_window(layer, loud.window(first, used))
        found = held.window(first, used)
        assert found.shape == expected.shape and not found[2].any()
        close(found[:2][:, :, inside], expected[:2][:, :, inside], rtol=1e-3)
        # Where the window cuts them they are not the same.
        apart = np.abs(found - expected)[:2][:, :, ~inside]
        assert apart.max() > 1
    assert found[0, 2].max() > 100, "the signal's squared SNR"


def test_what_is_held_is_what_is_computed(loud, judge, monkeypatch):
    """In any order, also where hardly any is held, and nothing of the unused."""
    held = snrs.Snrs(judge.scorer, loud)
    places = [
        loud.places(GPS + start, STILL)[0] for start in (60.0, 20.0, 60.3, 20.1, 0.6)
    ]
    before = [held.window(place, ["H1", "L1"]) for place in places]
    monkeypatch.setattr(snrs, "HELD", 1)
    small = snrs.Snrs(judge.scorer, loud)
    for place, known in zip(places[::-1], before[::-1]):
        np.testing.assert_array_equal(small.window(place, ["H1", "L1"]), known)
        assert len(small._held) == 1
        lone = small.window(place, ["L1"])
        np.testing.assert_array_equal(lone[1], known[1])
        assert not lone[[0, 2]].any()


def test_noise_has_unit_quadratures(loud, judge):
    parts = snrs.measured(judge.scorer.templates, loud, "H1", 20480, 40960)
    assert len(parts) == 3 and parts[0].shape[0] == 20480 // 2
    # Re-weighting takes a little; what was before has two quadratures.
    assert parts[2].mean() / 2 == pytest.approx(1, abs=0.1)
    assert 0.8 < parts[0].var() < parts[2].mean() / 2


@pytest.mark.parametrize("place", [1.25, 1.4])
def test_a_loud_late_merger_scores_the_same_either_way(loud, judge, place):
    grid = judge.scorer.templates.grid
    start = loud.sample(MERGER - place)
    # The layer's times are those of which there are SNRs.
    start += (start + grid.begin + grid.length) % grid.tick
    wanted = [(0, loud.start + start / WHITENED_RATE + 1)]
    arguments = judge.scorer, loud, wanted, {0: STILL}, (0.5, 1.5)
    [(plain, _)] = windows.score(*arguments)
    held = snrs.Snrs(judge.scorer, loud)
    [(quick, used)] = windows.score(*arguments, held)
    assert used == "H1 L1" and plain > 20
    assert quick == pytest.approx(plain, rel=0.01)
    first, _ = loud.places(MERGER - 20, STILL)
    shown = np.zeros((1, WHITENED_SAMPLES, len(DETECTORS)), np.float32)
    shown[0] = loud.window(first, ["H1", "L1"])
    assert judge.scorer.whitened(shown)[0] < 0 < plain, "noise does not"
