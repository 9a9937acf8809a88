"""Cached folders are whole or not there."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from gwres import cache, proof
from tests.contract import fresh


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path / "cache"))


def hello(folder):
    (folder / "hello.txt").write_text("hello")


def names(path):
    """All that lies below, hidden or not, but for the locks."""
    return sorted(p.name for p in path.rglob("*") if p.suffix != ".lock")


def test_root_follows_the_environment(monkeypatch, tmp_path):
    assert cache.root() == tmp_path / "cache"
    monkeypatch.delenv("GWRES_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "gwres"


def test_digest_ignores_the_order_of_keys_and_nothing_else():
    assert cache.digest({"a": 1, "b": 2}) == cache.digest({"b": 2, "a": 1})
    assert cache.digest({"a": 1}) != cache.digest({"a": 2})
    assert cache.digest({"a": 1}) != cache.digest({"a": "1"})


def test_a_folder_is_made_once_and_says_what_from():
    calls = []

    def make(folder):
        calls.append(folder)
        hello(folder)

    first = cache.folder("kind", {"seed": 1}, make)
    assert cache.folder("kind", {"seed": 1}, make) == first
    assert len(calls) == 1
    assert names(first) == ["hello.txt", "made_from.json", "proof.json"]
    assert cache.folder("kind", {"seed": 2}, make) != first
    assert cache.folder("other", {"seed": 1}, make) != first
    assert len(calls) == 3


def test_an_error_while_making_leaves_nothing_and_the_next_call_succeeds():
    def fails(folder):
        hello(folder)
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        cache.folder("kind", {}, fails)
    assert names(cache.root()) == ["kind"]
    assert "hello.txt" in names(cache.folder("kind", {}, hello))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_replacing_leaves_the_old_content_on_an_error(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), cache.replacing(path) as scratch:
        scratch.write_text("new, but not all of")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_replacing_puts_the_new_in_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    for text in "old", "new":
        with cache.replacing(path) as scratch:
            assert not scratch.exists()
            scratch.write_text(text)
        assert path.read_text() == text
    assert names(tmp_path) == ["deep", "file.txt"]


# Each process says that it is here; whoever makes the folder waits for the other.
TOGETHER = """
import sys, time
from pathlib import Path
from gwres import cache

here, other = map(Path, sys.argv[1:])

def make(folder):
    while not other.exists():
        time.sleep(0.01)
    (folder / "value.txt").write_text(here.name)
    print("made")

here.touch()
folder = cache.folder("kind", {}, make)
print((folder / "value.txt").read_text())
"""


def test_two_processes_at_once_make_it_once(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, *pair], stdout=subprocess.PIPE, text=True
        )
        for pair in ((one, two), (two, one))
    ]
    said = [process.communicate(timeout=60)[0].split() for process in started]
    assert sorted(map(len, said)) == [1, 2]  # one of them says "made" as well
    assert said[0][-1] == said[1][-1]


FULL_DISK = """
import resource
from gwres import cache

def make(folder):
    with open(folder / "big.bin", "wb") as file:
        for _ in range(100):
            file.write(bytes(10_000))

everything = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, everything[1]))
try:
    cache.folder("kind", {}, make)
except OSError as error:
    print(type(error).__name__, "named" if str(cache.root()) in str(error) else "")
print(*[p.name for p in (cache.root() / "kind").iterdir() if p.suffix != ".lock"])
resource.setrlimit(resource.RLIMIT_FSIZE, everything)
print((cache.folder("kind", {}, make) / "big.bin").stat().st_size)
"""


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written():
    assert fresh(FULL_DISK).stdout.split("\n") == ["OSError named", "", "1000000", ""]


KILLED = """
import os, signal
from gwres import cache

def make(folder):
    (folder / "big.bin").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)

