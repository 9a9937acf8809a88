"""What is refused as strain, and what the message says."""

import numpy as np
import pytest

from gwres import strain
from gwres.errors import InputError


def window(**changes):
    values = np.random.default_rng(0).normal(0, 7e-21, strain.SHAPE)
    for place, value in changes.get("put", {}).items():
        values[place] = value
    return values * changes.get("times", 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_good_strain_passes(dtype):
    strain.check(window().astype(dtype), "window")


def test_a_missing_detector_passes():
    strain.check(window(put={2: 0.0}), "window")


BAD = [
    (window()[:2], r"shape \(3, 4096\), received \(2, 4096\)"),
    (window().T, r"received \(4096, 3\)"),
    (window()[None], r"received \(1, 3, 4096\)"),
    (np.ones(strain.SHAPE, int), "received int64"),
    (window().astype(np.float16), "received float16"),
    (window().astype(complex), "received complex128"),
    (window(put={(1, 7): np.nan}), "received NaN"),
    (window(put={(1, 7): -np.inf}), "received NaN or infinity"),
    (np.zeros(strain.SHAPE), "zeros in all detectors"),
    (window(times=1e21), "a peak of"),
    (window(times=1e-8), "a peak of"),
]


@pytest.mark.parametrize(("bad", "received"), BAD)
def test_bad_strain_is_refused_and_named(bad, received):
    with pytest.raises(InputError, match=f"^some/file.npy: .*{received}"):
        strain.check(bad, "some/file.npy")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_is_checked_as_its_windows_are(dtype):
    batch = np.stack([window(), window(put={2: 0.0}), -window()]).astype(dtype)
    found = strain.check_all(batch)
    assert (found == np.abs(batch).max(axis=2)).all()
    assert (found > 0).tolist() == [[True] * 3, [True, True, False], [True] * 3]
    for bad, received in BAD:
        if bad.shape == strain.SHAPE and bad.dtype == np.float64:
            worse = np.concatenate([batch, bad[None].astype(dtype), batch * 1e20])
            with pytest.raises(InputError, match=f"^window 3: .*{received}"):
                strain.check_all(worse)
    with pytest.raises(InputError, match="^window 0: .*received object"):
        strain.check_all(batch.astype(object))


def test_the_numbers_agree():
    assert strain.SHAPE == (3, 4096)
    assert strain.BAND[1] == strain.WHITENED_RATE / 2
    assert strain.WHITENED_SAMPLES == strain.WHITENED_RATE * strain.DURATION
    # What SCALE is for: strain squared is nothing in float32, scaled it is not.
    quiet = np.float32(7e-24)
    assert quiet**2 == 0
    assert (quiet / np.float32(strain.SCALE)) ** 2 > 0
