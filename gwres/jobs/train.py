"""The job that trains a network: data, study, fit, scores, and all of it in MLflow."""

import logging

from gwres import cache
from gwres.data.corpus import open_corpus
from gwres.data.settings import GAUSSIAN
from gwres.jobs.publish import classical, judge, publish
from gwres.models import pretrained
from gwres.pages import gallery, notes, plots, report
from gwres.pages.plots import EVIDENCE
from gwres.simulate.population import population
from gwres.tracking import log, runs, tags, ui
from gwres.training import fit, shares, study
from gwres.training.recipe import PRETRAINED, kind

logger = logging.getLogger(__name__)
STORAGE = "sqlite:///optuna.db"


def train(recipe, trials=0, storage=STORAGE):
    """Open the data, tune if asked to, train, judge, and log it all.

    Workers that the user asks for have a trial each, and then share the batches of the
    training.

    Args:
        recipe: a `Recipe`.
        trials: how many finished trials the study should hold; 0 does not tune.
        storage: database URL of the study.

    Returns:
        list of the lines that matter, for the screen.
    """
    recipe = recipe.sized()
    workers = shares.asked(recipe)
    weights = _first_weights(recipe)
    database = study.storage(storage) if trials else None
    url = storage if trials and study.shared(storage) else None
    corpus = open_corpus(recipe.data)
    log.corpus(corpus, recipe.data.source)
    tuned = ""
    if trials and _can_tune(corpus):
        recipe, tuned = _tune(recipe, corpus, database, trials, weights, url)
    log.recipe(recipe)
    logger.info("training %s", recipe.name)
    with _workplace(recipe, corpus) as folder:
        told = []

        def tell(row):
            told.append(row["epoch"])
            log.epoch(row)

        trained = fit.fit(recipe, corpus, folder, weights, tell, workers)
        if tags.TRAIN_LOSS not in runs.present().metrics:
            _tell_before(trained.history, told)
        return _publish(recipe, corpus, trained, tuned)


def _tell_before(history, told):
    """Log the epochs of a training that went on, which a run before was told."""
    for row in history.astype(object).where(history.notna(), None).to_dict("records"):
        if row["epoch"] not in told:
            log.epoch(row)


def unlogged(recipe, purpose):
    """A trained classifier, of no run, for an experiment to measure; resumes.

    Args:
        recipe: a `Recipe`.
        purpose: keeps the checkpoints of one recipe's uses apart.

    Returns:
        keras.Model, raw strain to logit.
    """
    recipe = recipe.sized()
    weights, corpus = _first_weights(recipe), open_corpus(recipe.data)
    with _workplace(recipe, corpus, purpose) as folder:
        return fit.fit(recipe, corpus, folder, weights).classifier


def _first_weights(recipe):
    """Path of the weights to begin with, or None."""
    if recipe.fit.init == PRETRAINED:
        # What knows signals in Gaussian noise is a beginning in any other.
        quiet = kind(recipe.model.depth, recipe.frontend, GAUSSIAN)
        name = recipe.name if recipe.name in pretrained.cards() else quiet
        return pretrained.find(name, recipe.model)
    return runs.first_weights(recipe.fit.init)


def _workplace(recipe, corpus, purpose="recipe"):
    return cache.workplace({purpose: recipe.flat(), "data": corpus.name})


def _can_tune(corpus):
    """Whether validation holds both classes, which ROC-AUC and so tuning need."""
    labels = corpus.judged["validation"].table["label"]
    both = labels.nunique() == 2
    if not both:
        log.warn(
            f"no tuning: {tags.VAL_AREA} needs both labels, validation has "
            f"{(labels == 1).sum()} signals and {(labels == 0).sum()} noise windows"
        )
    return both


def _tune(recipe, corpus, database, trials, weights, url):
    """Run a study and log it: the recipe with the best settings, the study's note."""
    begun = study.begin(database, study.name(recipe, corpus), recipe.fit.seed)
    recipe = study.tune(recipe, corpus, begun, trials, log.Trial, weights, url)
    table, shares = study.table(begun), study.importance(begun)
    figures = {
        "history": plots.study_course(table),
        "slices": plots.study_slices(table),
    }
    if shares:
        figures["importance"] = plots.study_importance(shares)
    log.study(begun.study_name, table, figures)
    return recipe, notes.study(begun.study_name, table, shares)


def _publish(recipe, corpus, trained, tuned):
    """Score every judged split through the raw path, and log what it shows.

    Returns:
        list of lines for the screen.
    """
    tables = {
        name: fit.score(trained.classifier, windows)
        for name, windows in corpus.judged.items()
    }
    cost = {
        tags.CORE_SECONDS: trained.core_seconds,
        tags.SPEED: trained.windows / trained.core_seconds,
        tags.PARAMETERS: trained.classifier.count_params(),
    }
    named = {tags.COMMAND: recipe.command}
    holdout, lines = tables["holdout"], []
    if len(holdout):
        drawn = population(recipe.data.population)
        beside = classical(corpus.judged["holdout"], corpus.asd, drawn)
        # Of the front ends only that one has a score of its own.
        own = recipe.frontend == "templates"
        added = report.added_to(holdout, beside[EVIDENCE], own)
        judgement = judge(holdout, beside)
        if judgement.area:
            lines = [
                f"ROC-AUC  {judgement.area} on {len(holdout):,} holdout windows; "
                f"matched filter {judgement.metrics[tags.FILTER_AREA]:.4f}"
            ]
        publish(
            lambda place: notes.trained(
                recipe.name,
                holdout,
                beside,
                place,
                cost,
                recipe.command,
                added,
                tuned,
            ),
            tables,
            lambda out: report.write(
                out,
                recipe.name,
                holdout,
                trained.history,
                beside,
                gallery.loudest(corpus),
                {"Cost": cost, "Settings": recipe.flat()},
                gallery.viewer(corpus.judged["holdout"], corpus.asd),
                added,
            ),
            metrics=cost | judgement.metrics,
            warnings=judgement.warnings,
            named=named | judgement.named,
        )
    else:
        empty = "holdout has no windows: no metrics and no report"
        publish(
            lambda place: f"{empty}\n\n{tuned}",
            tables,
            metrics=cost,
            warnings=[empty],
            named=named,
        )
    some = next(one.read(0, 1) for one in corpus.judged.values() if len(one.table))
    log.model(trained.classifier, some)
    return [*lines, *ui.next_steps(reported=len(holdout) > 0)]
