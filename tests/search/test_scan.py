"""From strain to candidates: signals that were added are found, and nothing else."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.search import scan, slides, triggers
from gwres.search.strain import open_strain
from gwres.simulate.noise import measured, stretch
from tests.search.conftest import MERGER, SEED, added, signal
from tests.search.recorded import GPS, challenge

COUNT = 12  # slides


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scan")


@pytest.fixture(scope="module")
def found(quiet, merger, judge, few, folder):
    return scan.scan(added(quiet, merger), judge, folder, count=COUNT)


def test_the_loudest_candidate_is_the_signal(found, merger):
    table = scan.rated(found)
    first = table.iloc[0]
    assert first["detectors"] == "H1 L1"
    assert abs(first["time"] - MERGER) < 0.05
    for name in ("H1", "L1"):
        optimal = merger[f"snr_{name}"].iloc[0]
        assert first[f"snr_{name}"] == pytest.approx(optimal, rel=0.15)
        assert 0.4 < first[f"chi2_{name}"] < 1.7
    assert np.isnan(first["snr_V1"])
    assert first["trigger"] > 2 * triggers.THRESHOLD
    assert 0 <= first["template"] < 128
    assert (table["statistic"].iloc[1:] < first["statistic"] / 2).all()


def test_no_slide_is_as_loud(found):
    assert len(found.plan) == COUNT
    assert found.background_s == found.plan["live_s"].sum() > 1000
    loudest = found.candidates["statistic"].max()
    # The signal itself meets noise in most of them.
    assert len(found.events) >= 3
    assert found.events["statistic"].max() < loudest * 0.7
    assert set(found.events["slide"]) <= set(found.plan["slide"])
    first = scan.rated(found).iloc[0]
    assert first["louder"] == first["louder_exclusive"] == 0
    assert first["background_s"] == pytest.approx(found.background_s)
    # 1 + 0 events in the background's time.
    year = 365.25 * 86400
    assert first["far_per_year"] == pytest.approx(year / found.background_s, rel=0.01)
    near = found.events[(found.events["H1"] - MERGER).abs() < 1]
    assert (near["L1"] - MERGER).abs().min() > 3


def test_what_was_searched(found):
    trim = 2.0
    assert found.spans == {
        name: [(GPS + trim, GPS + 160 - trim)] for name in "H1 L1".split()
    }
    assert found.searched_s == found.together_s == 160 - 2 * trim
    assert len(found.gates) == 0
    course = found.course
    assert abs(course["time"][course["statistic"].idxmax()] - MERGER) <= 1
    inside = course["time"].between(GPS + 3, GPS + 157)
    assert inside.sum() == 154 and course.loc[inside, "statistic"].notna().all()
    assert course.loc[course["time"] < GPS + 1, "statistic"].isna().all()
    # Every trigger once, and those that are likely in all windows.
    assert 10 * len(found.candidates) < found.looked < 1000


@pytest.mark.parametrize("lost", ["*[st]-*.parquet", "*.f2", "*"])
def test_a_stopped_scan_goes_on_to_the_same_tables(
    quiet, merger, judge, few, found, folder, tmp_path, monkeypatch, lost
):
    """What is there is used, what is half there is made again."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in tmp_path.glob(lost):
        if path.suffix == ".parquet":
            path.unlink()
        else:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size * 2 // 3 + 5)
    again = scan.scan(added(quiet, merger), judge, tmp_path, count=COUNT)
    pd.testing.assert_frame_equal(again.candidates, found.candidates)
    pd.testing.assert_frame_equal(again.events, found.events)
    pd.testing.assert_frame_equal(again.course, found.course)
    for path in folder.iterdir():
        if path.suffix != ".parquet":
            assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_parts_of_the_windows_change_nothing(
    quiet, merger, judge, few, found, folder, tmp_path, monkeypatch
):
    for path in folder.glob("*.f*"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(scan, "PART", 7)
    again = scan.scan(added(quiet, merger), judge, tmp_path, count=COUNT)
    assert len(list(tmp_path.glob("logits-*"))) > 1
    pd.testing.assert_frame_equal(again.candidates, found.candidates, rtol=1e-4)
    pd.testing.assert_frame_equal(again.events, found.events, rtol=1e-4)


def test_one_detector_alone(quiet, judge, few, tmp_path):
    """It has candidates, of which no rate is known."""
    strain, _ = quiet.read(GPS, GPS + 128)
    lone = open_strain(challenge(tmp_path / "l1.hdf", {("L1", GPS): strain[1]}))
    table = signal(lone, GPS + 60.0, 14.0)
    found = scan.scan(added(lone, table), judge, tmp_path / "scan")
    assert found.plan is None and found.events is None and found.background_s == 0
    assert found.together_s == 0 and found.searched_s == 124
    first = scan.rated(found).iloc[0]
    assert first["detectors"] == "L1" and abs(first["time"] - GPS - 60) < 0.05
    assert first["snr_L1"] == pytest.approx(table["snr_L1"].iloc[0], rel=0.15)
    assert np.isnan(first["snr_H1"])
    assert first["far_per_year"] == np.inf and first["p"] == 1


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """H1 with a gap, L1 that comes late, and V1 that goes early."""
    rng, data = np.random.default_rng(8), {}
    for name, start, stop in (
        ("H1", 0, 84),
        ("H1", 96, 160),
        ("L1", 60, 160),
        ("V1", 0, 100),
    ):
        curve = np.median(measured(name), axis=0)
        strain = stretch(rng, name, stop - start, curve, busy=0.0)[0]
        data[name, GPS + start] = strain
    path = tmp_path_factory.mktemp("ragged") / "ragged.hdf"
    return open_strain(challenge(path, data))


def test_detectors_that_come_and_go(ragged, judge, few, tmp_path):
    """Each time is searched with what there is, and a gap is no candidate."""
    times = {"H1 V1": GPS + 30.0, "H1 L1 V1": GPS + 75.0, "L1 V1": GPS + 90.0}
    times["H1 L1"] = GPS + 130.0
    rows = [
        signal(ragged, time, 24.0, SEED).assign(number=0) for time in times.values()
    ]
    table = pd.concat(rows, ignore_index=True)
    found = scan.scan(added(ragged, table), judge, tmp_path, count=4)
    assert {name: [tuple(x) for x in own] for name, own in found.spans.items()} == {
        "H1": [(GPS + 2, GPS + 82), (GPS + 98, GPS + 158)],
        "L1": [(GPS + 62, GPS + 158)],
        "V1": [(GPS + 2, GPS + 98)],
    }
    assert found.searched_s == 156 and found.together_s == 156
    rated = scan.rated(found)
    for detectors, time in times.items():
        near = found.candidates[(found.candidates["time"] - time).abs() < 0.05]
        assert near["detectors"].tolist() == [detectors]
        [one] = near.to_dict("records")
        for name in ("H1", "L1", "V1"):
            assert np.isnan(one[f"snr_{name}"]) == (name not in detectors)
    top = rated["time"].iloc[:4].to_numpy()
    assert all(np.abs(top - time).min() < 0.05 for time in times.values())
    # Slides are told of three detectors that stand apart.
    offsets = found.plan[["H1", "L1", "V1"]].to_numpy()
    assert (np.abs(np.diff(offsets[:, [0, 1, 2, 0]], axis=1)) >= slides.STEP_S).all()


def test_too_short_for_a_candidate(quiet, judge, tmp_path):
    """With a gap or without: it is told what there is."""
    strain, _ = quiet.read(GPS, GPS + 4)
    data = {("H1", GPS): strain[0], ("L1", GPS): strain[1, :2048]}
    data["L1", GPS + 2] = strain[1, :4096]
    short = open_strain(challenge(tmp_path / "short.hdf", data))
    told = (
        "more than 4 s of usable strain without a gap; the longest received is 4 s of "
        f"H1 \\(GPS {GPS} to {GPS + 4}\\), 2 s of L1 \\(GPS {GPS + 2} to {GPS + 4}\\)"
    )
    with pytest.raises(InputError, match=told):
        scan.scan(short, judge, tmp_path / "scan")


def test_the_shortest_that_can_be_searched(quiet, judge, few, tmp_path):
    strain, _ = quiet.read(GPS, GPS + 6)
    data = {(name, GPS): strain[row] for row, name in enumerate(("H1", "L1"))}
    short = open_strain(challenge(tmp_path / "short.hdf", data))
    found = scan.scan(short, judge, tmp_path / "scan")
    assert found.searched_s == found.together_s == 2
    assert found.plan.empty and found.background_s == 0
    assert found.candidates.empty and scan.rated(found).empty


REAL = os.environ.get("GWRES_STRAIN", "")
FIRST = "1126259446-32.hdf5"
SECOND = "1167559920-32.hdf5"
H1, L1 = f"H-H1_LOSC_4_V2-{FIRST}", f"L-L1_LOSC_4_V2-{FIRST}"


@pytest.mark.skipif(
    not os.path.isdir(REAL), reason="GWRES_STRAIN names no folder of GWOSC's files"
)
@pytest.mark.parametrize(
    ("names", "merger"),
    [
        ([H1, L1], 1126259462.42),
        ([H1], 1126259462.42),
        ([L1], 1126259462.42),
        ([f"H-H1_LOSC_16_V2-{FIRST}", L1], 1126259462.42),
        # In H1 alone it is no trigger for templates that nothing was trained after.
        ([f"H-H1_LOSC_4_V1-{SECOND}", f"L-L1_LOSC_4_V1-{SECOND}"], 1167559936.60),
        ([f"L-L1_LOSC_4_V1-{SECOND}"], 1167559936.60),
    ],
)
def test_real_events(judge, few, tmp_path, names, merger):
    """GW150914 and GW170104, in both detectors, in one, and at two rates."""
    recording = open_strain([Path(REAL) / name for name in names])
    found = scan.scan(recording, judge, tmp_path, count=0)
    first = scan.rated(found).sort_values("statistic").iloc[-1]
    assert abs(first["time"] - merger) < 0.05
    assert first["detectors"].split() == sorted(name[2:4] for name in names)
    for name in first["detectors"].split():
        assert first[f"snr_{name}"] > 5 and first[f"chi2_{name}"] < 2
