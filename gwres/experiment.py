"""Experiments: short files, each with a question and the code that answers it.

A file in `FOLDER` begins with its question, and has one of two functions:
`runs(smoke=False)`, a dict of names to `PlannedRun`, which are trained and compared; or
`measure(smoke=False)`, which does its own measuring and returns a `Measured`.
With `smoke` an experiment takes seconds, to test that it works.
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
    """One run of an experiment, before it is started.

    Args:
        recipe: a `Recipe`.
        trials: number of finished trials that its study should have; 0: no tuning.
    """

    recipe: Recipe
    trials: int = 0

    def digest(self, split_hash):
        """A hash of all settings: runs with equal digests differ only by chance."""
        made_from = {"recipe": self.recipe.flat(), "trials": self.trials}
        return cache.digest(made_from | {"split": split_hash})


@dataclass(frozen=True)
class Measured:
    """The result of an experiment with `measure`.

    Args:
        table: DataFrame, the result.
        metrics: dict of name to number.
        figures: dict of file name to Figure.
    """

    table: pd.DataFrame
    metrics: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)


def names():
    """Names of the experiments: files in `FOLDER` with a function of `KINDS`."""
    stems = []
    for path in sorted(FOLDER.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        defined = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        if defined & set(KINDS):
            stems.append(path.stem)
    return stems


def question(name):
    """The question of an experiment: the first paragraph of its file."""
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    first, _, _ = (ast.get_docstring(body) or name).partition("\n\n")
    return " ".join(first.split())


def load(name, smoke=False):
    """Load an experiment.

    Args:
        name: name of a file in `FOLDER`, without .py.
        smoke: whether to shrink the experiment to seconds.

    Returns:
        ("runs", dict of name to `PlannedRun`), or ("measure", function without
        arguments).

    Raises:
        InputError: no experiment has this name, or there are none.
    """
    experiments = names()
    if not experiments:
        raise InputError(f"{FOLDER} must hold experiments; found none")
    among("name", name, experiments)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "runs"):
        return "runs", module.runs(smoke)
    return "measure", lambda: module.measure(smoke)


def runs(varied, base, smoke=False, seeds=1, trials=0):
    """Plan runs that differ in a few settings.

    Args:
        varied: dict of a run's name to the settings that only this run has.
        base: settings of all runs, which those in `varied` override.
        smoke: whether to shrink the runs, with two trials each at the most.
        seeds: each run is repeated with the seeds 0 to `seeds` - 1.
        trials: as for `PlannedRun`.

    Returns:
        dict of name to `PlannedRun`; with several seeds, the names end with the seed.
    """
    planned = {}
    for seed in range(seeds):
        for name, settings in varied.items():
            chosen = base | settings | {"seed": seed} | (SMOKE if smoke else {})
            title = f"{name} seed {seed}" if seeds > 1 else name
            count = min(trials, 2) if smoke else trials
            planned[title] = PlannedRun(Recipe().vary(chosen), count)
    return planned
