"""The job that runs an experiment: its members one by one, then one table of all."""

import logging
import operator
import os
import platform
import re
from collections import deque
from functools import partial

import numpy as np
import pandas as pd
from filelock import Timeout

from gwres import cache, experiment
from gwres.data.corpus import open_corpus
from gwres.data.settings import SIMULATED
from gwres.engine.work import jobs
from gwres.errors import InputError
from gwres.jobs.publish import classical, publish
from gwres.jobs.train import train
from gwres.judging import stacker
from gwres.judging.predictions import differences
from gwres.pages import notes, plots, standings
from gwres.pages.markdown import address
from gwres.pages.plots import EVIDENCE, MATCHED_FILTER
from gwres.simulate.population import population
from gwres.tracking import runs, store, tags

logger = logging.getLogger(__name__)


def run(name, smoke, begin):
    """Train or find every member, and log the table; or measure, and log what it gives.

    Members that an earlier run of an experiment has finished are not trained again;
    one that was interrupted goes on. Those of earlier runs of this experiment move
    below the present run, so that the last one shows all.

    Args:
        name: of a file in `experiment.FOLDER`.
        smoke: whether to shrink it to seconds.
        begin: function of a name, a function of a list, and that list, such as
            `entry.run`: what a member's process begins its run with.

    Raises:
        InputError: no experiment of that name, or it is being run on this machine.
        ChildProcessError: some members failed; the others are finished.
    """
    kind, content = experiment.load(name, smoke)
    question = experiment.question(name)
    name = f"{name}-smoke" if smoke else name
    with _exclusive(name):
        named = {tags.EXPERIMENT: name, tags.HOST: platform.node(), tags.NAME: name}
        runs.amend(runs.present().id, named)
        if kind == "measure":
            measured = content()
            page(
                question,
                {"table": measured.table},
                measured.metrics,
                figures=measured.figures,
                told=True,
            )
        else:
            _train(name, content, begin, question)


def _exclusive(name):
    """One run of an experiment at a time: two would train the same members twice."""
    lock = cache.lock("experiment", [name, runs.environment("")])
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"experiment {name} is being run already: wait until it is finished"
        ) from None


def _train(name, members, begin, question):
    """Train the members that are not finished, and show all after each."""
    store.check_reached()
    logger.info("experiment %s: %d members", name, len(members))
    corpora = {
        member.recipe.data: open_corpus(member.recipe.data)
        for member in members.values()
    }
    before = _supersede(name)
    done, failed, tables = {}, {}, {}
    places = {
        called: f"member {number} of {len(members)}, {called}"
        for number, called in enumerate(members, 1)
    }

    def wanted():
        """Members to be trained, one when a process is free for it."""
        for called, member in members.items():
            digest = member.digest(corpora[member.recipe.data].split_hash)
            run_id, finished = _find(called, digest, before)
            before_it = "finished before, " if finished else ""
            logger.info("%s: %srun %s", places[called], before_it, run_id)
            if finished:
                done[called] = run_id
            else:
                yield called, run_id, member

    def show():
        known = {called: done[called] for called in members if called in done}
        tables.update({one: runs.tables(known[one]) for one in known.keys() - tables})
        last = len(done) + len(failed) == len(members)
        if done:
            _show(members, known, failed, tables, corpora, question, last)

    shown = 0
    for called, run_id, finished in _start(wanted(), begin):
        if finished:
            done[called] = run_id
        else:
            failed[called] = run_id
            logger.error("%s: FAILED, the others go on", places[called])
        shown = len(done) + len(failed)
        show()
    # Members that were finished before and come after the last that was trained.
    if len(done) + len(failed) > shown:
        show()
    if failed:
        raise ChildProcessError(
            f"{len(failed)} of {len(members)} members failed: {', '.join(failed)}; "
            "their runs tell why"
        )


def _supersede(name):
    """Close earlier runs of the experiment on this machine, which are all dead.

    Returns:
        Their ids.
    """
    present = runs.present().id
    before = [run for run in runs.tagged({tags.EXPERIMENT: name}) if run.id != present]
    for earlier in before:
        dead = _here(earlier) and earlier.status == "RUNNING"
        runs.amend(earlier.id, {tags.CONTINUED: present}, "KILLED" if dead else None)
    return [earlier.id for earlier in before]


def _here(run):
    return run.tags.get(tags.HOST) == platform.node()


def _find(called, digest, before):
    """The run of a member: a finished one, else one to go on with, else a new one.

    Returns:
        (run id, whether it is finished).
    """
    named = {tags.PARENT: runs.present().id, tags.NAME: called}
    alike = runs.tagged({tags.MEMBER: digest})
    own = [run for run in alike if run.tags[tags.PARENT] in before]
    for run in [*own, *alike]:
        if run.status == "FINISHED":
            # One of another experiment stays where it is.
            if run in own:
                runs.amend(run.id, named)
            return run.id, True
    for run in filter(_here, own):
        runs.amend(run.id, named | {tags.ERROR: None})
        return run.id, False
    named = {tags.MEMBER: digest, tags.HOST: platform.node()}
    return runs.schedule(called, named), False


