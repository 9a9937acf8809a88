"""One setting says how many cores are used."""

import os

import pytest

from gwres.cores import SETTING, cores
from gwres.errors import InputError


def test_by_itself_it_is_what_the_process_may_run_on(monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert cores() == 3


def test_the_setting_is_taken_and_nonsense_refused(monkeypatch):
    monkeypatch.setenv(SETTING, "7")
    assert cores() == 7
    for wrong in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv(SETTING, wrong)
        with pytest.raises(InputError, match=f"{SETTING} must be .* received {wrong}"):
            cores()
