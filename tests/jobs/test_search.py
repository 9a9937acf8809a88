"""A search from files to what is published, and settings that it refuses."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from gwres import cache
from gwres.errors import InputError
from gwres.jobs import search as job
from gwres.jobs.search import Search
from gwres.search import rehearsal
from gwres.tracking import log


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "one of both; received strain=none, event=none"),
        ({"strain": "a.hdf5", "event": "GW1"}, "received strain=a.hdf5, event=GW1"),
        ({"step": 0.01}, "step must be from 0.02 to 0.5; received 0.01"),
        ({"step": 0.6}, "step must be from 0.02 to 0.5; received 0.6"),
        ({"step": float("nan")}, "step must be .* received nan"),
        ({"slides": 0}, "slides must be from 1 to 1e\\+06; received 0"),
        ({"slides": 2_000_000}, "slides must be .* received 2000000"),
        ({"threshold": 4.9}, "threshold must be from 5 to 1000; received 4.9"),
        ({"threshold": float("inf")}, "threshold must be .* received inf"),
        ({"injections": -1}, "injections must be from 0 to 1e\\+06; received -1"),
        ({"noise": -0.5}, "noise must be from 0.01 to 10000; received -0.5"),
        ({"noise": float("nan")}, "noise must be .* received nan"),
        ({"seed": -1}, "seed must be from 0 to .* received -1"),
    ],
)
def test_a_wrong_setting_is_named(settings, told):
    strain = {} if not settings or "event" in settings else {"strain": "a.hdf5"}
    with pytest.raises(InputError, match=told):
        Search(**strain | settings)


def test_the_command_is_what_was_asked_for():
    chosen = Search(strain="a b.hdf5,c.hdf5", slides=7, step=0.05)
    expected = "mlflow run . -e search -P 'strain=a b.hdf5,c.hdf5' -P step=0.05 "
    assert chosen.command == expected + "-P slides=7"
    assert Search(event="GW150914").command.endswith("search -P event=GW150914")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "noise.hdf"
    rehearsal.write(path, 160, seed=1, busy=0.0)
    return path


@pytest.fixture
def published(shipped, tmp_path, monkeypatch):
    """Runs a search in a store of its own; what was put on the run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)

    def run(**settings):
        with log.run("search") as active:
            lines = job.search(Search(**settings))
        tables = (tmp_path / "mlruns").rglob(f"{active.id}/**/candidates.csv")
        return lines, mlflow.get_run(active.id).data, next(tables).parent

    yield run
    mlflow.set_tracking_uri(None)


def test_noise_with_injections(noise, published):
    """All that is published, and nothing left of the work."""
    lines, data, folder = published(strain=str(noise), slides=5, injections=8)
    table = pd.read_csv(folder / "candidates.csv")
    assert {path.name for path in folder.iterdir()} >= {
        "background.parquet",
        "candidates.csv",
        "candidates.parquet",
        "events.hdf",
        "injections.parquet",
        "sensitivity.csv",
        "slides.parquet",
    }
    assert len(lines) == 1 + min(len(table), job.SHOWN)
    assert data.params["search.slides"] == "5"
    assert data.params["search.model"] == "untrained"
    assert data.tags["gwres.command"].endswith("-P slides=5 -P injections=8")
    assert data.metrics["search/hours"] == pytest.approx(156 / 3600)
    assert data.metrics["search/candidates"] == len(table)
    slides = pd.read_parquet(folder / "slides.parquet")
    assert data.metrics["search/background_days"] * 86400 == pytest.approx(
        slides["live_s"].sum()
    )
    rows = pd.read_parquet(folder / "injections.parquet")
    assert len(rows) == 8 and rows["statistic"].notna().any()
    found = rows[rows["network_snr"] > 12]
    assert found["statistic"].notna().all()
    assert "p_astro" in table
    assert not list((cache.root() / "training").rglob("white.f4"))


def test_a_detector_alone_is_held_against_simulated_noise(noise, published):
    """Whose candidates have a rate then, and had none before."""
    lone = noise.parent / "l1.hdf"
    rehearsal.write(lone, 64, seed=5, detectors=("L1",), busy=60.0)
    _, _, folder = published(strain=str(lone), threshold=14.0, noise=64 / 3600)
    table = pd.read_csv(folder / "candidates.csv")
    assert len(table) and (table["detectors"] == "L1").all()
    assert np.isfinite(table["far_per_year"]).all()
    assert (table["background_s"] == 60).all()
    assert not (folder / "slides.parquet").exists()
    assert table["far_per_year"].is_monotonic_increasing
    expected = (table["louder"] + 1) / 60 * 365.25 * 86400
    np.testing.assert_allclose(table["far_per_year"], expected, rtol=1e-3)


def test_nothing_is_found_and_that_is_told(noise, published):
    lines, data, folder = published(
        strain=str(noise), slides=3, threshold=900.0, noise=0.01
    )
    assert pd.read_csv(folder / "candidates.csv").empty
    assert data.metrics["search/candidates"] == 0
    assert len(lines) == 1


def test_injections_need_a_background(noise, published):
    lone = noise.parent / "h1.hdf"
    rehearsal.write(lone, 64, seed=5, detectors=("H1",), busy=0.0)
    told = "two detectors with data at the same time; received H1"
    with pytest.raises(InputError, match=told):
        published(strain=str(lone), injections=2)
    with pytest.raises(InputError, match="12 s apart: expected 13 or fewer in 156 s"):
        published(strain=str(noise), slides=2, injections=14)
