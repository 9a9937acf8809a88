"""The hyperparameter search: what may vary, and the study that varies it."""

import logging
import operator
import os
import platform
import tempfile
import time
import uuid
import warnings
from functools import partial, wraps

import optuna
import pandas as pd
import psutil
from optuna.exceptions import StorageInternalError
from optuna.storages import (
    BaseStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
    get_storage,
)
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from gwres import cache
from gwres.data.corpus import open_corpus
from gwres.data.settings import SIMULATED
from gwres.engine import work
from gwres.engine.item import Failure
from gwres.errors import InputError
from gwres.progress import clock
from gwres.tracking.tags import VAL_AREA
from gwres.training import fit
from gwres.training.recipe import samples

logger = logging.getLogger(__name__)
# A trial trains on this share of the final training's windows, at a faster schedule.
SHARE = 1 / 10
EPOCHS = 6
HEARTBEAT_S, GRACE_S = 10, 60
PATIENCE_S = 300.0  # for a database that went away, as when it restarts
LEAST = 4  # complete trials that tell anything of importance
# What a trial says of the worker that it is on: its job, and its process.
JOB, WORKER = "job", "worker"


def suggest(trial, recipe):
    """The recipe with what is tuned as the trial says.

    Learning rate, weight decay, dropout before the head, and how the SNR eases: what
    moves ROC-AUC most at a given size. Width, and so cost, is the user's choice.
    """
    settings = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 2e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.1, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        "warmup": trial.suggest_float("warmup", 0.02, 0.2),
    }
    if recipe.data.source == SIMULATED and recipe.frontend != "templates":
        settings["loud"] = trial.suggest_float("loud", 1.0, 5.0)
        settings["ease"] = trial.suggest_float("ease", 0.1, 0.6)
    return recipe.vary(settings)


def known_good(recipe):
    """The settings that a study tries first: the recipe's own."""
    own = recipe.sized().flat()
    own = {key.rpartition(".")[2]: value for key, value in own.items()}
    trial = optuna.trial.FixedTrial(own)
    suggest(trial, recipe)
    return trial.params


def shortened(recipe, corpus):
    """The recipe of a trial: fewer windows, fewer validations."""
    few = int(samples(recipe, corpus) * SHARE)
    few = max(few, EPOCHS * recipe.live.batch)
    return recipe.vary({"samples": few, "epochs": EPOCHS, "patience": EPOCHS})


def name(recipe, corpus):
    """The study's name: equal for runs whose trials may be compared.

    It is made of the network, the data and all settings that are not tuned.
    """
    tuned = set(known_good(recipe)) | {"seed", "source", "strict"}
    fixed = {
        key: value
        for key, value in shortened(recipe, corpus).flat().items()
        if key.rpartition(".")[2] not in tuned
    }
    return f"{recipe.name}-{corpus.name}-{cache.digest(fixed)[:8]}"


