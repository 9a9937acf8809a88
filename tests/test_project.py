"""The project's own files agree with one another."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_the_readme_begins_with_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "pip install -r requirements.txt -e '.[dev]' && pytest" in text
    assert "-r requirements.txt -e '.[dev]'" in script
    assert "\npytest\n" in script
