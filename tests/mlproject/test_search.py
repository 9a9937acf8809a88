"""A search as a user starts it: odd strain is searched or refused, in one line."""

import os
import subprocess
import sys

import h5py
import mlflow
import numpy as np
import pandas as pd
import pytest

from gwres.jobs import search as job
from gwres.mlproject import entry, search
from gwres.search import files, rehearsal
from gwres.search.strain import open_strain
from gwres.serve.scorer import Scorer
from tests import readme
from tests.search.conftest import added, signal
from tests.search.recorded import GPS, challenge, frame, gwosc, white

from .conftest import words

MERGER = GPS + 20.0


@pytest.fixture(scope="module")
def strain(tmp_path_factory):
    """40 s of H1 and L1 at 2048 Hz with a loud merger, (2, n)."""
    path = tmp_path_factory.mktemp("strain") / "noise.hdf"
    rehearsal.write(path, 40, seed=1, busy=0.0)
    recording = open_strain(path)
    own = added(recording, signal(recording, MERGER, 22.0))
    return own.read(GPS, GPS + 40)[0][:2]


@pytest.fixture(scope="module")
def scorer(untrained):
    return Scorer({"classifier": str(untrained)})


@pytest.fixture
def run(shipped, scorer, monkeypatch, tmp_path, caplog):
    """Runs the entry point; its exit code, what was said last, and the run."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "Scorer", lambda files: scorer)
    mlflow.set_tracking_uri(store)

    def run(**settings):
        code = 0
        try:
            entry.run("search", search.main, words(settings))
        except SystemExit as end:
            code = end.code
        [last] = mlflow.search_runs(
            experiment_names=["gwres"], max_results=1, output_format="list"
        )
        return code, caplog.records[-1].getMessage(), last

    yield run
    mlflow.set_tracking_uri(None)


@pytest.fixture
def refused(run):
    def refused(**settings):
        code, said, last = run(**settings)
        assert code == 2 and last.info.status == "FAILED"
        assert len(said.splitlines()) == 1
        return said

    return refused


def test_wrong_settings(refused, tmp_path):
    assert "received strain=none, event=none" in refused()
    assert "received strain=none, event=none" in refused(strain="none", event="none")
    said = refused(strain="a.hdf5", event="GW150914")
    assert "received strain=a.hdf5, event=GW150914" in said
    assert "step must be from 0.02" in refused(strain="a.hdf5", step="2")
    assert "step must be a number; received x" in refused(strain="a.hdf5", step="x")
    assert "unrecognized arguments: --speed 1" in refused(strain="a.hdf5", speed="1")
    said = refused(strain=__file__, model="gwres-resnet18-templates/7")
    assert "received gwres-resnet18-templates/7" in said


def test_wrong_files(refused, tmp_path, strain):
    missing = tmp_path / "missing.hdf5"
    assert str(missing) in refused(strain=str(missing))
    corrupt = tmp_path / "corrupt.hdf5"
    gwosc(corrupt, "H1", strain[0], rate=2048)
    corrupt.write_bytes(corrupt.read_bytes()[:9000])
    assert "corrupt.hdf5" in refused(strain=str(corrupt))
    text = tmp_path / "text.hdf5"
    text.write_text("no strain\n")
    assert "text.hdf5" in refused(strain=str(text))
    wrong = gwosc(tmp_path / "wrong.hdf5", "H1", white(0, 8, 1000), rate=1000)
    said = refused(strain=str(wrong))
    assert "expected 2048 Hz or a multiple; received 1000 Hz" in said
    near = gwosc(tmp_path / "near.hdf5", "H1", white(0, 8))
    far = gwosc(tmp_path / "far.hdf5", "L1", white(0, 8), gps=GPS + 10**7)
    assert "7 days apart" in refused(strain=f"{near},{far}")
    other = frame(tmp_path / "other.gwf", "H1:MY-STRAIN", white(0, 8))
    assert "H1:MY-STRAIN" in refused(strain=str(other))
    said = refused(strain=str(other), channels="H1:NO-STRAIN")
    assert "H1:NO-STRAIN" in said


def test_strain_of_which_nothing_can_be_searched(refused, tmp_path):
    zeros = gwosc(tmp_path / "zeros.hdf5", "H1", np.zeros(8 * 4096))
    assert "all of it is cut (zeros)" in refused(strain=str(zeros))
    lost = gwosc(tmp_path / "lost.hdf5", "L1", np.full(8 * 4096, np.nan))
    said = refused(strain=f"{zeros},{lost}")
    assert "all of it is cut (not finite, zeros)" in said
    second = gwosc(tmp_path / "second.hdf5", "H1", white(0, 1))
    said = refused(strain=str(second))
    assert "more than 4 s of usable strain without a gap" in said
    assert f"1 s of H1 (GPS {GPS} to {GPS + 1})" in said


@pytest.mark.parametrize("odd", ["no number", "between samples", "two files"])
def test_odd_strain_is_searched(run, strain, tmp_path, odd):
    own, late = strain.copy(), 0.0
    if odd == "no number":
        own[1] = np.nan
    if odd == "between samples":
        late = 0.3 / 2048
    cut = 20 * 2048 + 100 if odd == "two files" else own.shape[1]
    paths = []
    for name, row in zip(("H1", "L1"), own):
        data = {(name, GPS + late): row[:cut]}
        paths.append(challenge(tmp_path / f"{name}.hdf", data))
        if cut < len(row):
            data = {(name, GPS + cut / 2048): row[cut:]}
            paths.append(challenge(tmp_path / f"{name}-2.hdf", data))
    code, said, last = run(strain=",".join(map(str, paths)), slides="2")
    assert code == 0 and last.info.status == "FINISHED"
    [path] = (tmp_path / "mlruns").rglob("candidates.csv")
    first = pd.read_csv(path).iloc[0]
    assert abs(first["time"] - MERGER - late) < 0.05
    assert first["detectors"] == ("H1" if odd == "no number" else "H1 L1")
    assert f"GPS {first['time']:.3f}" in said and said.startswith("run ")
    assert h5py.is_hdf5(path.with_name("events.hdf"))


def test_the_commands_of_the_pages(run, strain, tmp_path, monkeypatch):
    """Of files in the present folder, and of an event, whose files come by network."""
    paths = [
        challenge(tmp_path / f"{name}.hdf5", {(name, GPS): row})
        for name, row in zip(("H1", "L1"), strain)
    ]
    asked = []
    monkeypatch.setattr(files, "event", lambda name: asked.append(name) or paths)
    start = "mlflow run . --env-manager local -e search -P "
    for typed in (
        readme.line("mlflow run . --env-manager local -e search -P strain=H1.hdf5"),
        readme.line("mlflow run . --env-manager local -e search -P event=GW150914"),
    ):
        given = dict(one.split("=", 1) for one in typed.removeprefix(start).split())
        code, said, _ = run(**given)
        assert code == 0 and "H1 L1" in said
    assert asked == ["GW150914"]


PLAIN = """
import os
from gwres.mlproject import entry
def main(words):
    print("is", os.environ["GWPY_RCPARAMS"])
entry.run("test", main, [])
"""


def test_gwpy_leaves_figures_alone(tmp_path):
    given = {key: x for key, x in os.environ.items() if key != "GWPY_RCPARAMS"}
    given["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    given["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", PLAIN]
    done = subprocess.run(
        command, env=given, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "is false" in done.stdout, done.stderr
