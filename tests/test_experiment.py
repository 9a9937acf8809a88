"""The files of experiments/: each is found, and names recipes that can be built."""

import ast
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.utils import validation

from experiments import ceiling, detector, shipped, silence
from gwres import experiment
from gwres.data.corpus import judged_windows, open_corpus
from gwres.data.settings import Data
from gwres.errors import InputError
from gwres.experiment import SMOKE, PlannedRun
from gwres.judging import metrics
from gwres.matched import score as scoring
from gwres.models import pretrained
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.simulate import noise as noises
from gwres.simulate.population import population
from gwres.training.recipe import Recipe

NAMES = experiment.names()


def test_every_file_is_an_experiment():
    assert {"depths", "recipe", "seeds", "leakage", "populations"} <= set(NAMES)
    assert NAMES == sorted(path.stem for path in experiment.FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_what_it_asks_and_how_it_is_run(name):
    text = (experiment.FOLDER / f"{name}.py").read_text()
    question = ast.get_docstring(ast.parse(text))
    assert question.splitlines()[0].endswith("?")
    assert f"mlflow run . -e experiment -P name={name}" in question
    assert name in (experiment.FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_members_are_different_runs_and_small_where_asked(name):
    kind, whole = experiment.load(name)
    _, small = experiment.load(name, smoke=True)
    if kind == "measure":
        assert callable(whole)
        return
    assert list(whole) == list(small)
    digests = {member.digest("split") for member in whole.values()}
    assert len(digests) == len(whole)
    for member in small.values():
        flat = member.recipe.flat()
        assert flat["fit.samples"] == SMOKE["samples"]
        assert flat["data.judged"] == SMOKE["judged"]
        assert member.trials <= 2


def test_depths_are_all_depths_with_every_front_end():
    _, members = experiment.load("depths")
    pairs = {(m.recipe.model.depth, m.recipe.frontend) for m in members.values()}
    assert len(pairs) == len(members) == 18


def test_a_member_is_told_by_recipe_trials_and_split():
    member = PlannedRun(Recipe())
    assert member.digest("a") == PlannedRun(Recipe()).digest("a")
    others = (
        member.digest("b"),
        PlannedRun(Recipe(), trials=1).digest("a"),
        PlannedRun(Recipe().vary({"seed": 1})).digest("a"),
    )
    assert len({member.digest("a"), *others}) == 4


def test_unknown_and_missing_experiments(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="depths, detector, leakage.*received unheard"):
        experiment.load("unheard")
    monkeypatch.setattr(experiment, "FOLDER", tmp_path)
    (tmp_path / "helper.py").write_text("def other():\n    pass\n")
    with pytest.raises(InputError, match="must hold experiments; found none"):
        experiment.load("depths")


def test_silence_takes_out_the_signals_and_nothing_else(designed, fitted, monkeypatch):
    model = classifier(network(ResNet(16, width=4), "templates", designed), fitted)
    data = Data(bank=48, judged=400, psd_windows=40)
    rows = silence.judge(model, data).table.to_dict("records")
    heard, silent = rows
    assert heard["roc_auc_low"] > 0.7
    assert silent["roc_auc_low"] < 0.5 < silent["roc_auc_high"]
    assert silent["median_snr"] == pytest.approx(1e-6 * heard["median_snr"])
    other = lambda drawn, _, count: judged_windows(drawn, "gate", count)  # noqa: E731
    monkeypatch.setattr(silence, "judged_windows", other)
    with pytest.raises(ValueError, match="holdout's labels and noise, received other"):
        silence.judge(model, data)


def test_shipped_scores_what_ships_beside_networks_as_they_begin():
    measured = shipped.measure(smoke=True)
    table = measured.table.set_index("name")
    begun, trained = shipped.networks(smoke=True)
    assert begun == "resnet16-templates" and trained in pretrained.cards()
    # Untrained, a network on templates is the evidence.
    assert table.loc[begun, "over_evidence"] == pytest.approx(0, abs=2e-3)
    assert table.loc[begun, "roc_auc"] > 0.75 < table.loc[trained, "roc_auc"]
    assert (table.loc[[begun, trained], "windows_per_core_second"] > 0).all()
    assert {"mean of logits", "stacked"} <= set(table.index)
    for name, value in measured.metrics.items():
        validation._validate_metric(name, value, 0, 0)


@pytest.fixture(scope="module")
def known():
    """Labels, true log likelihood ratios, and three sets of them with an error."""
    rng = np.random.default_rng(3)
    labels = rng.integers(2, size=4000)
    # Normal with variance 2 m and mean m or -m: its own log likelihood ratio.
    truth = rng.normal(np.where(labels, 1.0, -1.0), np.sqrt(2.0))
    error = rng.normal(-1 / 8, 0.5, (3, len(labels)))  # its exponential's mean is 1
    return labels, truth, truth + error


def test_ceiling_goes_to_the_area_without_error(known):
    labels, truth, sets = known
    found = ceiling.converged(labels, sets)
    one, two, three, limit = found.values()
    assert list(found)[-1] == "roc_auc/limit"
    assert one < two < three < limit
    area = metrics.roc_auc(labels, truth).value
    assert three < area - 0.004
    assert abs(limit - area) < 0.002


def test_ceiling_is_a_table_and_metrics_that_mlflow_takes(known, monkeypatch):
    labels, truth, sets = known
    rows = pd.DataFrame({"label": labels, "network_snr": 8.0 * labels})
    rows = rows.assign(id=[f"{i:010x}" for i in rows.index], split="holdout")
    holdout = SimpleNamespace(table=rows)
    opened = SimpleNamespace(judged={"holdout": holdout}, asd=None)
    monkeypatch.setattr(ceiling, "open_corpus", lambda data: opened)
    monkeypatch.setattr(ceiling, "likelihoods", lambda *_: sets)
    worse = rows.assign(logit=truth + np.random.default_rng(4).normal(size=len(rows)))
    monkeypatch.setattr(ceiling, "baseline", lambda *_: worse)
    measured = ceiling.measure()
    assert len(measured.table) == len(ceiling.NAMES)
    for name, value in measured.metrics.items():
        assert 0.5 < value < 1
        validation._validate_metric(name, value, 0, 0)


def test_detector_judges_on_noise_that_it_makes_as_it_goes(monkeypatch, tmp_path):
    """The whole of it, small; again, nothing is scored anew."""
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path))
    monkeypatch.setattr(noises, "STATES", 20)
    monkeypatch.setattr(noises, "each", lambda job, jobs, _: map(job, jobs))
    monkeypatch.setattr(detector, "CHUNK", 120)
    first = detector.measure(smoke=True)
    table = first.table.set_index("name")
    assert list(table.index) == [*detector.STATISTICS, "resnet16-templates"]
    rates = [f"tpr_at_fpr_{fpr:g}" for fpr in detector.RATES]
    assert (table[rates].diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    # Without glitches all are good; among them, what doubts glitches is better.
    assert (table["quiet_roc_auc"] > 0.7).all()
    hard = table["hard_roc_auc"]
    assert hard["reweighted"] > hard["marginal"]
    assert hard["consistent"] > hard["coherent"]
    for name, value in first.metrics.items():
        validation._validate_metric(name, value, 0, 0)
    for name in ("draw", "predicted"):
        monkeypatch.setattr(detector, name, None, raising=True)
    monkeypatch.setattr(scoring, "score", None)
    planned = detector.recipes(smoke=True)
    data = next(iter(planned.values())).data
    told = open_corpus(data), population(data.population), 200
    models = list(planned)
    kept = detector.scored_noise([(models, None)], planned, *told)
    assert len(kept) == 200 and not kept["label"].any()
    assert kept[[*detector.STATISTICS, *models]].notna().all(axis=None)
