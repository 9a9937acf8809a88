"""A bounded round of `tests.fuzz`: always the same inputs."""

import subprocess
import sys

import pytest

from tests.contract import ROOT
from tests.fuzz import READERS


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
    for name in READERS:
        assert f"{name}: " in done.stdout and " inputs, " in done.stdout


@pytest.mark.parametrize(
    ("broken", "message"),
    [("raise KeyError('x')", "KeyError"), ("pass", "no valid file is taken")],
)
def test_a_reader_that_fails_is_found(broken, message):
    code = f"""
from gwres.errors import InputError
from tests import fuzz
def reader(path):
    if path.read_bytes() == b"right":
        return
    {broken}
    raise InputError(f"{{path}}: refused")
seeds = [b"right"] if {message!r} == "KeyError" else [b"wrong"]
fuzz.READERS["own"] = ("own.bin", lambda folder: seeds, None, reader)
fuzz.main(0, ["own"], 40)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0 and message in done.stderr
