"""Logged and registered models as scorers, in this process."""

from functools import partial

import numpy as np

from gwres.engine.work import each
from gwres.errors import InputError
from gwres.progress import progress
from gwres.serve.scorer import BATCH, Scorer
from gwres.tracking import registry


def load(uri):
    """The `Scorer` of a logged model.

    The model's networks and numbers are read, and nothing of the code that was logged
    beside them is run: models of other versions of gwres answer with this one's code.

    Args:
        uri: as `registry.pin` gives it.

    Raises:
        InputError: its files are gone, or its networks are of layers that this version
            of gwres does not have.
    """
    with registry.files(uri) as files:
        try:
            return Scorer(files)
        except (ValueError, TypeError) as error:
            raise InputError(f"{uri} cannot be loaded: {error}") from error


def score(uri, windows):
    """A logged model's predictions of windows.

    Args:
        uri: as `registry.pin` gives it.
        windows: a `corpus.Windows`.

    Returns:
        DataFrame: the windows' table with a column logit.

    Raises:
        InputError: see `load`, or what `Scorer.rows` refuses.
    """
    scored = each(partial(_logits, load(uri)), windows.chunks(BATCH), _called, 1)
    parts = ((len(logits), logits) for logits in scored)
    logits = list(progress(parts, len(windows), uri))
    return windows.table.assign(logit=np.concatenate(logits))


def _logits(scorer, chunk):
    return scorer(*chunk)["logit"].to_numpy()


def _called(chunk):
    return f"a batch of {len(chunk[0])} windows"