def _start(wanted, begin):
    """Train members, each in a process of its own, which may be on a cluster.

    What TensorFlow does not give back is given back by the process's end.

    Args:
        wanted: iterable of (name, run id, member).
        begin: as for `run`.

    Yields:
        (name, run id, whether it went well), in their order.
    """
    handed = deque()

    def items():
        for called, run_id, member in wanted:
            handed.append((called, run_id))
            yield called, runs.environment(run_id), member

    outcomes = jobs(partial(_member, begin), items(), operator.itemgetter(0))
    try:
        for outcome in outcomes:
            called, run_id = handed.popleft()
            status = runs.read(run_id).status
            if status not in ("FINISHED", "FAILED"):
                # Only of one whose process was lost is nothing told there.
                runs.amend(run_id, {tags.ERROR: str(outcome.error)}, "FAILED")
            yield called, run_id, status == "FINISHED"
    except BaseException:
        outcomes.close()
        for _, run_id in handed:
            if runs.read(run_id).status not in ("FINISHED", "FAILED"):
                runs.amend(run_id, {}, "KILLED")
        raise


def _member(begin, item):
    """What a member's process does."""
    _, environment, member = item
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    os.environ.update(environment)
    try:
        begin("member", partial(_fit, member), [])
    except SystemExit:
        # It has told its run why.
        pass


def _fit(member, _):
    train(member.recipe, member.trials)


def _show(members, done, failed, tables, corpora, question, last):
    """Log the table of what there is, and what the members are worth together."""
    settings = standings.varied({name: one.recipe for name, one in members.items()})
    rows = {}
    for called, run_id in done.items():
        cost = runs.read(run_id).metrics
        rows[called] = settings[called] | {
            "parameters": cost[tags.PARAMETERS],
            "core_seconds": cost[tags.CORE_SECONDS],
            **standings.row(tables[called]),
            "run": run_id,
        }
    own = standings.table(rows)
    groups, compared = {}, []
    for called in done:
        judged = corpora[members[called].recipe.data].name
        groups.setdefault(judged, {})[called] = tables[called]
    for judged, group in groups.items():
        data = members[next(iter(group))].recipe.data
        corpus, drawn = corpora[data], population(data.population)
        beside = classical(corpus.judged["holdout"], corpus.asd, drawn)
        suffix = f", {judged}" if len(groups) > 1 else ""
        hashed = data.source != SIMULATED
        more, pairs = _together(group, own, beside, suffix, hashed)
        for name, table in more.items():
            if name not in rows:
                rows[name] = standings.row({"holdout": table})
            rows[name] |= standings.over(table, beside[EVIDENCE])
        compared.append(pairs)
    rows |= {name: {"run": standings.FAILED + made} for name, made in failed.items()}
    pairs = pd.concat(compared)
    logged = {
        "table": standings.table(rows),
        "spread": standings.spread(own),
        "differences": pairs.rename(columns={"first": "name", "second": "against"}),
    }
    metrics = {
        f"roc_auc/{name}": row["roc_auc"]
        for name, row in rows.items()
        if "roc_auc" in row
    }
    logged = {name: table for name, table in logged.items() if len(table)}
    page(question, logged, metrics, standings.headline(pairs), told=last)


def _together(group, own, beside, suffix, hashed):
    """Members, the classical side and members together; and the differences.

    Returns:
        (dict of name to predictions of the holdout, as `predictions.differences`).
    """
    filtered, bound = (f"{name}{suffix}" for name in (MATCHED_FILTER, EVIDENCE))
    judged = {name: tables["holdout"] for name, tables in group.items()}
    judged |= {f"{name}{suffix}": table for name, table in beside.items()}
    known = own[own["name"].isin(group)]
    # Chosen on validation: the best on the holdout would flatter itself.
    scores = known["val_roc_auc"] if "val_roc_auc" in known else known["roc_auc"] * 0
    best = known["name"].iloc[int(np.nanargmax(scores.fillna(-1)))]
    pairs = [(best, filtered), (best, bound)]
    if len(group) > 1:
        for name, table in stacker.together(group, hashed).items():
            called = f"{name}{suffix}"
            judged[called] = table
            pairs += [(called, filtered), (called, bound), (called, best)]
    return judged, differences(judged, pairs)


def page(question, tables, metrics, headline="", figures=None, told=False):
    """Log tables as CSV, Markdown and HTML, figures, and a note.

    Args:
        question: that the experiment asks.
        tables: dict of name to DataFrame, "table" among them.
        metrics: dict of name to number.
        headline: the answer in Markdown, or "".
        figures: dict of path to Figure.
        told: whether the tables are shown on the screen too.
    """
    table, figures = tables["table"], dict(figures or {})
    if {"roc_auc", "roc_auc_low", "roc_auc_high"} <= set(table):
        figures["plots/roc_auc.png"] = plots.areas(table)

    def write(out):
        for name, one in tables.items():
            shown = standings.readable(one)
            text = standings.markdown(shown)
            one.to_csv(out / f"{name}.csv", index=False)
            (out / f"{name}.md").write_text(text, encoding="utf-8")
            shown.to_html(out / f"{name}.html", index=False, encoding="utf-8")
            if told:
                logger.info("%s\n%s", name, text)
        for path, figure in figures.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(out / path)

    def note(place):
        brief = standings.brief(table, lambda run: address((place[0], run)))
        return notes.answered(question, headline, brief, place, list(figures))

    # MLflow takes letters, digits, spaces and a few signs in a metric's name.
    metrics = {re.sub(r"[^\w\-./ ]", "", name): x for name, x in metrics.items()}
    publish(note, write=write, metrics=metrics)
