"""The project's own files agree with one another."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gwres.mlproject.options import PLACES
from gwres.tracking import tags
from gwres.training.recipe import Recipe, settings
from tests import readme
from tests.test_layout import ROOMS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTED = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
ENTRIES = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def locked():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = {}
    for line in lines:
        pin = Requirement(line)
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


@pytest.mark.parametrize("dependency", LISTED)
def test_the_lock_holds_every_dependency_at_a_version_that_serves(dependency):
    wanted = Requirement(dependency)
    for pin in locked()[canonicalize_name(wanted.name)]:
        [version] = [one.version for one in pin.specifier]
        assert {one.operator for one in pin.specifier} == {"=="}
        assert wanted.specifier.contains(version)


def test_the_lock_names_no_host():
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_both_environments_install_the_lock_and_nothing_else():
    virtual = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    assert virtual == {"dependencies": ["-r requirements.txt"]}
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": ["-r requirements.txt"]}


def test_no_folder_hides_the_file_mlproject():
    """MLflow opens the first entry of that name in any case."""
    found = [path.name for path in ROOT.iterdir() if path.name.lower() == "mlproject"]
    assert found == ["MLproject"]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_point_is_a_module_that_gets_all_its_parameters(name):
    command = ENTRIES[name]["command"]
    module = re.match(r"python -m (\S+)", command).group(1)
    assert callable(importlib.import_module(module).main)
    passed = dict(re.findall(r"--(\w+) \{(\w+)\}", command))
    assert passed == {key: key for key in ENTRIES[name]["parameters"]}


def test_the_settings_page_tells_every_parameter_and_its_default():
    """Each entry point's own, and those of the recipe."""
    told = {
        heading.split("`")[1]: {name.strip("`"): default for name, default, *_ in rows}
        for heading, rows in readme.tables("settings.md").items()
        if heading.startswith("`")
    }
    recipe = {name: told["main"].pop(name) for name in list(told["main"])[8:]}
    parameters = {
        entry: {
            name: value.get("default", "") for name, value in one["parameters"].items()
        }
        for entry, one in ENTRIES.items()
        if one["parameters"]
    }
    assert told == parameters
    usual = {key.rpartition(".")[2]: value for key, value in Recipe().flat().items()}
    left = set(usual) - set(parameters["main"]) - {"source"}
    assert recipe == {
        name: str(usual[name]).lower()
        if isinstance(usual[name], bool)
        else str(usual[name])
        for name in usual
        if name in left
    }


def test_the_settings_page_tells_what_every_entry_point_takes():
    told = readme.tables("settings.md")
    assert [name.strip("`") for name, _ in told["Every entry point"]] == list(PLACES)
    named = [name.strip("`") for name, _ in told["Environment"]]
    assert set(PLACES.values()) <= set(named)


def test_the_compare_page_tells_every_name_in_mlflow():
    told = readme.tables("compare.md")
    for heading, known in (("Tags", tags.TAGS), ("Metrics", tags.METRICS)):
        assert {name.strip("`"): text for name, text in told[heading]} == known
    prefixes = {name.strip("`."): text for name, text in told["Parameters"]}
    assert prefixes == tags.PREFIXES


def test_the_readme_draws_the_tree_as_it_is():
    """Every room, in the order in which one may import from another."""
    text = (ROOT / "README.md").read_text()
    rooms = re.findall(r"^  (\w+)/ ", text, re.MULTILINE)
    there = [path.parent.name for path in (ROOT / "gwres").glob("*/__init__.py")]
    assert sorted(rooms) == sorted(there)
    places = [ROOMS.index(room) for room in rooms]
    assert places == sorted(places)
    alone = {path.stem for path in (ROOT / "gwres").glob("*.py")} - {"__init__"}
    assert all(f"{name}" in text for name in alone)
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert (ROOT / path).is_file() or (ROOT / "gwres" / path).is_file(), path


def test_the_pages_links_lead_somewhere():
    for page in readme.PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


# Commands that no test runs, and what does: the same words in continuous integration.
ELSEWHERE = (
    "pip install -r requirements.txt -e '.[dev]' && pytest -n 2 --dist loadfile",
    "apt-get install --no-install-recommends --yes postgresql",
)


def test_every_command_of_the_readme_is_run():
    named = readme.named(ROOT / "tests") - {"no such", "mlflow run"}
    run = [readme.bare(readme.line(text)) for text in (*named, *ELSEWHERE)]
    left = [one for one in readme.lines() if readme.bare(one) not in run]
    assert not left


def test_what_is_to_be_typed_begins_with_a_program():
    strange = [one for one in readme.lines() if one.split()[0] not in readme.PROGRAMS]
    assert not strange
    assert {language for language, _ in readme.blocks()} == {"", "text", "python"}


def test_a_command_that_is_not_in_the_readme_is_told():
    with pytest.raises(AssertionError, match="one command no such; it has"):
        readme.line("no such")
    with pytest.raises(AssertionError, match="one command mlflow run; it has"):
        readme.line("mlflow run")


def test_every_parameter_that_the_readme_names_is_one():
    known = {name for entry in ENTRIES.values() for name in entry["parameters"]}
    named = set(re.findall(r"-P (\w+)=", readme.text()))
    assert named and not named - known - set(settings()) - set(PLACES)


def test_the_driver_that_the_readme_installs_is_the_tests():
    install, packages = readme.line("pip install 'psycopg").split(" 'psycopg")
    assert install == "pip install"
    assert any(one.startswith("psycopg" + packages.strip("'")) for one in LISTED)


def test_the_readme_begins_with_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    tests = "pytest -n 2 --dist loadfile"
    assert f"pip install -r requirements.txt -e '.[dev]' && {tests}" in text
    assert "-r requirements.txt -e '.[dev]'" in script
    assert f"\n{tests}\n" in script


def test_a_package_has_every_file_that_is_not_code():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = declared["tool"]["setuptools"]["package-data"]["gwres"]
    package = ROOT / "gwres"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    there = {
        path
        for path in package.rglob("*.*")
        if path.suffix not in (".py", ".pyc") and path.is_file()
    }
    assert there == {path for path in packed if path.is_file()}
