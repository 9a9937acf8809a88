"""The one error that a user can fix, the checks that raise it, and a file's name."""

from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave is wrong; the message says what was expected.

    Entry points print it as one line and leave with exit code 2; any other
    exception is a defect of gwres and keeps its traceback.
    """


def within(name, value, low, high):
    """Raise `InputError` unless low <= value <= high; NaN raises too."""
    if not low <= value <= high:
        raise InputError(f"{name} must be from {low:g} to {high:g}; received {value}")


def among(name, value, known):
    """Raise `InputError` unless the value is in `known`."""
    if value not in known:
        listed = ", ".join(map(str, known))
        raise InputError(f"{name} must be one of {listed}; received {value}")


@contextmanager
def writing(path):
    """Have an error of the system name the file that is written here.

    That for a full disk names none.
    """
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
