"""Files of events hold what was found, and are never half-written."""

import h5py
import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.search import events

TABLE = pd.DataFrame(
    {
        "time": [1126259462.4123456, 1126259470.1],
        "statistic": [21.5, 1 / 3],
        "detectors": ["H1 L1", "H1 L1 V1"],
        "p_astro": [0.99, np.nan],
    }
)


def test_events_are_as_the_challenge_reads_them(tmp_path):
    path = tmp_path / "new" / "events.hdf"
    events.write(path, TABLE, 0.3)
    with h5py.File(path) as file:
        # So does its evaluation read them.
        rows = np.vstack([file["time"], file["stat"], file["var"]])
        assert set(file) == {"time", "stat", "var"}
    np.testing.assert_array_equal(rows, [TABLE["time"], TABLE["statistic"], [0.3, 0.3]])
    back = events.read(path)
    pd.testing.assert_frame_equal(back[["time", "statistic"]], TABLE.iloc[:, :2])
    events.write(path, TABLE, [0.1, 0.2])
    assert list(events.read(path)["half_width_s"]) == [0.1, 0.2]
    assert [one.name for one in path.parent.iterdir()] == ["events.hdf"]


def test_no_events_are_events_too(tmp_path):
    events.write(tmp_path / "none.hdf", TABLE[:0], 0.3)
    assert not len(events.read(tmp_path / "none.hdf"))


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "events.hdf"
    events.write(path, TABLE, 0.3)
    before = path.read_bytes()
    for table, half, told in (
        (TABLE.assign(statistic=np.nan), 0.3, "stat must be finite; received nan"),
        (TABLE.assign(time=np.inf), 0.3, "time must be finite"),
        (TABLE, 0.0, "var must be finite and above 0; received 0.0"),
        (TABLE, [0.1, 0.2, 0.3], "three of one length; received .* var \\(3,\\)"),
        (TABLE.drop(columns="time"), 0.3, "columns time and statistic"),
    ):
        with pytest.raises(InputError, match=told):
            events.write(path, table, half)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["events.hdf"]


def test_files_that_hold_no_events_are_refused(tmp_path):
    path = tmp_path / "events.hdf"
    with pytest.raises(InputError, match="no such file"):
        events.read(path)
    path.write_text("not HDF5")
    with pytest.raises(InputError, match="expected an HDF5 file of time, stat, var"):
        events.read(path)
    for held, told in (
        ({"time": [1.0], "stat": [2.0]}, "expected an HDF5 file of time, stat, var"),
        ({"time": [1.0], "stat": [2.0, 3.0], "var": [0.1]}, "stat \\(2,\\)"),
        ({"time": 1.0, "stat": 2.0, "var": 0.1}, "three of one length"),
        ({"time": [1.0], "stat": [np.nan], "var": [0.1]}, "stat must be finite"),
    ):
        with h5py.File(path, "w") as file:
            for name, values in held.items():
                file[name] = values
        with pytest.raises(InputError, match=told):
            events.read(path)


def test_tables_read_back_as_they_were(tmp_path):
    events.write_tables(tmp_path / "run", TABLE)
    csv = pd.read_csv(tmp_path / "run" / "candidates.csv")
    parquet = pd.read_parquet(tmp_path / "run" / "candidates.parquet")
    for back in (csv, parquet):
        pd.testing.assert_frame_equal(back, TABLE, check_exact=True)
