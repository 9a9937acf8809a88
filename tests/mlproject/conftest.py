import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from tests import readme

ROOT = Path(__file__).parents[2]
# A whole job that takes seconds: few windows, a narrow network.
TINY = {"width": "2", "depth": "16", "bank": "48", "judged": "120", "psd_windows": "40"}
TINY |= {"samples": "256", "epochs": "2", "batch": "16", "trials": "2"}


def words(settings, sign=None):
    """Settings as a command line: --name value, or -P name=value."""
    pairs = [
        (f"--{name}", value) if sign is None else ("-P", f"{name}{sign}{value}")
        for name, value in settings.items()
    ]
    return [word for pair in pairs for word in pair]


def ended(process):
    """Output of a process at its end; killed with its group if that does not come."""
    try:
        return process.communicate(timeout=500)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said = process.communicate()[0]
        pytest.fail(f"{process.args} has not ended in 500 s: {said}")


class Project:
    """A copy of the project with a store of its own, and commands run in it."""

    def __init__(self, folder):
        self.folder = folder
        skipped = shutil.ignore_patterns(".git", "mlruns", "*.db", ".venv", "tests")
        shutil.copytree(ROOT, folder, ignore=skipped)
        self.store = f"sqlite:///{folder / 'mlflow.db'}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
            "PYTHONPATH": str(folder),
        }

    def start(self, command, **more):
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command, **more):
        process = self.start(command, **more)
        output = ended(process)
        return process.returncode, output

    def command(self, settings, entry="main"):
        """The words of `mlflow run` in the present environment."""
        mlflow = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local"]
        return [*mlflow, "-e", entry, *words(settings, sign="=")]

    def mlflow(self, settings, entry="main"):
        """`mlflow run`, to its end."""
        return self.run(self.command(settings, entry))

    def typed(self, text, **changes):
        """A command of the README, made small, to its end; its output."""
        code, output = self.run(readme.command(text, **changes))
        assert code == 0, output
        return output

    def module(self, settings, entry="main"):
        """The entry point's own command, started."""
        module = [sys.executable, "-m", f"gwres.mlproject.{entry}"]
        return self.start([*module, *words(settings)])

    def client(self):
        return mlflow.MlflowClient(self.store)

    def runs(self, parents=True):
        """Runs of every experiment, the latest first; trials are left out."""
        client = self.client()
        experiments = [e.experiment_id for e in client.search_experiments()]
        found = client.search_runs(experiments, order_by=["attributes.start_time DESC"])
        return [
            run
            for run in found
            if not parents or "mlflow.parentRunId" not in run.data.tags
        ]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "gwres")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project, in a path with a space, after one tiny `mlflow run`."""
    made = Project(tmp_path_factory.mktemp("a b") / "gw res")
    made.output = made.typed("pip install -r requirements.txt -e . && mlflow", **TINY)
    return made
