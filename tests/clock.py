"""A clock that is set back while a process runs, by libfaketime."""

from pathlib import Path

import pytest

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

needed = pytest.mark.skipif(not LIBRARY, reason="needs libfaketime")


def settings(file):
    """A process's environment, in which its clock goes by what a file says.

    Args:
        file: path of a file with, say, "-1d", which may change at any time.
    """
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