def storage(url):
    """Open the database of studies, and make its tables if they are not there.

    A lock keeps two processes from making them at once, at which one would fail.

    Args:
        url: of a relational database, such as sqlite:///optuna.db.

    Returns:
        optuna.storages.BaseStorage; trials of a process that died are tried again, and
        a database that goes away later is waited for.

    Raises:
        InputError: not the URL of a database, or one that does not open.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Optuna has called its heartbeat experimental since 2021; the lock pins it.
        with warnings.catch_warnings(), cache.lock("study", url):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            database = RDBStorage(
                url,
                # A connection of before a restart is found out before it is used.
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(2),
            )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # The URL itself may hold a password, so it is not repeated.
        reason = str(error).splitlines()[0]
        raise InputError(
            f"storage must be a database URL that opens, such as "
            f"sqlite:///optuna.db; received one that does not: {reason}"
        ) from None
    # A database that is not there to begin with is the user's to see to.
    _patient(database.engine)
    return _asking_again(get_storage(database))


def _connected(dialect, _, words, named):
    """Connect to a database once it answers."""
    until, told = time.monotonic() + PATIENCE_S, False
    while True:
        try:
            return dialect.connect(*words, **named)
        except dialect.loaded_dbapi.OperationalError as error:
            if time.monotonic() > until:
                raise
            if not told:
                logger.warning("the storage is waited for: %s", error)
                told = True
            time.sleep(1)


def _patient(engine):
    """An engine whose connections wait for a database that went away."""
    # A file that is gone does not come back.
    if engine.dialect.name != "sqlite":
        event.listen(engine, "do_connect", _connected)


def _asking_again(database):
    """A storage that asks once more where its connection was lost in the middle.

    Optuna hides what the reason was; for any other the second time is as the first.
    """

    def again(method):
        @wraps(method)
        def ask(*given, **named):
            try:
                return method(*given, **named)
            except StorageInternalError:
                return method(*given, **named)

        return ask

    public = [name for name in dir(BaseStorage) if not name.startswith("_")]
    for name in (*public, "record_heartbeat", "_get_stale_trial_ids"):
        setattr(database, name, again(getattr(database, name)))
    return database


def begin(database, called, seed):
    """Begin a study, or open it where it was begun before.

    Args:
        database: as `storage` gives it.
        called: the study's name.
        seed: of the sampler.

    Returns:
        optuna.Study.
    """
    study = optuna.create_study(
        storage=database,
        study_name=called,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2),
    )
    _close_lost(study)
    study.sampler = _sampler(study, seed)
    return study


def _sampler(study, seed):
    """The sampler of the next trial.

    Its seed follows from how many trials there are, and not from those that were lost:
    a study that was killed and goes on tries what it would have tried.
    """
    begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return optuna.samplers.TPESampler(seed=seed + len(study.get_trials(False, begun)))


def _close_lost(study, job=None):
    """Close trials whose process is gone, and have their settings tried again.

    Those of other machines are found by their missing heartbeat, after `GRACE_S`.

    Args:
        study: optuna.Study.
        job: name of a job whose worker was lost, wherever that was; or None.
    """
    # Two processes of this machine must not both do it.
    with cache.lock("study", study.study_name):
        for trial in study.get_trials(False, (TrialState.RUNNING,)):
            told = trial.user_attrs
            host, _, process = told.get(WORKER, " ").rpartition(" ")
            here = host == platform.node() and not psutil.pid_exists(int(process))
            if here or job is not None and told.get(JOB) == job:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params)


def finished(study):
    """Trials that count: complete or pruned."""
    return study.get_trials(False, (TrialState.COMPLETE, TrialState.PRUNED))


def table(study):
    """A study's trials.

    Returns:
        DataFrame of columns number, state (complete, pruned, fail, running, waiting),
        value (the ROC-AUC last reached; NaN for none) and one per setting.
    """
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.intermediate_values.get(trial.last_step, float("nan")),
            **trial.params,
        }
        for trial in study.get_trials(False)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["number", "state", "value"])


def importance(study):
    """How much of the score's variance between complete trials each setting explains.

    Returns:
        dict of setting to its share, of sum 1; empty where fewer than `LEAST` trials
        are complete or all have the same score.

    Source:
        Hutter, Hoos and Leyton-Brown, ICML 2014 (fANOVA).
    """
    complete = study.get_trials(False, (TrialState.COMPLETE,))
    if len(complete) < LEAST or len({trial.value for trial in complete}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def shared(url):
    """Whether trials are to be worked on by several workers at once.

    Args:
        url: of the storage.

    Raises:
        InputError: they are on other machines, and the storage is a file of this one.
    """
    several = bool(os.environ.get(work.CLUSTER)) or work.asked() is not None
    if os.environ.get(work.CLUSTER) and url.startswith("sqlite"):
        raise InputError(
            "storage must be a database that all machines of a cluster reach, such as "
            f"postgresql+psycopg://me@host/studies; received {url}"
        )
    return several


def tune(recipe, corpus, study, trials, record, weights=None, url=None):
    """Run trials until the study holds enough, and take the best one's settings.

    Args:
        recipe: a `Recipe`.
        corpus: a `Corpus`; only its training and validation rows are used.
        study: as `begin` gives it. What it holds already counts, whoever ran it.
        trials: how many finished trials it should hold.
        record: called with (trial number, recipe, settings), gives a context manager;
            its value is called with each epoch's row, and its `state` is set to pruned
            where the trial is.
        weights: as for `fit.fit`.
        url: of the study's storage: workers are given a trial each, see `work.jobs`.
            None: they are run here, one after another.

    Returns:
        The recipe with the best trial's settings.
    """
    short = shortened(recipe, corpus)
    if not study.get_trials(False):
        study.enqueue_trial(known_good(recipe), skip_if_exists=True)
    if url is not None:
        _by_workers(short, study, trials, record, weights, url)
        return recipe.vary(study.best_params)

    before, start = len(finished(study)), time.monotonic()

    def left():
        """Time left by the trials so far, as text; nothing before the first."""
        done = len(finished(study))
        each = (time.monotonic() - start) / max(done - before, 1)
        return f", {clock(each * (trials - done))} left" if done > before else ""

    def objective(trial):
        trial.set_user_attr(WORKER, f"{platform.node()} {os.getpid()}")
        varied = suggest(trial, short)
        logger.info(
            "trial %d of %d%s: %s",
            len(finished(study)) + 1,
            trials,
            left(),
            ", ".join(f"{key} {value:.3g}" for key, value in trial.params.items()),
        )
        with record(trial.number, varied, trial.params) as run:
            return _score(trial, varied, corpus, weights, run)

    # Others may have their part in it, and those that fail do not count.
    for _ in range(2 * trials):
        if len(finished(study)) >= trials:
            break
        study.sampler = _sampler(study, recipe.fit.seed)
        study.optimize(objective, n_trials=1)
    return recipe.vary(study.best_params)


def _score(trial, varied, corpus, weights, run):
    """Fit what a trial asks for: its ROC-AUC on validation; or it is pruned."""

    def report(row):
        run(row)
        trial.report(row[VAL_AREA], row["epoch"])
        if trial.should_prune():
            run.state = "pruned"
            raise optuna.TrialPruned

    with tempfile.TemporaryDirectory() as folder:
        return fit.fit(varied, corpus, folder, weights, report).score


def _by_workers(short, study, trials, record, weights, url):
    """Have workers run the trials that the study lacks, and record each."""
    done = len(finished(study))
    # Whose trial is begun again is known by it, and by no other command's.
    call = uuid.uuid4().hex
    names = [f"{call}-{number}" for number in range(trials - done)]
    run = partial(_trial, url, study.study_name, short, weights, trials)
    outcomes = work.jobs(run, enumerate(names), operator.itemgetter(1))
    for made in outcomes:
        if isinstance(made, Failure):
            raise made.error
        if made is None:
            continue
        done += 1
        number, varied, params, rows, state, error = made
        told = ", ".join(f"{key} {value:.3g}" for key, value in params.items())
        logger.info("trial %d of %d, %s: %s", done, trials, state, told)
        with record(number, varied, params) as run:
            for row in rows:
                run(row)
            run.state = state
            if error:
                raise error


class _Rows(list):
    """The rows of a trial, and whether it was pruned, as a worker brings them back."""

    state = "complete"

    def __call__(self, row):
        self.append(row)


def _trial(url, called, short, weights, trials, job):
    """Run one trial of a study, on a worker.

    Returns:
        (its number, its recipe, its settings, its rows, complete or pruned or failed,
        the error or None); None where others have finished as many as `trials` since
        the job was given out.
    """
    number, name = job
    # Those that begin at once know the same trials, and must not try the same.
    study = begin(storage(url), called, short.fit.seed + 10_000 * (number + 1))
    _close_lost(study, name)
    # What waits are the settings of a trial that was lost, perhaps this job's own.
    waiting = study.get_trials(False, (TrialState.WAITING,))
    if len(finished(study)) >= trials and not waiting:
        return None
    rows, made = _Rows(), []

    def objective(trial):
        trial.set_user_attr(WORKER, f"{platform.node()} {os.getpid()}")
        trial.set_user_attr(JOB, name)
        varied = suggest(trial, short)
        made.extend([trial.number, varied, trial.params])
        return _score(trial, varied, open_corpus(short.data), weights, rows)

    try:
        study.optimize(objective, n_trials=1)
    except Exception as error:
        if not made:
            raise
        return *made, list(rows), "failed", error
    return *made, list(rows), rows.state, None
