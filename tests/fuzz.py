"""Every reader on broken and strange input: taken if it is right, refused if not.

    python -m tests.fuzz 600 [reader ...]    # seconds, shared evenly among the readers

An input is a valid file that has been changed in places, or one made up. A reader may
take it, if what it gives holds to its contract, or refuse it with an error of the
user's that names it. Anything else ends this process: another exception, memory beyond
`MEMORY`, more than `SECONDS`, or a crash of a library. The input is then left in the
folder that is told.

`tests/test_fuzz.py` does the same for a bounded number of inputs, always the same ones.
"""

import io
import json
import logging
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gwres.data import g2net
from gwres.errors import InputError
from gwres.judging import predictions
from gwres.search.strain import open_strain
from gwres.serve import client, guard
from gwres.strain import ASD_SHAPE, SHAPE, check, check_all, check_asds
from tests.search.recorded import GPS, challenge, frame, gwosc, white

MEMORY = 1.0e9  # bytes beyond what the libraries take; a request may be 128 MiB
SECONDS = 20  # of processor time, for one input
RNG = np.random.default_rng(0)
STRAIN = RNG.normal(scale=1e-21, size=SHAPE)
# Numbers that readers trip over, as they stand in binary headers.
ODD = [
    number.to_bytes(size, "little", signed=number < 0)
    for size in (4, 8)
    for number in (0, 1, -1, 2**31 - 1, 10**9)
] + [(10**12).to_bytes(8, "little"), b"\x7f" * 8, b"nan", b"1e400", b"-0", b"[" * 9]


def window(array, order="C"):
    """The bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order=order), allow_pickle=True)
    return buffer.getvalue()


def window_files(folder):
    """Windows as they should be, as they come, and a pickle."""
    archive = io.BytesIO()
    np.savez(archive, STRAIN)
    objects = np.array([None, "strain"], dtype=object)
    made = [STRAIN, STRAIN.astype("f4"), STRAIN.astype(">f8"), STRAIN[:2], objects]
    return [*map(window, made), window(STRAIN, "F"), archive.getvalue()]


def read_window(path):
    """A window that is taken is strain."""
    check(g2net.read(path), path)


@st.composite
def headers(draw):
    """A .npy file whose header claims anything, before a few bytes."""
    kinds = st.sampled_from(
        ["<f8", "<f4", ">f8", "|O", "<U9", "<M8[s]", "|V99999999", "<f2", "|b1", "<c16"]
    )
    sizes = st.sampled_from([0, 1, 3, 4096, -1, 10**6, 10**12, 2**63, 10**30])
    claimed = {
        "descr": draw(st.one_of(kinds, st.text(max_size=4), st.just([("a", "<f8")]))),
        "fortran_order": draw(st.sampled_from([True, False, None, 1])),
        "shape": tuple(draw(st.lists(sizes, max_size=4))),
    }
    text = repr(claimed).encode("utf-8", "replace") + b"\n"
    version = draw(
        st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    )
    size = 2 if version == b"\x01\x00" else 4
    return b"".join(
        [b"\x93NUMPY", version, len(text).to_bytes(size, "little"), text]
    ) + draw(st.binary(max_size=64))


def labels_files(folder):
    """Labels as the competition, spreadsheets and pandas write them."""
    rows = [f"{place:010x},{place % 2}" for place in range(20)]
    text = "\n".join(["id,target", *rows, ""])
    forms = [text, text.replace("\n", "\r\n"), text.replace(",1\n", ",1.0\n")]
    return [form.encode() for form in forms] + [("\ufeff" + text).encode()]


def tables():
    """A table of text with anything in it."""
    cell = st.one_of(
        st.sampled_from(
            ["0", "1", "1.0", "0.5", "", "True", "nan", "abc", "0012", '"']
        ),
        st.text(max_size=6),
    )
    row = st.lists(cell, min_size=1, max_size=3).map(",".join)
    body = st.lists(row, max_size=6).map("\n".join)
    return body.map(lambda text: f"id,target\n{text}".encode("utf-8", "replace"))


def read_labels(path):
    """Labels that are taken are 0 and 1 of ids that come once."""
    table = g2net.labels(path.parent)
    assert set(table["label"]) == {0, 1} and not table["id"].duplicated().any()
    assert table["id"].str.fullmatch(r"\w{3,64}").all()


def read_submission(path):
    """Ids that are taken name a file each."""
    ids = g2net.submission(path.parent)
    assert ids and len(set(ids)) == len(ids)
    assert all(isinstance(one, str) and 3 <= len(one) <= 64 for one in ids)


def scored(body, kind):
    """What the server hands its networks: strain, and ASDs that they may have."""
    windows, asds = guard.read(body, kind)
    if windows.ndim != 3 or windows.shape[1:] != SHAPE or not len(windows):
        raise InputError(f"expected strain (n, 3, 4096), received {windows.shape}")
    present = check_all(windows) > 0
    if asds is not None:
        asds = check_asds(asds, present)
        assert asds.shape == (len(windows), *ASD_SHAPE)
    assert np.isfinite(windows).all() and windows.any(axis=(1, 2)).all()


def json_files(folder):
    """Requests, short ones, for most of a window's bytes are alike."""
    one = {"inputs": [STRAIN.round(22).tolist()]}
    flat = np.full(ASD_SHAPE, 1e-23)
    made = [{"inputs": [[[1e-21]]]}, {"instances": []}, {"inputs": [], "params": {}}]
    made += [one, one | {"asd": flat.tolist()}]
    return [json.dumps(each).encode() for each in made]


