"""The README's commands, which tests run by the words that stand there.

A test names a command by its text, or by a beginning that no other command has. So a
command that is changed in the README, and in no test, fails; and
`test_project` finds one that no test names.
"""

import ast
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = ("pip", "mlflow", "python", "curl")
# What names a command in a test: readme.command("..."), readme.line("...").
NAMED = ("command", "line", "typed")


def blocks():
    """The README's code blocks: language, "" for none, and text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines():
    """Every command line of the README's code blocks, without its comment."""
    shell = [text for language, text in blocks() if not language]
    every = [line for text in shell for line in text.splitlines()]
    begun = [line for line in every if line.split(" ")[0] in PROGRAMS]
    return [re.split(r"\s+# ", line)[0] for line in begun]


def script():
    """The README's Python, all blocks one after another."""
    return "\n".join(text for language, text in blocks() if language == "python")


def line(text):
    """The command that is so or, alone of all, begins so."""
    found = sorted({one for one in lines() if one.startswith(text)}, key=len)
    exact = [one for one in found if one == text] or found
    assert len(exact) == 1, f"README.md must have one command {text}; it has {found}"
    return exact[0]


def bare(text):
    """A command's words without the choice of environment and experiment."""
    words = shlex.split(text)
    for option in ("--env-manager", "--experiment-name"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return words


def command(text, **changes):
    """A command's words, made small.

    Args:
        text: see `line`. Of commands joined by && the last is meant.
        changes: parameters of `mlflow run` in place of those that stand there, and
            more of them.

    Returns:
        list of words for this interpreter, in the present environment.
    """
    words = shlex.split(line(text).replace("<run id>", "-").rpartition("&& ")[2])
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
