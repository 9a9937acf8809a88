"""Reads folders in Kaggle's G2Net layout, one window at a time."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gwres.data.split import split
from gwres.errors import InputError
from gwres.strain import check

logger = logging.getLogger(__name__)
LABELS = "training_labels.csv"
SUBMISSION = "sample_submission.csv"
LARGEST = 2**20  # bytes of a window's file; one of float64 has 98,432
LAYOUTS = "a/b/c/abc….npy, as in the competition, or abc….npy"
SHOWN = 5  # ids named in a message


@dataclass(frozen=True)
class Folder:
    """A G2Net folder whose labels and files have been matched.

    Args:
        root: the folder.
        table: DataFrame of columns id, split, label (0 or 1) and, of the file, size
            [bytes] and mtime [ns].
    """

    root: Path
    table: pd.DataFrame

    def window(self, name):
        """Strain of a training window, (3, 4096); see `read`."""
        return read(locate(self.root / "train", name))

    def digest(self):
        """A hash of the ids, labels and files, for the keys of caches."""
        columns = ["id", "label", "size", "mtime"]
        rows = pd.util.hash_pandas_object(self.table[columns], index=False)
        return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()[:16]


def locate(part, name):
    """The path of a window below train/ or test/.

    In folders named after the id's first three characters, as in the competition; or
    directly in train/ or test/, as some people unpack it.
    """
    flat = Path(part) / f"{name}.npy"
    nested = Path(part, *name[:3]) / flat.name
    return flat if flat.is_file() and not nested.is_file() else nested


def read(path):
    """Read one window.

    Args:
        path: path of a .npy file.

    Returns:
        (3, 4096), float64 or float32, dimensionless strain.

    Raises:
        InputError: the file is missing, truncated, pickled, or not a window of strain
            (see `strain.check`).
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise InputError(
                    f"{path}: expected a window, at most {LARGEST:,} bytes; received "
                    f"{size:,}"
                )
            window = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (InputError, OSError):
        raise
    # On a broken header NumPy raises whatever Python's parser does.
    except Exception as error:
        # NumPy's message for a pickle advises to allow it; ours does not.
        reason = "pickled objects are never loaded" if "ickle" in str(error) else error
        raise InputError(
            f"{path}: expected a .npy file of strain; truncated or of another kind: "
            f"{reason}"
        ) from None
    if not isinstance(window, np.ndarray):
        raise InputError(f"{path}: expected one array, received an archive")
    check(window, path)
    return window


def labels(root):
    """The labels of a G2Net folder.

    Returns:
        DataFrame of columns id (str) and label (0 or 1).

    Raises:
        InputError: the folder or the file is missing or empty, has other columns, an id
            twice, a label outside {0, 1}, or one class only.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(
            f"data must be 'simulated' or a G2Net folder; there is no folder {root}"
        )
    table = _listed(root, LABELS)
    path = root / LABELS
    # pandas writes 1.0 and 0.0 after a merge.
    table["target"] = table["target"].replace({"1.0": "1", "0.0": "0"})
    bad = table[~table["target"].isin(["0", "1"])]
    if len(bad):
        raise InputError(
            f"{path}: labels must be 0 or 1; received {bad['target'].iloc[0]!r} "
            f"for {bad['id'].iloc[0]!r} and {len(bad)} such in all"
        )
    if table["target"].nunique() != 2:
        only = ", ".join(table["target"].unique()) or "no rows"
        raise InputError(f"{path}: expected labels 0 and 1; received only {only}")
    return pd.DataFrame({"id": table["id"], "label": table["target"].astype(int)})


def submission(root):
    """The ids that a submission must list, in its order.

    Returns:
        list of str, from `SUBMISSION` in the folder.

    Raises:
        InputError: the folder or the file is missing or empty, has other columns, or an
            id twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"data must be a G2Net folder; there is no folder {root}")
    table = _listed(root, SUBMISSION)
    if not len(table):
        raise InputError(f"{root / SUBMISSION}: expected ids; received none")
    return table["id"].tolist()


