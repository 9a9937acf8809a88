"""Every module imports only from those above it in the layout of the design."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module may import from those before it. A new module belongs in here.
ORDER = (
    "errors",
    "strain",
    "cache",
    "store",
    "progress",
    "metrics",
    "simulate.population",
    "simulate.noise",
    "simulate.detectors",
    "simulate.waveforms",
    "simulate.templates",
    "simulate.dataset",
    "layers.fitted",
    "layers.whiten",
    "layers.inject",
    "layers.augment",
    "layers.spectrogram",
    "layers.evidence",
    "layers.templates",
    "models.resnet",
    "models.classifier",
    "models.stack",
    "data.split",
    "data.g2net",
    "data.pack",
    "data.pipeline",
    "data.corpus",
    "filters",
    "incoherent",
    "draws",
    "bayes",
    "matched_filter",
    "recipe",
    "experiment",
    "epochs",
    "train",
    "plots",
    "studies",
    "gallery",
    "evaluate",
    "report",
    "views",
    "markdown",
    "notes",
    "cards",
    "ensemble",
    "standings",
    "tune",
    "comparison",
    "tracking",
    "trials",
    "closing",
    "versions",
    "runs",
    "registry",
    "candidate",
    "promotion",
    "guard",
    "serving",
    "client",
    "submission",
    "search",
    "jobs",
    "judge",
    "campaign",
    "mlproject.entry",
    "mlproject.options",
    "mlproject.*",
)
# Who may import what is heavy or foreign.
ONLY = {
    "mlflow": (
        "store",
        "tracking",
        "trials",
        "closing",
        "views",
        "versions",
        "runs",
        "registry",
        "serving",
    ),
    "optuna": ("tune",),
    "tensorflow": ("data.*", "train", "serving"),
}
PACKAGES = ("", "simulate", "layers", "models", "data", "mlproject")


def modules():
    """Name and path of every module of gwres that is not a package's face."""
    paths = sorted((ROOT / "gwres").rglob("*.py"))
    named = [(path.relative_to(ROOT / "gwres").with_suffix(""), path) for path in paths]
    return {
        ".".join(name.parts): path for name, path in named if name.name != "__init__"
    }


MODULES = modules()


def place(name):
    """Where in the order a module stands."""
    for index, pattern in enumerate(ORDER):
        if fnmatch(name, pattern):
            return index
    raise AssertionError(f"gwres.{name} is not in ORDER: where does it belong?")


def imported(source):
    """Full names of all that a module's text imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: imports are absolute here")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(name, source):
    """What a module imports against the rules, as sentences."""
    for full in imported(source):
        top, *rest = full.split(".")
        if top in ONLY and not any(fnmatch(name, p) for p in ONLY[top]):
            yield f"gwres.{name} imports {top}; only {', '.join(ONLY[top])} may"
        if top != "gwres":
            continue
        # "from gwres.strain import check" names gwres.strain.check.
        inside = [".".join(rest[:n]) for n in range(len(rest), 0, -1)]
        target = next((t for t in inside if t in MODULES), None)
        if target and place(target) >= place(name):
            yield f"gwres.{name} imports gwres.{target}, which is not above it"


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_from_above(name):
    assert not list(faults(name, MODULES[name].read_text()))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("strain", "from gwres import cache"),
        ("strain", "import gwres.cache"),
        ("cache", "from gwres.simulate.noise import asd"),
        ("cache", "def late():\n    from gwres.simulate import noise"),
        ("mlproject.train", "from gwres.mlproject import main"),
        ("train", "import mlflow.keras"),
        ("train", "from optuna import Trial"),
        ("simulate.noise", "import tensorflow as tf"),
        ("layers.whiten", "from tensorflow import signal"),
        ("metrics", "import tensorflow"),
        ("unheard_of", "from gwres import cache"),
        ("cache", "from . import errors"),
    ],
)
def test_a_wrong_import_is_found(name, source, monkeypatch):
    for known in "mlproject.main", "simulate.noise", "cache":
        monkeypatch.setitem(MODULES, known, None)
    try:
        found = list(faults(name, source))
    except AssertionError as error:
        found = [str(error)]
    assert found


def test_packages_export_nothing_by_accident():
    """Importing a package runs nothing: its face is empty or a docstring and names."""
    for package in PACKAGES:
        source = (ROOT / "gwres" / package / "__init__.py").read_text()
        kinds = {type(node) for node in ast.parse(source).body}
        assert kinds <= {ast.Expr, ast.Assign, ast.ImportFrom}, package
