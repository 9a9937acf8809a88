"""Experiments: short files that name the runs which answer a question.

A file of `FOLDER` begins with its question, and has one of two functions:
`runs(smoke=False)`, a dict of names to `PlannedRun`, which are trained and compared; or
`measure(smoke=False)`, which does its own measuring and returns a `Measured`.
`smoke` shrinks it to seconds, to see that it runs.
"""

import ast
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import gwres
from gwres import cache
from gwres.errors import InputError, among
from gwres.training.recipe import Recipe

FOLDER = Path(gwres.__file__).parents[1] / "experiments"
KINDS = ("runs", "measure")
# Settings of a run that takes seconds: few windows, a narrow network.
SMOKE = {
    "width": 4,
    "batch": 16,
    "samples": 64,
    "epochs": 2,
    "bank": 48,
    "judged": 120,
    "psd_windows": 40,
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment, before it is run.

    Args:
        recipe: a `Recipe`.
        trials: finished trials that its study should hold; 0 does not tune.
    """

    recipe: Recipe
    trials: int = 0

    def digest(self, split_hash):
        """What the run is made from; equal digests, equal runs but for chance."""
        made_from = {"recipe": self.recipe.flat(), "trials": self.trials}
        return cache.digest(made_from | {"split": split_hash})


@dataclass(frozen=True)
class Measured:
    """The result of an experiment that has no members.

    Args:
        table: DataFrame, the result.
        metrics: dict of name to number.
        figures: dict of file name to Figure.
    """

    table: pd.DataFrame
    metrics: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)


def names():
    """The experiments there are, by the functions that their files define."""
    stems = []
    for path in sorted(FOLDER.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        defined = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        if defined & set(KINDS):
            stems.append(path.stem)
    return stems


def question(name):
    """What an experiment asks: the first paragraph of its file."""
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    first, _, _ = (ast.get_docstring(body) or name).partition("\n\n")
    return " ".join(first.split())


def load(name, smoke=False):
    """Find an experiment.

    Args:
        name: of a file in `FOLDER`, without its ending.
        smoke: whether to shrink it.

    Returns:
        ("runs", dict of name to `PlannedRun`), or ("measure", function without
        arguments).

    Raises:
        InputError: there is none of that name, or none at all.
    """
    known = names()
    if not known:
        raise InputError(f"{FOLDER} must hold experiments; found none")
    among("name", name, known)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "runs"):
        return "runs", module.runs(smoke)
    return "measure", lambda: module.measure(smoke)


def runs(varied, base, smoke=False, seeds=1, trials=0):
    """Members that each change something in one recipe.

    Args:
        varied: dict of name to settings that are changed.
        base: settings of all, where `varied` does not say otherwise.
        smoke: whether to shrink them, and try two trials at the most.
        seeds: each is run with the seeds 0 to this less 1.
        trials: as for `PlannedRun`.

    Returns:
        dict of name to `PlannedRun`; the names end with the seed where there are
        several.
    """
    made = {}
    for seed in range(seeds):
        for name, settings in varied.items():
            chosen = base | settings | {"seed": seed} | (SMOKE if smoke else {})
            called = f"{name} seed {seed}" if seeds > 1 else name
            tried = min(trials, 2) if smoke else trials
            made[called] = PlannedRun(Recipe().vary(chosen), tried)
    return made
