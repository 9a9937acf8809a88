"""The rooms of the house: which may import from which, and who may use what."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A room may import from those before it, and from itself where that is no circle. The
# names in MLflow, `tracking.tags`, are words alone, which every room may use.
ROOMS = (
    "errors strain cores proof cache progress tracking.tags engine simulate layers "
    "matched models data judging training experiment pages tracking serve search jobs "
    "mlproject"
).split()
# Who may use what is heavy or foreign.
ONLY = {
    "mlflow": {"tracking", "serve.model"},
    "optuna": {"training.study"},
    "ray": {"engine.cluster"},
    "tensorflow": {"data.pipeline", "serve.scorer", "training.shares"},
}


def modules():
    """Path of every module of gwres that is not a package's face, by dotted name."""
    paths = sorted((ROOT / "gwres").rglob("*.py"))
    named = {path.relative_to(ROOT / "gwres").with_suffix(""): path for path in paths}
    return {
        ".".join(name.parts): path
        for name, path in named.items()
        if name.name != "__init__"
    }


MODULES = modules()


def imported(source):
    """Full names of all that a module's text imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: imports are absolute here")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    """The room of a module; a module that stands by itself is one."""
    return name if name in ROOMS else name.partition(".")[0]


def targets(source):
    """The modules of gwres that a text imports."""
    for full in imported(source):
        top, *rest = full.split(".")
        # "from gwres.strain import check" names gwres.strain.check.
        inside = [".".join(rest[:n]) for n in range(len(rest), 0, -1)]
        target = next((one for one in inside if one in MODULES), None)
        if top == "gwres" and target:
            yield target


def users(library):
    """The modules that import a library."""
    return {
        name
        for name, path in MODULES.items()
        if library in {full.partition(".")[0] for full in imported(path.read_text())}
    }


def faults(name, source):
    """What a module imports against the rules, as sentences."""
    for full in imported(source):
        top = full.partition(".")[0]
        if top in ONLY and not ONLY[top] & {name, room(name)}:
            yield f"gwres.{name} imports {top}; only {', '.join(sorted(ONLY[top]))} may"
    for target in targets(source):
        if ROOMS.index(room(target)) > ROOMS.index(room(name)):
            yield f"gwres.{name} imports gwres.{target}, whose room is below"


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_from_rooms_above(name):
    assert room(name) in ROOMS, f"gwres.{name} stands in no room"
    assert not list(faults(name, MODULES[name].read_text()))


def test_no_module_needs_itself():
    graph = {
        name: set(targets(path.read_text())) - {name} for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_rules_are_not_stale():
    """Every room is there, and every permission is used."""
    assert set(ROOMS) == {room(name) for name in MODULES}
    for library, allowed in ONLY.items():
        using = users(library)
        idle = allowed - using - set(map(room, using))
        assert not idle, f"{idle} may import {library} and do not"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("strain", "from gwres import cache"),
        ("strain", "import gwres.cache"),
        ("cache", "from gwres.simulate.noise import asd"),
        ("cache", "def late():\n    from gwres.simulate import noise"),
        ("training.fit", "import mlflow.keras"),
        ("training.fit", "from optuna import Trial"),
        ("simulate.noise", "import tensorflow as tf"),
        ("layers.whiten", "from tensorflow import signal"),
        ("judging.metrics", "import tensorflow"),
        ("tracking.runs", "from gwres.jobs import train"),
    ],
)
def test_a_wrong_import_is_found(name, source):
    assert list(faults(name, source))


def test_a_relative_import_is_found():
    with pytest.raises(AssertionError, match="absolute"):
        list(imported("from . import errors"))


def test_packages_export_nothing_by_accident():
    """Importing a package runs nothing: its face is empty or a docstring and names."""
    for path in (ROOT / "gwres").rglob("__init__.py"):
        kinds = {type(node) for node in ast.parse(path.read_text()).body}
        assert kinds <= {ast.Expr, ast.Assign, ast.ImportFrom}, path