cache.folder("kind", {}, make)
"""


def test_what_a_killed_process_left_is_cleared_away():
    assert fresh(KILLED, check=False).returncode == -signal.SIGKILL
    kind = cache.root() / "kind"
    assert "big.bin" in names(kind)
    path = cache.folder("kind", {}, hello)
    held = [path.name, "hello.txt", "made_from.json", "proof.json"]
    assert names(kind) == sorted(held)


def test_a_script_without_a_guard_fails_and_does_not_wait_for_itself(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from gwres.simulate.population import POPULATIONS\n"
        "from gwres.simulate.waveforms import bank\n"
        "bank(POPULATIONS['g2net'], 2, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"GWRES_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert 'if __name__ == "__main__"' in done.stderr


def test_a_workplace_is_found_again_after_a_failure_and_gone_after_success():
    with pytest.raises(RuntimeError), cache.workplace({"depth": 34}) as first:
        (first / "state.json").write_text("{}")
        raise RuntimeError
    with cache.workplace({"depth": 34}) as again:
        assert again == first
        assert (again / "state.json").is_file()
    assert not first.exists()


def test_two_at_once_do_not_share_one():
    with cache.workplace({"depth": 34}) as one, cache.workplace({"depth": 34}) as two:
        assert one != two
        (one / "state.json").write_text("{}")
        assert not list(two.iterdir())


def test_another_recipe_works_elsewhere():
    with cache.workplace({"depth": 34}) as one, cache.workplace({"depth": 18}) as two:
        assert one.parent != two.parent


@pytest.fixture
def anew(monkeypatch):
    """A process that has not looked at any folder yet."""
    return lambda: monkeypatch.setattr(cache, "_checked", set())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda at: (at / "hello.txt").write_text("hellp"), "hello.txt: not as it was"),
        (lambda at: (at / "hello.txt").write_text("he"), "hello.txt: not as it was"),
        (lambda at: (at / "hello.txt").unlink(), "hello.txt: no such file"),
        (lambda at: (at / "proof.json").unlink(), "an older version made it"),
    ],
)
def test_a_damaged_folder_is_named_and_made_again(caplog, anew, spoil, told):
    path = cache.folder("kind", {}, hello)
    spoil(path)
    anew()
    assert cache.folder("kind", {}, hello) == path
    assert (path / "hello.txt").read_text() == "hello"
    assert told in caplog.text and str(path) in caplog.text
    caplog.clear()
    anew()
    cache.folder("kind", {}, lambda folder: pytest.fail("it is whole"))
    assert not caplog.text


def test_a_folder_of_something_else_under_its_name_is_made_again(caplog, anew):
    """As one is that was copied by hand."""
    other = cache.folder("kind", {"seed": 2}, lambda at: (at / "x").write_text("2"))
    path = cache.root() / "kind" / cache.digest({"seed": 1})
    shutil.copytree(other, path)
    anew()
    cache.folder("kind", {"seed": 1}, hello)
    assert names(path) == ["hello.txt", "made_from.json", "proof.json"]
    assert "made from something else" in caplog.text


def test_a_folder_is_checked_once_in_a_process(monkeypatch):
    cache.folder("kind", {}, hello)
    monkeypatch.setattr(proof, "verify", lambda path: pytest.fail("again"))
    cache.folder("kind", {}, hello)


def test_rows_that_are_damaged_while_they_are_in_use_are_made_again(caplog):
    rows = np.arange(40, dtype="<f4").reshape(10, 4)

    def make(folder):
        with proof.writing_rows(folder / "rows.npy", "<f4", rows.shape) as append:
            append(rows)

    def find():
        return cache.folder("kind", {}, make)

    np.testing.assert_array_equal(cache.rows(find, "rows.npy", slice(10)), rows)
    path = find() / "rows.npy"
    data = bytearray(path.read_bytes())
    data[128 + 16 * 7] ^= 1
    path.write_bytes(data)
    np.testing.assert_array_equal(cache.rows(find, "rows.npy", slice(3)), rows[:3])
    assert not caplog.text, "of the rows that are read none is damaged"
    np.testing.assert_array_equal(cache.rows(find, "rows.npy", slice(5, 9)), rows[5:9])
    assert "rows.npy: row 7 is not as it was written" in caplog.text


def test_a_kept_file_is_whole_until_it_is_damaged(tmp_path, caplog):
    path = tmp_path / "part.parquet"
    assert not cache.whole(path)
    for text in "old", "new":
        with cache.keeping(path) as scratch:
            scratch.write_text(text)
        assert cache.whole(path) and path.read_text() == text
    assert not caplog.text
    path.write_text("nev")
    assert not cache.whole(path)
    assert f"{path}: not as it was written" in caplog.text
    assert not list(tmp_path.iterdir())
    path.write_text("of an older version")
    assert not cache.whole(path)
    assert "an older version made it" in caplog.text


BETWEEN = """
import os, signal, sys
from pathlib import Path
from gwres import cache

path, step = Path(sys.argv[1]), int(sys.argv[2])
count, replace = 0, os.replace

def killed(*words):
    global count
    if count == step:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    replace(*words)

os.replace = killed
with cache.keeping(path) as scratch:
    scratch.write_text("new")
"""


@pytest.mark.parametrize("step", [0, 1, 2])
def test_killed_between_file_and_digest_either_is_whole(tmp_path, step):
    path = tmp_path / "state.json"
    with cache.keeping(path) as scratch:
        scratch.write_text("old")
    for _ in range(2):  # and killed there again
        done = fresh(BETWEEN, path, str(step), check=False)
        assert done.returncode == -signal.SIGKILL
        assert cache.whole(path)
        assert path.read_text() == ("new" if step == 2 else "old")
    with cache.keeping(path) as scratch:
        scratch.write_text("last")
    path.write_text("old")
    assert not cache.whole(path), "only what a kill may leave is taken for whole"
