"""The study: known-good settings first, resumed by name, pruned, best taken."""

import threading
import time
from contextlib import contextmanager

import optuna
import pytest

from gwres.data.corpus import Corpus, open_corpus
from gwres.data.settings import Data
from gwres.errors import InputError
from gwres.training import fit as fitting
from gwres.training import study as studies
from gwres.training.recipe import Recipe
from tests import postgres


@pytest.fixture(scope="module")
def opened():
    return open_corpus(Data(bank=48, judged=40, psd_windows=40))


@pytest.fixture
def url(tmp_path):
    return studies.storage(f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.fixture
def quick(monkeypatch):
    """Training that scores by its learning rate alone."""

    def fit(recipe, opened, folder, weights, on_epoch):
        score = 0.9 - abs(recipe.fit.learning_rate - 0.004) * 10
        for epoch in range(recipe.fit.epochs):
            on_epoch({"epoch": epoch, "step": epoch, "val/roc_auc": score})

        class Trained:
            pass

        Trained.score = score
        return Trained

    monkeypatch.setattr(fitting, "fit", fit)


class Records(list):
    """Remembers what each trial was and how it ended."""

    @contextmanager
    def __call__(self, number, recipe, settings):
        def log(row):
            pass

        log.state = "complete"
        try:
            yield log
        finally:
            self.append((number, recipe, log.state))


def test_known_good_settings_come_first_and_the_best_is_taken(opened, url, quick):
    recipe, records = Recipe().sized(), Records()
    study = studies.begin(url, "one", seed=0)
    best = studies.tune(recipe, opened, study, 4, records)
    assert len(records) == 4
    first = records[0][1]
    assert first.fit.learning_rate == recipe.fit.learning_rate
    assert first.live == recipe.live
    rates = [one.fit.learning_rate for _, one, _ in records]
    assert best.fit.learning_rate == min(rates, key=lambda rate: abs(rate - 0.004))
    assert best.fit.samples == recipe.fit.samples, "the final fit is not shortened"
    assert records[0][1].fit.samples == int(120_000 * studies.SHARE)


def test_a_study_is_resumed_by_name(opened, url, quick):
    records = Records()
    studies.tune(Recipe(), opened, studies.begin(url, "one", 0), 2, records)
    studies.tune(Recipe(), opened, studies.begin(url, "one", 0), 3, records)
    assert [number for number, _, _ in records] == [0, 1, 2]
    studies.tune(Recipe(), opened, studies.begin(url, "one", 0), 3, records)
    assert len(records) == 3, "it holds enough already"


def test_hopeless_trials_are_pruned(opened, url, quick):
    records = Records()
    study = studies.begin(url, "one", 0)
    studies.tune(Recipe(), opened, study, 6, records)
    states = [state for _, _, state in records]
    assert "pruned" in states
    assert states[0] == "complete"
    table = studies.table(study)
    assert list(table["state"]) == states
    assert table["value"].notna().all()
    assert {"learning_rate", "dropout"} <= set(table)
    pruned = study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    assert len(pruned) == states.count("pruned")


def test_a_failing_trial_fails_the_job(opened, url, monkeypatch):
    def fit(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(fitting, "fit", fit)
    study = studies.begin(url, "one", 0)
    with pytest.raises(RuntimeError, match="broken"):
        studies.tune(Recipe(), opened, study, 2, Records())
    assert study.get_trials()[0].state == optuna.trial.TrialState.FAIL


def test_name_tells_studies_apart_by_what_is_not_tuned(opened):
    recipe = Recipe()
    name = studies.name(recipe, opened)
    assert name.startswith("resnet34-templates-simulated-g2net-")
    assert studies.name(recipe.vary({"learning_rate": 0.01, "seed": 3}), opened) == name
    for change in ({"width": 8}, {"samples": 999}, {"depth": 18}, {"batch": 32}):
        assert studies.name(recipe.vary(change), opened) != name


@pytest.mark.skipif(not postgres.INSTALLED, reason="needs PostgreSQL")
def test_a_database_that_restarts_changes_nothing(opened, url, quick, monkeypatch):
    """Again and again, in the middle of trials and of what they say."""
    undisturbed = studies.begin(url, "one", 0)
    studies.tune(Recipe(), opened, undisturbed, 6, Records())
    fit = fitting.fit

    def slow(recipe, opened, folder, weights, on_epoch):
        def told(row):
            on_epoch(row)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                study.get_trials()

        return fit(recipe, opened, folder, weights, told)

    monkeypatch.setattr(fitting, "fit", slow)
    over, restarts = threading.Event(), []
    with postgres.server() as (folder, run):
        run("createdb", "studies")

        def restarting():
            while not over.wait(0.7):
                postgres.restart(folder, away_s=1.5)
                restarts.append(1)

        database = studies.storage(f"postgresql+psycopg://me@/studies?host={folder}")
        thread = threading.Thread(target=restarting)
        thread.start()
        try:
            study = studies.begin(database, "one", 0)
            studies.tune(Recipe(), opened, study, 6, Records())
            assert studies.table(study).equals(studies.table(undisturbed))
        finally:
            over.set()
            thread.join()
            postgres.leave(database)
    assert len(restarts) > 3


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////no/such/o.db", "a+b://c"])
def test_a_storage_that_does_not_open_is_refused(url):
    with pytest.raises(InputError, match="storage must be a database URL that opens"):
        studies.storage(url)


@pytest.mark.parametrize(
    ("changes", "eased"),
    [
        ({"frontend": "waveform"}, True),
        ({"frontend": "templates"}, False),
        ({"frontend": "waveform", "source": "/somewhere"}, False),
    ],
)
def test_only_simulated_signals_that_a_network_has_to_learn_are_eased(changes, eased):
    tuned = studies.known_good(Recipe().vary(changes).sized())
    assert ("loud" in tuned) == ("ease" in tuned) == eased


def test_a_folders_trials_see_a_share_of_its_windows(opened):
    files = Corpus(opened.asd, None, opened.judged, "hash", "folder", 1000, None)
    recipe = Recipe().vary({"source": "/somewhere"})
    assert studies.shortened(recipe, files).fit.samples == int(
        10 * 1000 * studies.SHARE
    )


def test_importance_finds_the_setting_that_matters(url):
    study = studies.begin(url, "one", 0)
    study.sampler = optuna.samplers.RandomSampler(seed=0)

    def objective(trial):
        recipe = studies.suggest(trial, Recipe())
        return recipe.fit.warmup

    study.optimize(objective, 3)
    assert studies.importance(study) == {}, "three trials tell nothing"
    study.optimize(objective, 27)
    shares = studies.importance(study)
    assert max(shares, key=shares.get) == "warmup" and shares["warmup"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == set(studies.known_good(Recipe()))
