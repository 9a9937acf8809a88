"""Reads the command line of an entry point."""

import argparse

from gwres.errors import InputError
from gwres.recipe import Recipe, parse, settings

# What the recipe calls an option of another name.
RENAMED = {"data": "source"}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Fail like any other wrong input, so that the run is marked FAILED."""
        raise InputError(message)


def read(argv, description, **own):
    """Parse options that are text on the command line.

    Args:
        argv: the words after the program's name.
        description: for --help.
        own: name to (type, default) of the entry point's own options.

    Returns:
        dict of name to value.

    Raises:
        InputError: an unknown option, or a value not of its type.
    """
    parser = _Parser(description=description, allow_abbrev=False)
    for name, (_, default) in own.items():
        parser.add_argument(f"--{name}", default=default)
    found = vars(parser.parse_args(argv))
    # Not by argparse, which would hide what was wrong with the value.
    for name, (kind, _) in own.items():
        if isinstance(found[name], str):
            found[name] = parse(name, kind, found[name])
    return found


def recipe(argv, description, **own):
    """Parse a recipe's settings and the entry point's own options.

    Returns:
        (Recipe, dict of the own options).
    """
    names = {key: (str, None) for key in (*settings(), *RENAMED)}
    found = read(argv, description, **names, **own)
    chosen = {
        RENAMED.get(name, name): found[name]
        for name in names
        if found[name] is not None
    }
    if chosen.get("init") == "none":
        chosen["init"] = ""
    return Recipe().vary(chosen), {name: found[name] for name in own}
