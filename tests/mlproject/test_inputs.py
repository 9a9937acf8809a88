"""Wrong input: one clear line, exit code 2, the run FAILED, nothing trained."""

import os
import shutil
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.mlproject import entry, experiment, main, predict, promote, simulate, train
from gwres.mlproject.options import PLACES
from gwres.simulate import dataset
from gwres.simulate.population import POPULATIONS

from .conftest import TINY, words


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("g2net") / "set"
    dataset.write(folder, POPULATIONS["g2net"], 40, 2, seed=1)
    return folder


@pytest.fixture
def refused(store, monkeypatch, tmp_path, caplog):
    """Runs an entry point that must fail, and gives what it said."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(store)

    def run(module, settings):
        with pytest.raises(SystemExit) as end:
            entry.run("test", module.main, words(settings))
        assert end.value.code == 2
        [last] = mlflow.search_runs(
            experiment_names=["gwres"], max_results=1, output_format="list"
        )
        assert last.info.status == "FAILED"
        said = caplog.records[-1].getMessage()
        assert last.data.tags["gwres.error"].split(": ", 1)[1] in said
        assert len(said.splitlines()) == 1
        return said

    yield run
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "35"}, "depth must be one of 16, 18, 34, 50, 101, 152; received 35"),
        ({"depth": "abc"}, "depth must be a whole number; received abc"),
        (
            {"frontend": "cqt"},
            "templates, waveform, spectrogram; received cqt",
        ),
        ({"data": "/no/such"}, "there is no folder /no/such"),
        ({"trials": "few"}, "trials must be a whole number; received few"),
        ({"trials": "-1"}, "trials must be from 0 to 10000; received -1"),
        ({"samples": "many"}, "samples must be a whole number; received many"),
        ({"colour": "red"}, "unrecognized arguments: --colour red"),
        ({"dept": "34"}, "unrecognized arguments: --dept 34"),
        ({"depth": "34.0"}, "depth must be a whole number; received 34.0"),
        ({"dropout": "nan"}, "dropout must be from 0 to 0.95; received nan"),
        ({"weight_decay": "-1"}, "weight_decay must be from 0 to 1; received -1.0"),
        ({"samples": "1e30"}, "samples must be from 0 to 1e+10; received 1000000"),
        (
            {"storage": "postgresql+psycopg://me@/studies?host=/no/such"},
            "storage must be a database URL that opens",
        ),
        ({"init": "no-such-run"}, "init must be a .keras file or the id of a run"),
        ({"storage": "nonsense"}, "storage must be a database URL"),
        ({"norm": "group", "width": "6"}, "width must be a multiple of 4"),
    ],
)
def test_wrong_parameters(refused, settings, message):
    assert message in refused(main, TINY | settings)


def test_wrong_folders(refused, simulated, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "found nothing" in refused(train, {"data": str(empty)})
    spoiled = shutil.copytree(simulated, tmp_path / "spoiled")
    victim = min((spoiled / "train").rglob("*.npy"))
    victim.unlink()
    said = refused(train, {"data": str(spoiled)})
    assert f"1 ids in the labels have no file: {victim.stem}" in said


@pytest.mark.parametrize("bad", ["nan", "truncated"])
def test_a_bad_file_fails_the_run_by_name(refused, simulated, tmp_path, bad):
    spoiled = shutil.copytree(simulated, tmp_path / "spoiled")
    labels = pd.read_csv(spoiled / "training_labels.csv", dtype=str)
    for name in labels["id"]:
        path = spoiled / "train" / name[0] / name[1] / name[2] / f"{name}.npy"
        if bad == "nan":
            np.save(path, np.load(path) * np.nan)
        else:
            path.write_bytes(path.read_bytes()[:1000])
    said = refused(train, {"data": str(spoiled), "depth": "16", "width": "2"})
    assert ".npy" in said
    assert ("NaN" if bad == "nan" else "truncated") in said


def test_experiment_lists_the_names_there_are(refused):
    said = refused(experiment, {"name": "depth"})
    assert "name must be one of ceiling, depths," in said
    assert "received depth" in said
    assert "smoke must be true or false" in refused(experiment, {"smoke": "yes"})


def test_simulate_refuses_what_it_cannot_write(refused, tmp_path):
    assert "out must be the folder" in refused(simulate, {})
    assert "train must be from 0" in refused(
        simulate, {"out": str(tmp_path / "x"), "train": "-3"}
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    said = refused(simulate, {"out": str(tmp_path / "full")})
    assert "must be new or empty" in said
    blocked = tmp_path / "file"
    blocked.touch()
    assert "file" in refused(simulate, {"out": str(blocked / "in"), "train": "1"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "gwres holds no finished training run with val/roc_auc; experiments that"),
        (
            {"experiment": "nowhere"},
            "experiment nowhere holds no finished",
        ),
        ({"metric": "holdout/roc_auc"}, "metric must be one of validation"),
        ({"dry": "perhaps"}, "dry must be true or false; received perhaps"),
        ({"rollback": "true"}, "gwres-ensemble has no version to roll back to"),
    ],
)
def test_promote_refuses_what_it_cannot_do(refused, settings, message):
    assert message in refused(promote, settings)


def test_predict_refuses_what_it_cannot_score(refused, simulated, tmp_path):
    assert "data must be a G2Net folder or a Parquet file; received none" in refused(
        predict, {}
    )
    assert "there is no folder" in refused(predict, {"data": "/no/such"})
    data = {"data": str(simulated)}
    said = refused(predict, data)
    assert "received gwres-ensemble@champion: " in said
    assert "received gwres-resnet18-waveform/7: " in refused(
        predict, data | {"model": "gwres-resnet18-waveform/7"}
    )
    said = refused(predict, data | {"out": str(tmp_path)})
    assert "out must be the file to write" in said


def test_the_item_that_an_error_came_from_is_told(refused):
    def fails(argv):
        error = InputError("no room")
        error.add_note("at windows 250 to 499 of train")
        raise error

    said = refused(SimpleNamespace(main=fails), {})
    assert said == "gwres: no room, at windows 250 to 499 of train"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": "0"}, "GWRES_WORKERS must be a whole number of 1 or more"),
        ({"cluster": "local"}, "RAY_ADDRESS "),
    ],
)
def test_a_place_to_work_is_checked_before_the_work(
    refused, monkeypatch, settings, message
):
    for variable in PLACES.values():
        # Set first, so that what the entry point sets is gone with the test.
        monkeypatch.setenv(variable, "")
    assert message in refused(simulate, {"out": "new"} | settings)


def test_a_name_that_the_locale_cannot_read_is_told(caplog):
    """As Python has it from a shell; nothing is begun."""
    name = b"/data/s\xfc\xdf".decode("ascii", "surrogateescape")
    with pytest.raises(SystemExit) as end:
        entry.run("test", train.main, words({"data": name}))
    assert end.value.code == 2
    said = caplog.records[-1].getMessage()
    assert "set LC_ALL=C.UTF-8" in said and r"s\udcfc\udcdf" in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"GWRES_CORES": "3", "NPROC": "2"}, {"NPROC": "2", "OMP_NUM_THREADS": "3"}),
        ({"GWRES_CORES": "many"}, {"NPROC": None, "OMP_NUM_THREADS": None}),
        ({}, {"NPROC": None, "OMP_NUM_THREADS": None}),
    ],
)
def test_libraries_are_held_to_the_cores_that_are_asked_for(monkeypatch, before, after):
    """What somebody has set for one of them stays."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(before))
        entry._hold()
        assert {name: os.environ.get(name) for name in after} == after