def objects():
    """JSON of any kind, most of it with an array of windows."""
    leaf = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)
    )
    inside = st.recursive(leaf, lambda one: st.lists(one, max_size=4), max_leaves=20)
    names = st.sampled_from(["inputs", "instances", "asd", "params", "x"])
    held = st.one_of(inside, st.dictionaries(names, inside, max_size=2))
    made = st.dictionaries(names, held, max_size=3)
    return st.one_of(made, inside).map(lambda each: json.dumps(each).encode())


def read_json(path):
    """See `scored`."""
    scored(path.read_bytes(), guard.JSON)


def parquet_files(folder):
    """Requests as the client and as pandas write them."""
    strain = np.repeat(STRAIN[None], 2, 0)
    asds = np.full((2, *ASD_SHAPE), 1e-23)
    bodies = [client.parquet(strain), client.parquet(strain, asds)]
    plain = {"strain": list(strain.reshape(2, -1))}
    for columns in plain, plain | {"asd": list(asds.reshape(2, -1))}:
        bodies.append(pd.DataFrame(columns).to_parquet())
    return bodies


def columns():
    """Parquet of columns of any kind."""
    values = st.one_of(
        st.lists(st.floats(), min_size=2, max_size=2),
        st.lists(st.integers(-9, 9), min_size=2, max_size=2),
        st.lists(st.text(max_size=3), min_size=2, max_size=2),
        st.lists(st.lists(st.floats(), max_size=3), min_size=2, max_size=2),
    )
    names = st.sampled_from([*predictions.COLUMNS, "asd", "strain"])
    made = st.dictionaries(names, values, min_size=1, max_size=6)
    return made.map(lambda each: pd.DataFrame(each).to_parquet())


def read_parquet(path):
    """See `scored`."""
    scored(path.read_bytes(), guard.PARQUET)


def predictions_files(folder):
    """Predictions as every run keeps them."""
    count = 40
    table = pd.DataFrame(
        {
            "id": [f"{place:010x}" for place in range(count)],
            "split": "gate",
            "label": np.arange(count) % 2,
            "logit": RNG.normal(size=count),
            "network_snr": np.where(np.arange(count) % 2, 8.0, np.nan),
        }
    )
    return [table.to_parquet(index=False), table.to_parquet(compression="gzip")]


def read_predictions(path):
    """Predictions that are taken can be judged."""
    table = predictions.read(path)
    named, _ = predictions.summary(table)
    assert all(np.isfinite(value) for value in named.values())


def gwosc_files(folder):
    """Files in GWOSC's layout, at both rates."""
    return [
        gwosc(
            folder / f"{rate}.hdf5", "H1", white(rate, 2, rate), rate=rate
        ).read_bytes()
        for rate in (2048, 4096)
    ]


def challenge_files(folder):
    """Data of MLGWSC-1."""
    held = {("H1", GPS): white(1, 2, 2048), ("L1", GPS): white(2, 2, 2048)}
    return [challenge(folder / "c.hdf5", held).read_bytes()]


def frame_files(folder):
    """Frames, with masks and without."""
    masks = {"H1:GWOSC-4KHZ_R1_DQMASK": [127] * 2, "H1:GWOSC-4KHZ_R1_INJMASK": [31] * 2}
    name, strain = "H1:GWOSC-4KHZ_R1_STRAIN", white(3, 2)
    return [
        frame(folder / f"{place}.gwf", name, strain, masks=each).read_bytes()
        for place, each in enumerate((masks, None))
    ]


def read_strain(path):
    """Strain that is usable is finite, and all of it can be read."""
    recording = open_strain(path)
    stop = min(recording.stop, recording.start + 64)
    strain, good = recording.read(recording.start, stop)
    assert strain.shape == good.shape and np.isfinite(strain).all()
    assert not strain[~good].any()


