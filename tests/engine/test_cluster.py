"""A real Ray cluster of two nodes, where `INNER` is run."""

import importlib.util
import subprocess
import sys
import tempfile

import pytest

from gwres.engine import work
from gwres.errors import InputError
from tests import readme
from tests.engine import cluster, jobs

RAY = importlib.util.find_spec("ray") is not None
INNER = [f"tests/engine/{name}.py" for name in ("test_work", "test_crew", "on_cluster")]


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.ADDRESS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs Ray: pip install 'gwres.cluster.'"):
        list(work.each(jobs.square, range(3)))
    with pytest.raises(InputError, match="needs Ray") as raised:
        work.check()
    assert readme.line("pip install 'gwres[cluster]'") in str(raised.value)


@pytest.mark.skipif(not RAY, reason="needs Ray")
def test_no_cluster_is_started(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(InputError, match="a cluster that runs; received local"):
        work.check()


@pytest.mark.slow
@pytest.mark.skipif(not RAY, reason="needs Ray")
@pytest.mark.skipif(not cluster.allowed(), reason="needs a network of its own")
def test_a_cluster_does_the_same():
    # A path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="gwres-") as folder:
        words = [*cluster.ALONE, sys.executable, "-m", "tests.engine.cluster", folder]
        # Ray's own warnings are not ours.
        words += [sys.executable, "-m", "pytest", "-q", "-W", "default", *INNER]
        words += ["-p", "no:cacheprovider", f"--basetemp={folder}/tests"]
        done = subprocess.run(
            words, cwd=readme.ROOT, capture_output=True, text=True, timeout=500
        )
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr[-3000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout
