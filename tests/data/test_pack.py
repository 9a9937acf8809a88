"""Packed windows: the same bytes however often killed, and each checked when read."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gwres import cache
from gwres.data import pack
from gwres.data.corpus import open_corpus
from gwres.data.reading import unwrapped
from gwres.data.settings import Data, Live
from gwres.errors import InputError
from gwres.proof import Damaged, beside
from tests.contract import ROOT

FILES = 16  # windows in a file, so that a small folder fills several


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    """Small files, made in this process and in a cache of its own."""
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pack, "SHARD", FILES)
    monkeypatch.setattr(pack, "CHUNK", 8)
    monkeypatch.setattr(pack, "each", lambda job, jobs, _: map(job, jobs))


@pytest.fixture
def opened(simulated):
    return open_corpus(Data(source=str(simulated)))


@pytest.fixture
def out(opened, tmp_path):
    folder = tmp_path / "packed"
    pack.write(folder, opened, {"psd_windows": 2000})
    return folder


def contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flip(path, byte):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def taken(batches):
    return [(x.numpy(), y.numpy()) for x, y in batches]


def test_a_packed_folder_is_data_like_the_folder_itself(opened, out):
    again = open_corpus(Data(source=str(out)))
    assert (again.name, again.split_hash) == (opened.name, opened.split_hash)
    assert again.size == opened.size > 2 * FILES
    np.testing.assert_array_equal(again.asd, opened.asd)
    settings = Live(batch=16)
    for one, other in zip(
        taken(opened.batches(settings, 5, 6)), taken(again.batches(settings, 5, 6))
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    for (white, labels), (same, told) in [(opened.validation(), again.validation())]:
        np.testing.assert_array_equal(white[:], same[:])
        np.testing.assert_array_equal(labels, told)
    for name, part in opened.judged.items():
        held = again.judged[name]
        assert held.key == part.key
        assert held.table.equals(part.table)
        if len(part):
            np.testing.assert_array_equal(held[:], part[:].astype(np.float32))


def test_a_folder_of_other_settings_is_refused(out, simulated):
    with pytest.raises(InputError, match="psd_windows=2000; received 40"):
        open_corpus(Data(source=str(out), psd_windows=40))
    other = open_corpus(Data(source=str(simulated), psd_windows=4))
    with pytest.raises(InputError, match="holds another pack"):
        pack.write(out, other, {"psd_windows": 4})
    with pytest.raises(InputError, match="must be new or empty"):
        pack.write(simulated, other, {"psd_windows": 4})


def test_half_packed_is_never_read(out):
    (out / pack.MANIFEST).unlink()
    with pytest.raises(InputError, match="not packed to its end: run pack once more"):
        open_corpus(Data(source=str(out)))


def test_a_flipped_bit_is_found_and_named(opened, out):
    path = out / "train" / "00001.npy"
    flip(path, 128 + 5 * 12_288 + 77)
    again = open_corpus(Data(source=str(out)))
    victim = opened.train.table["id"].iloc[FILES + 5]
    told = f"{path}: row 5 is not as it was written; it is window {victim}"
    with pytest.raises(Damaged, match=told):
        again.packed("train")[np.array([3, FILES + 5])]
    # Through the thread that reads batches, in which TensorFlow wraps it.
    with pytest.raises(Damaged, match=f"it is window {victim}"):
        with unwrapped():
            taken(again.batches(Live(batch=16), 5, 6))


def test_in_the_cache_it_is_packed_again(opened, caplog):
    train = opened.train
    packed = pack.pack(train, opened.asd, train.key)
    expected, before = packed[:], contents(packed.folder)
    path = packed.folder / "train" / "00001.npy"
    untouched = packed.folder / "train" / "00000.npy"
    stamp = untouched.stat().st_mtime_ns
    flip(path, 128 + 5 * 12_288 + 77)
    np.testing.assert_array_equal(packed[:], expected)
    assert train.table["id"].iloc[FILES + 5] in caplog.text
    assert contents(packed.folder) == before
    assert untouched.stat().st_mtime_ns == stamp, "a whole file is not made again"
    for spoil in (lambda: flip(beside(path), 12), lambda: path.unlink()):
        spoil()
        again = pack.pack(train, opened.asd, train.key)
        np.testing.assert_array_equal(again[:], expected)
        assert contents(packed.folder) == before
    shutil.rmtree(packed.folder)


def test_workers_make_the_same_bytes(opened, out, tmp_path, monkeypatch):
    """Two processes, which import all that they need."""
    monkeypatch.undo()
    monkeypatch.setenv("GWRES_WORKERS", "2")
    monkeypatch.setattr(pack, "SHARD", FILES)
    monkeypatch.setattr(pack, "CHUNK", 8)
    pack.write(tmp_path / "other", opened, {"psd_windows": 2000})
    assert contents(tmp_path / "other") == contents(out)


KILLED = """
import os, signal, sys
from pathlib import Path
from gwres.data import pack
from gwres.data.corpus import open_corpus
from gwres.data.settings import Data

pack.SHARD, pack.CHUNK = {files}, 8
made, count = pack._made, 0

def killed(job):
    global count
    if count == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return made(job)

pack.each = lambda job, jobs, _: map(killed, jobs)
corpus = open_corpus(Data(source=sys.argv[1]))
pack.write(sys.argv[2], corpus, {{"psd_windows": 2000}})
"""


def test_killed_it_goes_on_to_the_same_bytes(simulated, opened, out, tmp_path):
    """In the second half of the second file; the first is not made again."""
    other = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(files=FILES, after=3), simulated, other],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    assert not (other / pack.MANIFEST).exists()
    assert [one.name for one in (other / "train").glob("*.npy")] == ["00000.npy"]
    stamp = (other / "train" / "00000.npy").stat().st_mtime_ns
    pack.write(other, opened, {"psd_windows": 2000})
    assert contents(other) == contents(out)
    assert (other / "train" / "00000.npy").stat().st_mtime_ns == stamp


def test_a_bad_file_leaves_no_folder_in_the_cache(copy):
    opened = open_corpus(Data(source=str(copy)))
    victim = opened.train.table["id"].iloc[-1]
    path = Path(copy) / "train" / victim[0] / victim[1] / victim[2] / f"{victim}.npy"
    np.save(path, np.zeros((3, 4096)))
    before = set((cache.root() / "pack").glob("*"))
    with pytest.raises(InputError, match=victim):
        pack.pack(opened.train, opened.asd, opened.train.key)
    left = set((cache.root() / "pack").glob("*")) - before
    assert not [one for one in left if one.is_dir()]
