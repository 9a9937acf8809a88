"""Any model on any rows: the same table, metrics and report as a training run's."""

import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from gwres.data.corpus import open_corpus
from gwres.data.settings import Data
from gwres.errors import InputError
from gwres.jobs import evaluate as job
from gwres.judging import metrics
from gwres.matched import score
from gwres.mlproject import entry, evaluate
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.pages.markdown import GAP
from gwres.serve import registered
from gwres.simulate import dataset
from gwres.simulate.population import POPULATIONS
from gwres.tracking import log, registry
from gwres.training import fit
from tests.contract import awake

from .conftest import words
from .test_main import artifacts

DATA = Data(judged=40, psd_windows=40)
SMALL = {"judged": "40", "psd_windows": "40"}


@pytest.fixture(scope="module")
def opened():
    return open_corpus(DATA)


@pytest.fixture(scope="module")
def networks(opened):
    """Two networks that disagree."""
    awake_ones = [awake(network(ResNet(16, w), "spectrogram")) for w in (2, 3)]
    return [classifier(one, opened.asd) for one in awake_ones]


@pytest.fixture(scope="module")
def logged(networks, opened, tmp_path_factory):
    """A store with both registered, as versions 1 and 2; and the first one's run."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        # The store's files lie where it is opened first.
        patch.chdir(folder)
        mlflow.set_experiment("logged")
    runs = []
    for model in networks:
        with mlflow.start_run() as run:
            model_id = log.model(model, opened.judged["gate"][:1])
            mlflow.register_model(f"models:/{model_id}", "net")
        runs.append(run.info.run_id)
    mlflow.MlflowClient().set_registered_model_alias("net", "best", "1")
    yield runs
    mlflow.set_tracking_uri(None)


@pytest.fixture
def judged(logged, monkeypatch, tmp_path):
    """Runs the entry point; the run that it leaves and those below, oldest first."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
    monkeypatch.chdir(tmp_path)

    def run(**settings):
        entry.run("evaluate", evaluate.main, words(settings))
        found = mlflow.search_runs(experiment_names=["gwres"], output_format="list")
        below = [r for r in found if "mlflow.parentRunId" in r.data.tags]
        last = next(r for r in found if r not in below)
        assert last.info.status == "FINISHED"
        mine = last.info.run_id
        below = [r for r in below if r.data.tags["mlflow.parentRunId"] == mine]
        return last, below[::-1]

    return run


def predictions(run, split="holdout"):
    path = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path=f"predictions/{split}.parquet"
    )
    return pd.read_parquet(path)


def test_one_model_on_the_rows_of_training_runs(judged, networks, opened):
    run, below = judged(model="net/2", **SMALL)
    expected = fit.score(networks[1], opened.judged["holdout"])
    pd.testing.assert_frame_equal(predictions(run), expected, atol=1e-4, rtol=0)
    found = run.data.metrics
    area = metrics.roc_auc(expected["label"], expected["logit"])
    assert found["holdout/roc_auc"] == pytest.approx(area.value, abs=1e-3)
    assert {"holdout/roc_auc_low", "holdout/brier", "matched_filter/roc_auc"} <= set(
        found
    )
    less = found["holdout/roc_auc"] - found["evidence/roc_auc"]
    assert found["evidence/difference"] == pytest.approx(less)
    assert run.data.params["evaluate.model"] == "models:/net/2"
    assert run.data.tags["gwres.split_hash"] == opened.split_hash
    shown = set(artifacts(mlflow.MlflowClient(), run))
    assert {"report.html", "plots/roc.png", "plots/example.png"} <= shown
    note, said = run.data.tags["mlflow.note.content"], run.data.tags["gwres.roc_auc"]
    assert note.startswith("### models:/net/2") and f"**ROC-AUC {said}**" in note
    assert note.count(f"network less evidence: {less:+.4f} (") == 1
    assert not below


