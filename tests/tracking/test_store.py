"""The store is opened by one process of gwres at a time."""

import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import mlflow
import pytest

from gwres.errors import InputError
from gwres.tracking import log, runs, store
from tests.contract import fresh


@pytest.fixture
def uri(tmp_path):
    yield f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(None)


def tables(path):
    with sqlite3.connect(path) as connection:
        return sorted(connection.execute("SELECT name, sql FROM sqlite_master"))


def test_all_tables_are_made_and_nothing_is_left_beside(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    store.open_store("study")
    made = tables(tmp_path / "mlflow.db")
    assert {"runs", "registered_models"} <= {name for name, _ in made}
    assert mlflow.get_experiment_by_name("study").lifecycle_stage == "active"
    store.open_store("study")
    assert tables(tmp_path / "mlflow.db") == made
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


def test_without_a_name_the_experiment_is_left_as_it_is(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    store.open_store()
    names = [one.name for one in mlflow.MlflowClient().search_experiments()]
    assert names == ["Default"]


STARTED = """
import subprocess, sys
code = "from gwres.tracking import store; store.open_store('both')"
both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
print([process.wait() for process in both])
"""


def test_three_at_once_on_a_fresh_store_all_succeed(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert fresh(STARTED).stdout.strip() == "[0, 0, 0]"


UNTOUCHED = """
import mlflow
from importlib.metadata import distribution
from mlflow.tracking._tracking_service.utils import _tracking_store_registry as own
import gwres.tracking.log, gwres.tracking.registry
ours = list(distribution("gwres").entry_points)
print(ours, own.get_store_builder("sqlite:///a.db").__module__)
"""


def test_mlflow_opens_its_stores_by_itself():
    """No plugin of ours stands between any MLflow of the environment and its stores."""
    assert fresh(UNTOUCHED).stdout.split()[0] == "[]"
    assert "gwres" not in fresh(UNTOUCHED).stdout


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The database of a store without runs, for making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        store.open_store()
    mlflow.set_tracking_uri(None)
    return folder / "mlflow.db"


@pytest.fixture
def home(empty, tmp_path, monkeypatch):
    """A folder of a project, in which a run has logged a file; and that run."""
    made = tmp_path / "a b" / "project"
    made.mkdir(parents=True)
    shutil.copy(empty, made)
    monkeypatch.chdir(made)
    mlflow.set_tracking_uri(f"sqlite:///{made / 'mlflow.db'}")
    (made / "note.txt").write_text("kept")
    with log.run("train") as run:
        log.file(made / "note.txt")
    yield made, run.id
    mlflow.set_tracking_uri(None)


def moved(home, monkeypatch):
    """The project under another name, and the store opened there."""
    place = home.with_name("renamed")
    monkeypatch.chdir(home.parent)
    home.rename(place)
    monkeypatch.chdir(place)
    mlflow.set_tracking_uri(f"sqlite:///{place / 'mlflow.db'}")
    return place


def mended(error):
    """What a message says that mends it, done."""
    subprocess.run(str(error.value).split("`")[1], shell=True, check=True)


def kept(run):
    """The file that a run has logged, as MLflow finds it."""
    path = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="note.txt")
    return Path(path).read_text()


def test_a_project_that_was_renamed_tells_the_command_that_mends_it(home, monkeypatch):
    """Before anything is trained, or written where the folder was."""
    place = moved(home[0], monkeypatch)
    with pytest.raises(InputError, match="recorded below .*project/mlruns/1; they lie"):
        with log.run("train"):
            raise AssertionError("nothing may begin")
    assert not home[0].exists()
    with pytest.raises(InputError) as error, log.run("train"):
        pass
    mended(error)
    assert home[0].samefile(place)
    assert kept(home[1]) == "kept"
    with log.run("train") as run:
        log.file(place / "note.txt")
    assert kept(run.id) == "kept"
    assert runs.read(run.id).status == "FINISHED"


def test_where_another_project_has_its_old_place_the_files_are_copied_there(
    home, monkeypatch
):
    place = moved(home[0], monkeypatch)
    (home[0] / "mlruns").mkdir(parents=True)
    recorded = mlflow.get_run(home[1]).info.artifact_uri
    command = store.lead(recorded).split("`")[1]
    assert shlex.split(command)[:2] == ["cp", "-rn"]
    subprocess.run(command, shell=True, check=True)
    assert kept(home[1]) == "kept"
    assert not store.lead(recorded), "they are there"
    assert not store.lead(str(place / "mlruns" / "1" / "none")), "they are nowhere"
    assert not store.lead("s3://bucket/mlruns/1"), "nobody moves those"


def test_a_store_of_files_is_told_with_what_takes_it_over(home, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    old = home[0] / "mlruns"
    mlflow.set_tracking_uri(f"file://{old.parent / 'old' / 'mlruns'}")
    with pytest.raises(InputError) as error:
        store.open_store("gwres")
    said = str(error.value)
    assert "mlflow migrate-filestore --source '" in said
    assert "MLFLOW_TRACKING_URI=sqlite:///mlflow.db" in said
    assert len(said.splitlines()) == 1


def test_an_experiment_that_was_deleted_is_told_with_what_restores_it(
    home, monkeypatch
):
    mlflow.MlflowClient().delete_experiment("1")
    with pytest.raises(InputError, match="gwres has been deleted: .*restore -x 1`"):
        with log.run("train"):
            raise AssertionError("nothing may begin")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    with log.run("train") as run:
        pass
    assert mlflow.get_experiment(run.experiment_id).name == "another"
    mlflow.MlflowClient().delete_experiment(run.experiment_id)
    with pytest.raises(InputError, match="another has been deleted"):
        with log.run("train"):
            raise AssertionError("nothing may begin")


def test_files_that_cannot_be_written_are_told_before_the_work(home):
    """Below a file, where nobody may make a folder, whatever the rights are."""
    mlflow.create_experiment("blocked", str(home[0] / "note.txt" / "files"))
    with pytest.raises(InputError, match="note.txt must be a folder that you may wri"):
        store.open_store("blocked")
        with mlflow.start_run() as run:
            store.check_place(str(home[0] / "mlruns"), run.info.artifact_uri)


OTHER_USER = """
import os, sys
import mlflow
from gwres.errors import InputError
from gwres.tracking import store
own, *others = sys.argv[1:]
mlflow.set_tracking_uri(f"sqlite:///{own}")
store.open_store("mine")  # imports what the other user may not be able to read
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for other in others:
    mlflow.set_tracking_uri(f"sqlite:///{other}")
    try:
        store.open_store("mine")
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_a_checkout_of_another_user_is_told(home, empty, tmp_path, monkeypatch):
    temporary = Path(tempfile.gettempdir())
    own = [place for place in tmp_path.parents if temporary in place.parents]
    for place in (tmp_path, *own, home[0].parent, home[0]):
        place.chmod(0o755)
    locks = tmp_path / "locks"
    locks.mkdir()
    locks.chmod(0o777)
    monkeypatch.setenv("GWRES_CACHE", str(locks))
    own = shutil.copy(empty, tmp_path / "own.db")
    done = fresh(OTHER_USER, own, home[0] / "mlflow.db", home[0] / "new.db")
    both = done.stdout.splitlines()
    assert len(both) == 2
    for said in both:
        assert said.startswith(f"{home[0]} must be writable for you")
        assert "start in a folder of yours" in said


def test_no_password_is_told():
    shown = store._shown("postgresql+psycopg://me:secret@/runs?host=/x")
    assert "secret" not in shown and "runs" in shown
    assert store._shown("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
