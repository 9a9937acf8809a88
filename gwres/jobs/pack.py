"""The job that packs a G2Net folder into a few large files, to train from."""

import logging
from pathlib import Path

from gwres.data import pack as packs
from gwres.data.corpus import open_corpus
from gwres.data.settings import SIMULATED, Data
from gwres.errors import InputError
from gwres.jobs.publish import publish
from gwres.pages import notes
from gwres.tracking import log, ui

logger = logging.getLogger(__name__)


def pack(data, out, psd_windows, strict):
    """Pack a folder, and say on the run's page what trains on it.

    Args:
        data: a folder in G2Net's layout.
        out: folder to write to; new, empty, or begun by the same call before.
        psd_windows: as `Data.psd_windows`.
        strict: as `Data.strict`.

    Raises:
        InputError: no such folder, a window that cannot be read, or an `out` that holds
            something else.
    """
    if not out:
        raise InputError("out must be the folder to write to; received none")
    if not data or data == SIMULATED or packs.begun(data):
        raise InputError(
            f"data must be a folder in G2Net's layout; received {data or 'none'}"
        )
    corpus = open_corpus(Data(source=data, psd_windows=psd_windows, strict=strict))
    log.corpus(corpus, data)
    packs.write(out, corpus, {"psd_windows": psd_windows})
    folder = Path(out).resolve()
    counts = {"train": corpus.size}
    counts |= {name: len(windows) for name, windows in corpus.judged.items()}
    again = ui.command("main", data=str(folder))
    publish(lambda place: notes.packed(folder, counts, again))
    logger.info("%s holds %s windows", folder, f"{sum(counts.values()):,}")