def _listed(root, name):
    """Read a table of columns id and target as text; refuse ids that name no file."""
    path = root / name
    if not path.is_file():
        held = ", ".join(sorted(p.name for p in root.iterdir())[:SHOWN]) or "nothing"
        raise InputError(f"{root}: expected {name} in a G2Net folder; found {held}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: expected columns id,target; received nothing"
        ) from None
    except ValueError as error:  # pandas' own errors are among these
        raise InputError(
            f"{path}: expected a table in CSV; it cannot be read: {error}"
        ) from None
    if list(table.columns) != ["id", "target"]:
        raise InputError(
            f"{path}: expected columns id,target; received {','.join(table.columns)}"
        )
    # pandas takes the first cell of longer rows for a name of the row.
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(
            f"{path}: expected two cells in each row; received more, such as those of "
            f"{table.index[0]!r}"
        )
    odd = table[~table["id"].str.fullmatch(r"\w{3,64}")]
    if len(odd):
        raise InputError(
            f"{path}: ids must be 3 to 64 letters or digits; received "
            f"{odd['id'].iloc[0]!r} and {len(odd)} such in all"
        )
    twice = table[table["id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: {len(twice)} ids stand twice: {_some(twice['id'])}")
    return table


def scan(part):
    """Files below train/ or test/; hidden ones, as macOS adds them, are left out.

    Returns:
        DataFrame of columns id, size [bytes], mtime [ns].

    Raises:
        InputError: a file that lies where `locate` does not look.
    """
    rows, hidden = [], 0
    for folder, _, names in os.walk(part):
        inside = Path(folder).relative_to(part).parts
        for name in names:
            if name.startswith("."):
                hidden += 1
            elif name.endswith(".npy"):
                if inside not in ((), tuple(name[:3])):
                    raise InputError(
                        f"{part}: expected files at {LAYOUTS}; found "
                        f"{Path(*inside, name)}"
                    )
                status = os.stat(os.path.join(folder, name))
                rows.append((name[:-4], status.st_size, status.st_mtime_ns))
    if hidden:
        logger.warning("%s: %d hidden files left out", part, hidden)
    return pd.DataFrame(rows, columns=["id", "size", "mtime"])


def folder(root, strict=True):
    """Match the labels of a G2Net folder with its files.

    Args:
        root: the folder that holds training_labels.csv and train/.
        strict: whether a label without its file, or a file without its label, is an
            error; if not, it is reported and left out.

    Returns:
        A `Folder`, sorted by id.

    Raises:
        InputError: see `labels` and `scan`; an id has two files; or labels and files do
            not match.
    """
    root = Path(root)
    table, files = labels(root), scan(root / "train")
    twice = files.loc[files["id"].duplicated(), "id"]
    if len(twice):
        raise InputError(
            f"{root / 'train'}: expected each id once; {len(twice)} have two files: "
            f"{_some(twice)}"
        )
    if not len(files):
        raise InputError(
            f"{root / 'train'}: expected .npy files; found none: they may lie at "
            f"{LAYOUTS}"
        )
    matched = table.merge(files, on="id", how="outer", indicator=True)
    problems = []
    for side, text in (
        ("left_only", "ids in the labels have no file"),
        ("right_only", "files have no label"),
    ):
        lost = matched.loc[matched["_merge"] == side, "id"]
        if len(lost):
            problems.append(f"{len(lost)} {text}: {_some(lost)}")
    if problems:
        text = f"{root}: " + "; ".join(problems)
        if strict:
            raise InputError(f"{text} (strict=false goes on without them)")
        logger.warning("%s: left out", text)
    kept = matched[matched["_merge"] == "both"].drop(columns="_merge")
    kept = kept.sort_values("id", ignore_index=True)
    kept = kept.astype({"label": int, "size": int, "mtime": int})
    if kept["label"].nunique() != 2:
        raise InputError(f"{root}: expected files of both labels; {len(kept)} are left")
    kept.insert(1, "split", [split(name) for name in kept["id"]])
    return Folder(root, kept)


def _some(names):
    shown = ", ".join(names[:SHOWN])
    return f"{shown}, …" if len(names) > SHOWN else shown