def test_several_are_compared_in_pairs(judged, networks, opened):
    run, below = judged(model="net@best,net/2, matched-filter", split="gate", **SMALL)
    names = ["models:/net/1", "models:/net/2", "matched-filter"]
    assert [one.info.run_name for one in below] == names
    windows = opened.judged["gate"]
    drawn = POPULATIONS["g2net"]
    logits = [fit.score(model, windows)["logit"] for model in networks]
    logits.append(score.score(windows, opened.asd, drawn))
    labels = windows.table["label"]
    assert "gate/brier" in below[0].data.metrics
    assert "gate/brier" not in below[2].data.metrics
    for one, scores in zip(below, logits):
        np.testing.assert_allclose(predictions(one, "gate")["logit"], scores, atol=1e-4)
        area = metrics.roc_auc(labels, scores).value
        assert one.data.metrics["gate/roc_auc"] == pytest.approx(area, abs=1e-3)
    note = run.data.tags["mlflow.note.content"].replace(GAP, "")
    for i, j in (0, 1), (0, 2), (1, 2):
        expected = metrics.paired(labels, logits[i], logits[j])
        both = f"{names[i]} less {names[j]}"
        found = run.data.metrics[f"difference/{both}"]
        assert found == pytest.approx(expected.value, abs=2e-3)
        p = run.data.metrics[f"difference_p/{both}"]
        assert p == pytest.approx(expected.p, abs=0.02)
        assert f"| {names[i]} | {names[j]} | {found:+.4f} (" in note
    assert "gwres.roc_auc" not in below[0].data.tags, "it is of the holdout"
    alone = below[2].data.tags["mlflow.note.content"]
    assert alone.startswith("### matched-filter") and "Differences" not in alone
    assert set(artifacts(mlflow.MlflowClient(), run)) == {
        "report.html",
        "plots/roc.png",
        "differences.parquet",
    }


def test_the_filter_alone_with_another_statistic_on_a_folder(judged, tmp_path):
    root = tmp_path / "set"
    dataset.write(root, POPULATIONS["g2net"], 240, 0, seed=1)
    settings = {"data": str(root), "statistic": "coincident", "split": "stack"}
    run, _ = judged(model="matched-filter", psd_windows="40", **settings)
    found = open_corpus(Data(source=str(root), psd_windows=40))
    windows = found.judged["stack"]
    drawn = POPULATIONS["g2net"]
    scores = score.score(windows, found.asd, drawn, "coincident")
    table = predictions(run, "stack")
    assert list(table["id"]) == list(windows.table["id"])
    np.testing.assert_allclose(table["logit"], scores)
    assert run.data.metrics["stack/roc_auc"] > 0.4


def test_what_a_name_means(logged):
    assert registry.pin("net") == "models:/net/2", "the newest"
    assert registry.pin("models:/net/1") == "models:/net/1"
    assert registry.pin("net@best") == "models:/net/1"
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("net", "champion", "1")
    assert registry.pin("net") == "models:/net/1", "the champion"
    client.delete_registered_model_alias("net", "champion")
    run = registry.pin(f"runs:/{logged[0]}/model")
    assert run == f"runs:/{logged[0]}/model"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "model must name one model or several different ones"),
        ({"model": "nothing"}, "received nothing: .*nothing not found"),
        ({"model": "net/9"}, "received net/9: "),
        ({"model": "net/newest"}, "received net/newest: "),
        ({"model": "net@worst"}, "received net@worst: "),
        ({"model": "runs:/0123/model"}, "received runs:/0123/model: "),
        ({"model": "net/2,net"}, "received models:/net/2, models:/net/2"),
        ({"model": "net", "split": "train"}, "split must be one of validation"),
        ({"model": "net", "statistic": "best"}, "statistic must be one of marginal"),
        ({"model": "net", "data": "."}, "expected training_labels.csv"),
        ({"model": "net", "judged": "0"}, "judged must be from 1"),
        ({"model": "net", "bank": "5"}, "unrecognized arguments: --bank"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_loaded(
    judged, monkeypatch, caplog, settings, message
):
    monkeypatch.setattr(registered, "load", None)
    monkeypatch.setattr(job, "classical", None)
    with pytest.raises(SystemExit) as end:
        judged(**settings)
    assert end.value.code == 2
    assert re.search(message, caplog.records[-1].getMessage())


@pytest.mark.filterwarnings("ignore:.*input example was not provided:UserWarning")
def test_a_model_of_something_else_is_refused(logged):
    class Sum(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    columns = Schema([ColSpec("double", "height")])
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=Sum(),
            signature=ModelSignature(columns, columns),
            pip_requirements=[],
        )
    with pytest.raises(InputError, match="that gwres has logged; .* holds no files"):
        registry.pin(f"models:/{info.model_id}")


def test_too_few_windows_to_judge_on(opened):
    windows = opened.judged["holdout"]
    none = windows.table.iloc[:0]
    noise = windows.table[windows.table["label"] == 0]
    empty, one = [type(windows)("gate", t, None, None) for t in (none, noise)]
    with pytest.raises(InputError, match="must have windows in gate; here has none"):
        job._check(empty, False, "here")
    job._check(one, False, "here")
    with pytest.raises(InputError, match="gate of here has 0 signals"):
        job._check(one, True, "here")