# Reader to name of the file, seeds, made-up inputs or None, and function of the path.
READERS = {
    "window": ("abcdef.npy", window_files, headers, read_window),
    "labels": (g2net.LABELS, labels_files, tables, read_labels),
    "submission": (g2net.SUBMISSION, labels_files, tables, read_submission),
    "json": ("body.json", json_files, objects, read_json),
    "parquet": ("body.parquet", parquet_files, columns, read_parquet),
    "predictions": ("gate.parquet", predictions_files, columns, read_predictions),
    "gwosc": ("h1.hdf5", gwosc_files, None, read_strain),
    "challenge": ("set.hdf", challenge_files, None, read_strain),
    "frame": ("h1.gwf", frame_files, None, read_strain),
}
SLOW = ("frame",)  # takes a process for each input; a round has a tenth of them
# Whose requests are refused by a status; the others' messages name the file.
ASKED = ("json", "parquet")


@st.composite
def places(draw, length):
    """A place in a file: near its begin, near its end, or anywhere."""
    near = draw(st.integers(0, min(length, 400)))
    choices = [near, length - near, draw(st.integers(0, length))]
    return choices[draw(st.integers(0, 2))]


@st.composite
def changed(draw, seeds):
    """A valid file, changed in one to four places."""
    body = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(places(len(body)))
        few = draw(st.one_of(st.sampled_from(ODD), st.binary(min_size=1, max_size=8)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "lose", "put", "splice"]))
        if kind == "flip":
            bit = bytes(one ^ 1 << draw(st.integers(0, 7)) for one in body[at : at + 1])
            body = body[:at] + bit + body[at + 1 :]
        elif kind == "cut":
            body = body[:at]
        elif kind == "insert":
            body = body[:at] + few + body[at:]
        elif kind == "lose":
            body = body[:at] + body[at + draw(st.integers(1, 64)) :]
        elif kind == "put":
            body = body[:at] + few + body[at + len(few) :]
        else:
            body = draw(st.sampled_from(seeds))[:at] + body[at:]
    return body


def memory():
    """The most that this process has had in memory, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Trial:
    """One reader's inputs, and what came of them.

    Args:
        name: of the reader.
        folder: where inputs lie while they are read.
    """

    def __init__(self, name, folder):
        called, seeds, self.made_up, self.reader = READERS[name]
        self.name, self.path = name, folder / called
        self.seeds = seeds(folder)
        self.taken = self.refused = 0
        self.longest = 0.0

    def __call__(self, body):
        """Read one input."""
        self.path.write_bytes(body)
        begun, before = time.monotonic(), memory()
        # Of processor time: a busy machine is no fault of the reader's.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            self.reader(self.path)
            self.taken += 1
        except guard.Refused as refused:
            assert self.name in ASKED and 400 <= refused.status < 500, refused
            assert str(refused)
            self.refused += 1
        except InputError as error:
            known = (str(self.path), str(self.path.parent))
            named = any(one in str(error) for one in known)
            assert self.name in ASKED or named, f"no name in: {error}"
            self.refused += 1
        finally:
            # Left on, it would end whatever this process does next.
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.longest = max(self.longest, time.monotonic() - begun)
        assert memory() - before < MEMORY, f"{memory() - before:,} bytes for one input"

    def inputs(self):
        """What is read: changed files, and made-up ones where there are some."""
        kinds = [changed(self.seeds), st.sampled_from(self.seeds)]
        return st.one_of(*kinds, *([self.made_up()] if self.made_up else []))

    def run(self, count, fixed):
        """Read so many inputs; always the same ones if they are fixed."""
        told = settings(
            max_examples=count,
            derandomize=fixed,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        told(given(self.inputs())(lambda body: self(body)))()


def main(seconds, names, count):
    """Try readers, and print what came of it; see the module.

    Args:
        seconds: in all; 0: one round of `count` fixed inputs for each reader.
        names: of readers.
        count: inputs in a round.
    """
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        # Told first: a crash of a library leaves no time for it.
        print(f"{name}: {folder}", flush=True)
        trial = Trial(name, folder)
        for body in trial.seeds:
            trial(body)
        assert trial.taken, "no valid file is taken"
        until = time.monotonic() + seconds / len(names)
        while True:
            try:
                some = count // 10 if name in SLOW else count
                trial.run(some, fixed=not seconds)
            except Exception as error:
                # Hypothesis repeats the whole input, which lies in the folder.
                error.__notes__ = []
                raise
            if time.monotonic() >= until:
                break
        print(
            f"{name}: {trial.taken + trial.refused:,} inputs, {trial.taken:,} taken, "
            f"{trial.refused:,} refused, longest {trial.longest:.2f} s, "
            f"{memory() / 1e6:.0f} MB",
            flush=True,
        )
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


if __name__ == "__main__":
    logging.disable()
    chosen = sys.argv[2:] or list(READERS)
    main(float(sys.argv[1]), chosen, 100)
