"""The project's own files agree with one another."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gwres.recipe import settings
from tests import readme

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


def test_the_installed_gwres_names_its_stores_to_mlflow():
    """What pip wrote down; `pip install -e .` again where it is of an older day."""
    for group, names in PROJECT["entry-points"].items():
        found = {e.name: e.value for e in importlib.metadata.entry_points(group=group)}
        assert names.items() <= found.items()


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


def test_the_readme_tells_the_parameters_and_their_defaults():
    text = (ROOT / "README.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.MULTILINE))
    parameters = ENTRIES["main"]["parameters"]
    assert told == {key: value["default"] for key, value in parameters.items()}


# Commands that no test runs, and what does: the same words in continuous integration.
ELSEWHERE = ("pip install -r requirements.txt -e '.[dev]' && pytest",)


def test_every_command_of_the_readme_is_run():
    named = readme.named(ROOT / "tests") - {"no such", "mlflow run"}
    run = [readme.bare(readme.line(text)) for text in (*named, *ELSEWHERE)]
    left = [one for one in readme.lines() if readme.bare(one) not in run]
    assert not left


def test_what_is_in_no_code_block_to_run_is_output():
    others = [
        text
        for language, text in readme.blocks()
        if not language and text.split()[0] not in readme.PROGRAMS
    ]
    assert [text.split()[0] for text in others] == ["run"]


def test_a_command_that_is_not_in_the_readme_is_told():
    with pytest.raises(AssertionError, match="one command no such; it has"):
        readme.line("no such")
    with pytest.raises(AssertionError, match="one command mlflow run; it has"):
        readme.line("mlflow run")


def test_every_parameter_that_the_readme_names_is_one():
    known = {name for entry in ENTRIES.values() for name in entry["parameters"]}
    named = set(re.findall(r"-P (\w+)=", (ROOT / "README.md").read_text()))
    assert named and not named - known - set(settings())


def test_the_driver_that_the_readme_installs_is_the_tests():
    install, packages = readme.line("pip install 'psycopg").split(" 'psycopg")
    assert install == "pip install"
    assert any(one.startswith("psycopg" + packages.strip("'")) for one in LISTED)


def test_the_readme_begins_with_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "pip install -r requirements.txt -e '.[dev]' && pytest" in text
    assert "-r requirements.txt -e '.[dev]'" in script
    assert "\npytest\n" in script
