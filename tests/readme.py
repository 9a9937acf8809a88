"""The commands of the README and of docs/, which tests run by the words there.

A test names a command by its text, or by a beginning that no other command has. So a
command that is changed in a page, and in no test, fails; and `test_project` finds one
that no test names. In a page's code blocks, those without a language hold commands to
type; those of the language `text` hold what is seen.
"""

import ast
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAMS = ("pip", "mlflow", "python", "curl", "ray", "apt-get", "runuser")
# What names a command in a test: readme.command("..."), readme.line("...").
NAMED = ("command", "line", "typed")


def text():
    """All pages, one after another."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def blocks():
    """The pages' code blocks: language, "" for none, and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text(), re.MULTILINE | re.DOTALL)


def lines():
    """Every command line of the pages' code blocks, without its comment."""
    shell = [block for language, block in blocks() if not language]
    every = [line for block in shell for line in block.splitlines()]
    return [re.split(r"\s+# ", line)[0] for line in every]


def script():
    """The pages' Python, all blocks one after another."""
    return "\n".join(block for language, block in blocks() if language == "python")


def tables(page):
    """The tables of a page of docs/: heading above to list of rows of cells."""
    found, heading = {}, ""
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(heading, []).append(cells)
    return found


def line(wanted):
    """The command that is so or, alone of all, begins so."""
    found = sorted({one for one in lines() if one.startswith(wanted)}, key=len)
    exact = [one for one in found if one == wanted] or found
    assert len(exact) == 1, f"the pages must have one command {wanted}; it has {found}"
    return exact[0]


def bare(command):
    """A command's words without the choice of environment and experiment.

    Of commands joined by && the last is meant.
    """
    words = shlex.split(command.rpartition("&& ")[2])
    for option in ("--env-manager", "--experiment-name"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return words


def command(wanted, **changes):
    """A command's words, made small.

    Args:
        wanted: see `line`. Of commands joined by && the last is meant.
        changes: parameters of `mlflow run` in place of those that stand there, and
            more of them.

    Returns:
        list of words for this interpreter, in the present environment.
    """
    words = shlex.split(line(wanted).replace("<run id>", "-").rpartition("&& ")[2])
    assert words[0] == "mlflow", words
    given = {}
    while "-P" in words:
        at = words.index("-P")
        name, _, value = words[at + 1].partition("=")
        given[name] = value
        del words[at : at + 2]
    if words[1] == "run" and "--env-manager" not in words:
        # Instead of the environment that MLflow would make of the same lock.
        words += ["--env-manager", "local"]
    for name, value in (given | changes).items():
        words += ["-P", f"{name}={value}"]
    return [sys.executable, "-m", *words]


def named(folder):
    """Texts by which the tests in a folder name commands."""
    found = set()
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if name in NAMED and isinstance(first, ast.Constant):
                found.add(first.value)
    return found
