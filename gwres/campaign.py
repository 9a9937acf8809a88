"""Runs an experiment: its members one after another, then one table of them all."""

import logging
import multiprocessing
import os
import platform
import re
import threading
from functools import partial

import numpy as np
import pandas as pd
from filelock import Timeout

from gwres import cache, experiment, jobs, notes, runs, standings, tracking
from gwres.data.corpus import corpus
from gwres.errors import InputError
from gwres.markdown import address

log = logging.getLogger(__name__)
NAME, HOST = "gwres.experiment", "gwres.host"


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
    page = Page(experiment.question(name))
    name = f"{name}-smoke" if smoke else name
    with _alone(name):
        tags = {NAME: name, HOST: platform.node(), "mlflow.runName": name}
        runs.amend(runs.present(), tags)
        if kind == "measure":
            measured = content()
            page.log(
                {"table": measured.table}, measured.metrics, "", measured.figures, True
            )
        else:
            _train(name, content, begin, page)


def _alone(name):
    """One run of an experiment at a time: two would train the same members twice."""
    lock = cache.lock("experiment", [name, runs.environment("")])
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"experiment {name} is being run already: wait until it is finished"
        ) from None


def _train(name, members, begin, page):
    log.info("experiment %s: %d members", name, len(members))
    opened = {
        member.recipe.data: corpus(member.recipe.data) for member in members.values()
    }
    before = _supersede(name)
    done, failed, tables = {}, {}, {}
    for number, (called, member) in enumerate(members.items(), 1):
        place = f"member {number} of {len(members)}, {called}"
        digest = member.digest(opened[member.recipe.data].split_hash)
        run_id, finished = _find(called, digest, before)
        if finished:
            log.info("%s: finished before, run %s", place, run_id)
        else:
            log.info("%s: run %s", place, run_id)
            finished = _start(run_id, member, begin)
        if finished:
            done[called] = run_id
            tables[called] = runs.tables(run_id)
        else:
            failed[called] = run_id
            log.error("%s: FAILED, the others go on", place)
        if done:
            last = number == len(members)
            _report(members, done, failed, tables, opened, page, last)
    if failed:
        raise ChildProcessError(
            f"{len(failed)} of {len(members)} members failed: {', '.join(failed)}; "
            "their runs tell why"
        )


def _supersede(name):
    """Close earlier runs of the experiment on this machine; none of them is alive.

    Returns:
        Their ids.
    """
    present = runs.present()
    before = [r for r in runs.tagged({NAME: name}) if r.info.run_id != present]
    for earlier in before:
        dead = _here(earlier) and earlier.info.status == "RUNNING"
        tags = {"gwres.continued_by": present}
        runs.amend(earlier.info.run_id, tags, "KILLED" if dead else None)
    return [earlier.info.run_id for earlier in before]


def _here(run):
    return run.data.tags.get(HOST) == platform.node()


def _find(called, digest, before):
    """The run of a member: a finished one, else one to go on with, else a new one.

    Returns:
        (run id, whether it is finished).
    """
    tags = {"mlflow.parentRunId": runs.present(), "mlflow.runName": called}
    found = runs.tagged({tracking.MEMBER: digest})
    own = [run for run in found if run.data.tags["mlflow.parentRunId"] in before]
    for run in [*own, *found]:
        if run.info.status == "FINISHED":
            # One of another experiment stays where it is.
            if run in own:
                runs.amend(run.info.run_id, tags)
            return run.info.run_id, True
    for run in filter(_here, own):
        runs.amend(run.info.run_id, tags | {"gwres.error": None})
        return run.info.run_id, False
    tags = {tracking.MEMBER: digest, HOST: platform.node()}
    return runs.nested(called, tags), False


def _start(run_id, member, begin):
    """Train a member in a process of its own; whether it went well.

    What TensorFlow does not give back is given back by the process's end.
    """
    context = multiprocessing.get_context("spawn")
    arguments = runs.environment(run_id), member, begin
    process = context.Process(target=_member, args=arguments)
    process.start()
    try:
        process.join()
    except BaseException:
        process.terminate()
        process.join()
        runs.amend(run_id, {}, "KILLED")
        raise
    status = runs.found(run_id).info.status
    if status not in ("FINISHED", "FAILED"):
        error = f"its process ended with exit code {process.exitcode}"
        runs.amend(run_id, {"gwres.error": error}, "FAILED")
    return status == "FINISHED"


