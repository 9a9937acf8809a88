"""Cached folders are whole or not there."""

import os
import signal
import subprocess
import sys

import pytest

from gwres import cache
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
