"""Each symmetry does what it says and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from gwres.layers.augment import augment

BATCH = 4
WINDOWS = np.random.default_rng(0).standard_normal((BATCH, 64, 3)).astype(np.float32)
NOTHING = {
    "sign": np.ones(BATCH, np.float32),
    "swap": np.zeros(BATCH, np.float32),
    "shift": np.zeros(BATCH, np.int32),
    "keep": np.ones((BATCH, 3), np.float32),
}
SHIFTS = np.array([0, 5, -5, 64], np.int32)
DROPS = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32)
CASES = {
    "nothing": ({}, WINDOWS),
    "sign": (
        {"sign": np.array([1, -1, -1, 1], np.float32)},
        WINDOWS * np.array([1, -1, -1, 1], np.float32)[:, None, None],
    ),
    "swap": (
        {"swap": np.array([0, 1, 0, 1], np.float32)},
        np.stack(
            [w[:, [1, 0, 2]] if i % 2 else w for i, w in enumerate(WINDOWS)], axis=0
        ),
    ),
    "shift": (
        {"shift": SHIFTS},
        np.stack([np.roll(w, n, axis=0) for w, n in zip(WINDOWS, SHIFTS)]),
    ),
    "keep": ({"keep": DROPS}, WINDOWS * DROPS[:, None]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_symmetry_alone(name):
    drawn, expected = CASES[name]
    np.testing.assert_array_equal(augment(WINDOWS, **NOTHING | drawn), expected)


@pytest.mark.parametrize("name", [name for name in CASES if name != "nothing"])
def test_each_case_changes_something(name):
    assert (CASES[name][1] != WINDOWS).any()


def test_all_at_once_in_a_pipeline():
    """Dropping comes last: a dropped detector stays dropped when two are swapped."""
    drawn = NOTHING | {k: v for case in CASES.values() for k, v in case[0].items()}
    dataset = tf.data.Dataset.from_tensors((WINDOWS, drawn))
    found = next(iter(dataset.map(lambda windows, by: augment(windows, **by))))
    expected = np.empty_like(WINDOWS)
    for i, window in enumerate(WINDOWS):
        moved = np.roll(window, SHIFTS[i], axis=0)
        moved = moved[:, [1, 0, 2]] if drawn["swap"][i] else moved
        expected[i] = moved * drawn["sign"][i] * DROPS[i]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == tf.float32