def _member(environment, member, begin):
    """What a member's process does."""
    parent = multiprocessing.parent_process()

    def leave():
        # A member without its experiment would hold the checkpoints that the next
        # run of the experiment goes on from.
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    os.environ.update(environment)
    begin("member", partial(_fit, member), [])


def _fit(member, _):
    jobs.fit(member.recipe, member.trials)


def _report(members, done, failed, tables, opened, page, last):
    """Log the table of what there is, and what the members are worth together."""
    settings = standings.varied({name: one.recipe for name, one in members.items()})
    rows = {}
    for called, run_id in done.items():
        cost = runs.found(run_id).data.metrics
        rows[called] = settings[called] | {
            "parameters": cost["cost/parameters"],
            "core_seconds": cost["cost/train_core_seconds"],
            **standings.row(tables[called]),
            "run": run_id,
        }
    own = standings.table(rows)
    logged = {"spread": standings.spread(own)}
    groups, compared = {}, []
    for called in done:
        judged = opened[members[called].recipe.data].name
        groups.setdefault(judged, {})[called] = tables[called]
    for judged, together in groups.items():
        recipe = members[next(iter(together))].recipe
        classical = jobs.baseline(opened[recipe.data], recipe.data)
        suffix = f", {judged}" if len(groups) > 1 else ""
        more, pairs = _together(together, own, classical, suffix)
        rows |= more
        compared.append(standings.differences(pairs))
    rows |= {name: {"run": standings.FAILED + made} for name, made in failed.items()}
    logged = {"table": standings.table(rows), **logged}
    logged["differences"] = pd.concat(compared)
    metrics = {
        f"roc_auc/{name}": found["roc_auc"]
        for name, found in rows.items()
        if "roc_auc" in found
    }
    logged = {name: table for name, table in logged.items() if len(table)}
    page.log(logged, metrics, standings.headline(logged["differences"]), told=last)


def _together(tables, own, classical, suffix):
    """Rows of the matched filter and of the members together, and what to compare."""
    filtered = f"{standings.FILTER}{suffix}"
    rows = {filtered: standings.row({"holdout": classical})}
    known = own[own["name"].isin(tables)]
    # Chosen on validation: the best on the holdout would flatter itself.
    scores = known["val_roc_auc"] if "val_roc_auc" in known else known["roc_auc"] * 0
    best = known["name"].iloc[int(np.nanargmax(scores.fillna(-1)))]
    pairs = {(best, filtered): (tables[best]["holdout"], classical)}
    if len(tables) > 1:
        for name, judged in standings.stacked(tables).items():
            called = f"{name}{suffix}"
            rows[called] = standings.row({"holdout": judged})
            pairs[called, filtered] = judged, classical
            pairs[called, best] = judged, tables[best]["holdout"]
    return rows, pairs


class Page:
    """What an experiment's run shows.

    Args:
        question: that the experiment asks.
    """

    def __init__(self, question):
        self.question = question

    def log(self, tables, metrics, headline, figures=None, told=False):
        """Log tables as CSV, Markdown and HTML, figures, and the note of them.

        Args:
            tables: dict of name to DataFrame, "table" among them.
            metrics: dict of name to number.
            headline: the answer in Markdown, or "".
            figures: dict of path to Figure.
            told: whether the tables are shown on the screen too.
        """
        figures, texts = dict(figures or {}), {}
        for name, table in tables.items():
            shown = standings.readable(table)
            texts[f"{name}.csv"] = table.to_csv(index=False)
            texts[f"{name}.md"] = standings.markdown(shown)
            texts[f"{name}.html"] = shown.to_html(index=False)
            if told:
                log.info("%s\n%s", name, texts[f"{name}.md"])
        found, place = tables["table"], tracking.place()
        if {"roc_auc", "roc_auc_low", "roc_auc_high"} <= set(found):
            figures["plots/roc_auc.png"] = standings.areas(found)
        # MLflow takes letters, digits, spaces and a few signs in a metric's name.
        named = {
            re.sub(r"[^\w\-./ ]", "", key): value for key, value in metrics.items()
        }
        tracking.show(named, texts, figures)
        brief = standings.brief(found, lambda run: address((place[0], run)))
        text = notes.answered(self.question, headline, brief, place, list(figures))
        tracking.described(text)
