"""What are the weights that ship worth, at what cost, at every depth and front end?

    mlflow run . -e experiment -P name=shipped

Nothing is trained. Every network is scored on the judged windows of `g2net`, and on the
holdout of `volumetric`; beside the weights that ship, networks on `templates` as they
begin, with the evidence for a logit. Inference is timed on one window after another in
batches, whitening and all: core-seconds of one machine, to be compared with each other.
The stack is of the best network of each front end, by validation.
Time: 24,000 windows for each network, 600 to 2,200 in a core-second. Result: README.md.
"""

import time
from dataclasses import replace

from gwres.data.corpus import open_corpus
from gwres.experiment import SMOKE, Measured
from gwres.jobs.publish import classical
from gwres.judging import metrics, predictions, stacker
from gwres.models import pretrained
from gwres.models.classifier import classifier, network
from gwres.models.resnet import DEPTHS
from gwres.pages import standings
from gwres.pages.plots import EVIDENCE
from gwres.simulate.population import population
from gwres.training import fit
from gwres.training.recipe import Recipe

TIMED = 1000  # windows
BATCH = 250
OTHER = "volumetric"


def measure(smoke=False):
    """Score and time every network, and stack the best of each front end."""
    small = {key: SMOKE[key] for key in ("bank", "judged", "psd_windows")}
    recipe = Recipe().vary(small if smoke else {})
    corpus = open_corpus(recipe.data)
    other = open_corpus(replace(recipe.data, population=OTHER))
    rows, tables = {}, {}
    for name in networks(smoke):
        model = restored(name, corpus)
        tables[name] = {
            part: fit.score(model, windows) for part, windows in corpus.judged.items()
        }
        elsewhere = fit.score(restored(name, other), other.judged["holdout"])
        rows[name] = {
            "parameters": model.count_params(),
            "windows_per_core_second": speed(model, corpus.judged["holdout"]),
            **standings.row(tables[name]),
            OTHER: metrics.roc_auc(elsewhere["label"], elsewhere["logit"]).value,
        }
    judged = {name: parts["holdout"] for name, parts in tables.items()}
    drawn = population(recipe.data.population)
    beside = classical(corpus.judged["holdout"], corpus.asd, drawn)
    front = best(rows)
    together = stacker.together({name: tables[name] for name in front}, False)
    for name, table in (beside | together).items():
        rows[name] = standings.row({"holdout": table})
        judged[name] = table
    for name, table in judged.items():
        rows[name] |= standings.over(table, beside[EVIDENCE])
    pairs = [(name, front[0]) for name in together]
    pairs = predictions.differences(judged, pairs)
    named = {f"{name}/roc_auc": row["roc_auc"] for name, row in rows.items()}
    for pair in pairs.itertuples():
        named[f"{pair.first}/less_best"] = pair.difference
        named[f"{pair.first}/less_best_low"] = pair.low
        named[f"{pair.first}/less_best_high"] = pair.high
    return Measured(standings.table(rows), named)


def networks(smoke):
    """Names of all networks; a few where it is to take seconds."""
    shipped = sorted(pretrained.cards(), key=_order)
    begun = [f"resnet{depth}-templates" for depth in DEPTHS]
    return [begun[0], shipped[0]] if smoke else [*begun, *shipped]


def _order(name):
    resnet, _, frontend = name.partition("-")
    return frontend, int(resnet.removeprefix("resnet"))


def restored(name, corpus):
    """A classifier with the weights that ship, or as it begins where none do."""
    frontend, depth = _order(name)
    config = Recipe().vary({"depth": depth, "frontend": frontend}).sized().model
    model = network(config, frontend, corpus.filters())
    if name in pretrained.cards():
        pretrained.load(model, pretrained.find(name, config))
    return classifier(model, corpus.asd)


def speed(model, windows):
    """Windows per core-second of inference on raw strain."""
    strain = windows[:TIMED]
    model.predict_on_batch(strain[:BATCH])  # the graph is made
    before = time.process_time()
    for start in range(0, len(strain), BATCH):
        model.predict_on_batch(strain[start : start + BATCH])
    return len(strain) / (time.process_time() - before)


def best(rows):
    """The best network of each front end by validation, the best of all first."""
    fronts = {}
    for name in sorted(rows, key=lambda name: -rows[name]["val_roc_auc"]):
        fronts.setdefault(name.partition("-")[2], name)
    return list(fronts.values())
