"""The job that scores the test windows of a G2Net folder into a submission."""

import csv
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from gwres import cache
from gwres.data import g2net
from gwres.errors import InputError
from gwres.jobs.publish import publish
from gwres.pages import notes
from gwres.progress import progress
from gwres.serve import registered
from gwres.serve.scorer import BATCH
from gwres.tracking import log, registry, tags

logger = logging.getLogger(__name__)
PART = 1024  # windows that are scored before they are put on disk
UNKNOWN = 0.5  # what a window gets that cannot be read: the sample's own value
SHOWN = 20  # bad files named on the screen; all are in the list beside the submission
APART = 2.0**-50  # of targets of different logits; a reader of the CSV may round


def predict(model, data, out):
    """Score the test windows of a G2Net folder with a registered model.

    Args:
        model: see `registry.pin`.
        data: the folder, with sample_submission.csv and test/.
        out: path of the CSV to write.

    Raises:
        InputError: no such model, folder or ids, or no window that can be read.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"out must be the file to write; received the folder {out}")
    ids = g2net.submission(data)
    uri = registry.pin(model)
    score = registered.load(uri)
    logger.info("scoring %s windows of %s with %s", f"{len(ids):,}", data, uri)
    made_from = {
        "model": registry.identity(uri),
        "data": str(Path(data).resolve()),
        "ids": ids,
    }
    with cache.workplace(made_from) as folder:
        bad = write(data, ids, score, out, folder)
    warnings = []
    if len(bad):
        warnings = [
            f"{len(bad):,} of {len(ids):,} windows could not be read and have the "
            f"target {UNKNOWN}; {listed(out)} says why"
        ]
    written = [path for path in (out, listed(out)) if path.is_file()]
    for path in written:
        log.file(path)
    names, counts = [path.name for path in written], (len(ids), len(bad))
    publish(
        lambda place: notes.predicted(uri, data, counts, place, names),
        metrics={tags.SCORED: len(ids), tags.BAD: len(bad)},
        warnings=warnings,
        named={tags.MODEL: uri},
    )
    logger.info("%s holds %s targets", out, f"{len(ids):,}")


def write(root, ids, score, out, folder):
    """Score test windows and write the submission.

    Args:
        root: the G2Net folder, whose test/ holds the windows.
        ids: of the windows, in the order to be written.
        score: function of strain (n, 3, 4096) to a DataFrame with a column logit.
        out: path of the CSV of columns id and target, the probability.
        folder: for parts that are done; a call that finds some goes on after them.

    Returns:
        DataFrame of columns id and reason: the windows that got `UNKNOWN`, as
        `listed(out)` names them, too. A file is named where it is found to be bad.

    Raises:
        InputError: no window could be read.
    """
    root, folder = Path(root), Path(folder)
    starts = range(0, len(ids), PART)
    made = (
        (len(ids[i : i + PART]), _part(root, ids[i : i + PART], score, folder, i))
        for i in starts
    )
    table = pd.concat(progress(made, len(ids), "predict"), ignore_index=True)
    bad = table[table["logit"].isna()]
    if len(bad) == len(table):
        raise InputError(
            f"{root / 'test'}: no window can be read; the first: "
            f"{bad['reason'].iloc[0]}"
        )
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


def _part(root, ids, score, folder, start):
    path = folder / f"{start:09d}.parquet"
    if not cache.whole(path):
        table = pd.concat(
            [_batch(root, ids[i : i + BATCH], score) for i in range(0, len(ids), BATCH)]
        )
        for row in table[table["logit"].isna()][:SHOWN].itertuples():
            logger.warning("not scored: %s", row.reason)
        with cache.keeping(path) as scratch:
            table.to_parquet(scratch, index=False)
    return pd.read_parquet(path)


def _batch(root, ids, score):
    """Rows of id, logit (NaN where the file is bad) and reason."""
    windows, reasons = [], []
    for name in ids:
        try:
            window = g2net.read(g2net.locate(root / "test", name))
            windows.append(window.astype(np.float64))
            reasons.append("")
        except (InputError, OSError) as error:
            reasons.append(str(error))
    table = pd.DataFrame({"id": ids, "logit": np.nan, "reason": reasons})
    if windows:
        scored = score(np.stack(windows))["logit"].to_numpy()
        table.loc[table["reason"] == "", "logit"] = scored
    return table
