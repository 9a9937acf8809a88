"""Reads the command line of an entry point."""

import argparse
import os

from gwres.engine import local, work
from gwres.errors import InputError
from gwres.training.recipe import Recipe, parse, settings

# What the recipe calls an option of another name.
RENAMED = {"data": "source"}
# Options of every entry point: where its items are worked on. They are kept in the
# environment, for the processes that a job starts.
PLACES = {"workers": local.SETTING, "cluster": work.CLUSTER}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Fail like any other wrong input, so that the run is marked FAILED."""
        raise InputError(message)


def read(argv, description, **own):
    """Parse options that are text on the command line.

    Args:
        argv: the words after the program's name.
        description: for --help.
        own: name to (type, default) of the entry point's own options, beside those
            of `PLACES`, which are put into the environment.

    Returns:
        dict of name to value of its own options.

    Raises:
        InputError: an unknown option, or a value not of its type.
    """
    parser = _Parser(description=description, allow_abbrev=False)
    for name in (*own, *PLACES):
        parser.add_argument(f"--{name}")
    # Not by argparse, which would put its own words in place of ours.
    typed = vars(parser.parse_args(argv))
    for name, variable in PLACES.items():
        if typed[name] is not None:
            os.environ[variable] = typed[name]
    work.check()
    return {
        name: default if typed[name] is None else parse(name, kind, typed[name])
        for name, (kind, default) in own.items()
    }


def recipe(argv, description, **own):
    """Parse a recipe's settings and the entry point's own options.

    Returns:
        (Recipe, dict of the own options).
    """
    names = {key: (str, None) for key in (*settings(), *RENAMED)}
    given = read(argv, description, **names, **own)
    chosen = {
        RENAMED.get(name, name): given[name]
        for name in names
        if given[name] is not None
    }
    if chosen.get("init") == "none":
        chosen["init"] = ""
    return Recipe().vary(chosen), {name: given[name] for name in own}
