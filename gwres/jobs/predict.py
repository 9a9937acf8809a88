"""The job that scores windows without labels into a submission."""

import csv
import logging
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy.special import expit

from gwres import cache
from gwres.data import unlabelled
from gwres.engine.work import each
from gwres.errors import InputError
from gwres.jobs.publish import publish
from gwres.pages import notes
from gwres.progress import progress
from gwres.serve import registered
from gwres.serve.scorer import BATCH
from gwres.tracking import log, registry, tags

logger = logging.getLogger(__name__)
PART = 256  # windows that are scored before they are put on disk
UNKNOWN = 0.5  # what a window gets that cannot be read: the sample's own value
SHOWN = 20  # bad files named on the screen; all are in the list beside the submission
APART = 2.0**-50  # of targets of different logits; a reader of the CSV may round


def predict(model, data, out):
    """Score windows with a registered model: processes and a cluster may help.

    Args:
        model: see `registry.pin`.
        data: a G2Net folder, with sample_submission.csv and test/; or a Parquet file,
            see `unlabelled.Rows`.
        out: path of the CSV to write.

    Raises:
        InputError: no such model, folder, file or ids, or no window that can be read.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"out must be the file to write; received the folder {out}")
    windows = unlabelled.opened(data)
    uri = registry.pin(model)
    scorer = registered.load(uri)
    logger.info("scoring %s windows of %s with %s", f"{len(windows.ids):,}", data, uri)
    made_from = {
        "model": registry.identity(uri),
        "data": windows.key,
        "ids": windows.ids,
        "part": PART,
    }
    with cache.workplace(made_from) as folder:
        bad = write(windows, scorer, out, folder)
    counts, warnings = (len(windows.ids), len(bad)), []
    if len(bad):
        warnings = [
            f"{len(bad):,} of {counts[0]:,} windows could not be read and have the "
            f"target {UNKNOWN}; {listed(out)} says why"
        ]
    written = [path for path in (out, listed(out)) if path.is_file()]
    for path in written:
        log.file(path)
    names = [path.name for path in written]
    publish(
        lambda place: notes.predicted(uri, str(windows), counts, place, names),
        metrics={tags.SCORED: counts[0], tags.BAD: len(bad)},
        warnings=warnings,
        named={tags.MODEL: uri},
    )
    logger.info("%s holds %s targets", out, f"{counts[0]:,}")


def write(windows, score, out, folder):
    """Score windows and write the submission.

    Args:
        windows: `unlabelled.Files` or `unlabelled.Rows`.
        score: function of strain (n, 3, 4096), and of each window's ASD where it is
            known, to a DataFrame with a column logit. It is sent to the workers.
        out: path of the CSV of columns id and target, the probability.
        folder: for parts that are done; a call that finds some goes on after them.

    Returns:
        DataFrame of columns id and reason: the windows that got `UNKNOWN`, as
        `listed(out)` names them, too. A window is named where it is found to be bad.

    Raises:
        InputError: no window could be read.
    """
    folder = Path(folder)
    for part, table in _scored(windows, score, folder):
        for row in table[table["logit"].isna()][:SHOWN].itertuples():
            logger.warning("not scored: %s", row.reason)
        with cache.keeping(_place(folder, part.start)) as scratch:
            table.to_parquet(scratch, index=False)
    places = sorted(folder.glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in places], ignore_index=True)
    bad = table[table["logit"].isna()]
    if len(bad) == len(table):
        reason = bad["reason"].iloc[0]
        raise InputError(f"{windows}: no window can be read; the first: {reason}")
    values = np.full(len(table), UNKNOWN)
    known = table["logit"].notna().to_numpy()
    values[known] = targets(table["logit"].to_numpy()[known])
    listed(out).unlink(missing_ok=True)
    if len(bad):
        with cache.replacing(listed(out)) as scratch:
            bad[["id", "reason"]].to_csv(scratch, index=False)
    with cache.replacing(out) as scratch, open(scratch, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "target"])
        rows.writerows(zip(table["id"], values.tolist()))
    return bad[["id", "reason"]]


def _place(folder, start):
    return folder / f"{start:09d}.parquet"


def _scored(windows, score, folder):
    """Parts that are not done, each with the table of its scores."""
    handed = deque()
    done = [pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")]

    def missing():
        for part in windows.parts(PART):
            if not cache.whole(_place(folder, part.start)):
                handed.append(part)
                yield part

    # One thread, for the networks use all cores by themselves.
    tables = each(partial(_table, score), missing(), _called, threads=1)
    finished = ((len(table), table) for table in tables)
    for table in progress(finished, len(windows.ids) - sum(done), "predict"):
        yield handed.popleft(), table


def _called(part):
    return f"windows {part.start} to {part.start + len(part.ids) - 1}"


def _table(score, part):
    """Rows of id, logit (NaN where the window is bad) and reason."""
    tables = []
    for first in range(0, len(part.ids), BATCH):
        stop = min(first + BATCH, len(part.ids))
        windows, asds, reasons = part.read(first, stop)
        ids = part.ids[first:stop]
        table = pd.DataFrame({"id": ids, "logit": np.nan, "reason": reasons})
        if windows:
            given = [np.stack(one) for one in (windows, asds) if one is not None]
            scored = score(*given)["logit"].to_numpy()
            table.loc[table["reason"] == "", "logit"] = scored
        tables.append(table)
    return pd.concat(tables)


def listed(out):
    """Where the list of bad files of a submission lies."""
    return Path(out).with_suffix(".bad.csv")


def targets(logits):
    """Probabilities whose order is that of the logits.

    The nearest float64 of a probability is 1 from logit 37 up, and few numbers are left
    well before: there, different logits get targets `APART`.

    Args:
        logits: finite, (n,).

    Returns:
        (n,) float64 from 0 to 1: equal where the logits are, else in their order.
    """
    distinct, where = np.unique(logits, return_inverse=True)
    values = expit(distinct)
    # From the loudest down, each at least a step below the one before.
    steps = APART * np.arange(len(distinct))
    loud = distinct > 0
    lowered = (values - steps)[loud][::-1]
    values[loud] = np.minimum.accumulate(lowered)[::-1] + steps[loud]
    return values[where]
