"""A bounded round of `tests.fuzz`: always the same inputs."""

import subprocess
import sys

import pytest

from gwres.errors import InputError
from tests import fuzz
from tests.contract import ROOT


def test_every_reader_takes_what_is_right_and_refuses_the_rest():
    """In a process of their own, which a library may bring down."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    for name in fuzz.READERS:
        assert f"{name}: " in done.stdout and " inputs, " in done.stdout


def read(path):
    """Takes one input and refuses others, but for what a test gives it to fail on."""
    body = path.read_bytes()
    if body == b"right":
        return
    if body.startswith(b"r"):
        raise KeyError(body)
    raise InputError(f"{path}: refused")


def nameless(path):
    """Refuses all, and says not what."""
    raise InputError("refused")


@pytest.mark.parametrize(
    ("reader", "seed", "error", "message"),
    [
        (read, b"right", KeyError, "b'r"),
        (read, b"wrong", AssertionError, "no valid file is taken"),
        (nameless, b"right", AssertionError, "no name in: refused"),
    ],
)
def test_a_reader_that_fails_is_found(monkeypatch, reader, seed, error, message):
    row = ("own.bin", lambda folder: [seed], None, reader)
    monkeypatch.setitem(fuzz.READERS, "own", row)
    with pytest.raises(error, match=message):
        fuzz.main(0, ["own"], 40)
