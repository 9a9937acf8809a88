"""What happens after each epoch of a fit: validation, checkpoints, early stopping.

Keras's own callbacks do not do this together. `BackupAndRestore` writes over its one
file in place, so that a kill while it writes leaves no whole checkpoint, and restores
neither the history nor what `EarlyStopping` and `ModelCheckpoint` remember: a training
that goes on would forget its best epoch and how long it has waited for a better one.
Here one small file, replaced in one step, names the last and the best checkpoint and
holds all that was measured, so that a training that was killed ends as if it had not
been.
"""

import json
import logging
import time
from pathlib import Path

import keras
import numpy as np

from gwres import cache
from gwres.judging.metrics import roc_auc
from gwres.progress import clock
from gwres.tracking.tags import TRAIN_LOSS, VAL_AREA, VAL_LOSS

logger = logging.getLogger(__name__)
PREDICT_BATCH = 250


def predict(model, chunks):
    """Logits (n,) of a model's inputs, arrays or lists of them, a chunk at a time."""
    logits = [
        model.predict_on_batch(keras.tree.map_structure(np.float32, chunk))
        for chunk in chunks
    ]
    logits = [chunk[:, 0].astype(float) for chunk in logits]
    return np.concatenate([np.zeros(0), *logits])


class Epochs(keras.callbacks.Callback):
    """Validates, keeps the best weights, checkpoints, and stops, after each epoch.

    Args:
        folder: for checkpoints.
        validation: windows (n, 2048, 3), whitened, and labels (n,).
        epochs: in the whole training.
        steps: of an epoch.
        batch: windows of a step.
        earliest: the first epoch, counted from 0, that may be the best.
        patience: epochs without a better ROC-AUC that end the training.
        on_epoch: called with the row of each epoch, or None.
    """

    def __init__(
        self, folder, validation, epochs, steps, batch, earliest, patience, on_epoch
    ):
        super().__init__()
        self.folder = Path(folder)
        self.windows, self.labels = validation
        self.epochs, self.steps, self.batch = epochs, steps, batch
        self.earliest, self.patience = earliest, patience
        self.on_epoch = on_epoch
        self.rows, self.core_seconds = [], 0.0
        self.first, self.started = 0, time.monotonic()

    def resume(self):
        """The model of the last complete checkpoint, or None if there is none.

        What is damaged is of no use without the rest: training begins anew.
        """
        path = self.folder / "state.json"
        if not cache.whole(path):
            return None
        state = json.loads(path.read_text())
        if not all(cache.whole(self.folder / state[one]) for one in ("last", "best")):
            return None
        self.rows, self.core_seconds = state["rows"], state["core_seconds"]
        self.first = len(self.rows)
        logger.warning("goes on after epoch %d of %d", self.first, self.epochs)
        return keras.models.load_model(self.folder / state["last"])

    @property
    def best(self):
        """The best epoch from the earliest on; the last where none has a score."""
        scores = [row[VAL_AREA] for row in self.rows]
        defined = [score for score in scores[self.earliest :] if score is not None]
        if not defined:
            return len(scores) - 1
        return scores.index(max(defined), self.earliest)

    @property
    def done(self):
        """Whether training is over."""
        waited = len(self.rows) - 1 - self.best
        return len(self.rows) >= self.epochs or waited >= self.patience

    def checkpoint(self, epoch):
        """Path of an epoch's weights."""
        return self.folder / f"epoch-{epoch:04d}.keras"

    def on_train_batch_begin(self, batch, logs=None):
        """Restart the clock when an epoch begins."""
        if not batch:
            self.clock = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        """Validate, save, report; the order makes an interruption harmless."""
        self.core_seconds += time.process_time() - self.clock
        starts = range(0, len(self.windows), PREDICT_BATCH)
        chunks = (self.windows[i : i + PREDICT_BATCH] for i in starts)
        logits = predict(self.model, chunks)
        step = (epoch + 1) * self.steps
        loss = np.mean(np.logaddexp(0, logits) - self.labels * logits)
        two_classes = len(np.unique(self.labels)) == 2
        area = roc_auc(self.labels, logits).value if two_classes else None
        self.rows.append(
            {
                "epoch": epoch,
                "step": step,
                "windows": step * self.batch,
                TRAIN_LOSS: float(logs["loss"]),
                VAL_LOSS: float(loss) if len(logits) else None,
                VAL_AREA: area,
            }
        )
        self._save(epoch)
        self._tell()
        if self.on_epoch:
            self.on_epoch(self.rows[-1])
        self.model.stop_training = self.done

    def _save(self, epoch):
        last, best = self.checkpoint(epoch), self.checkpoint(self.best)
        with cache.keeping(last) as scratch:
            self.model.save(scratch)
        state = {
            "last": last.name,
            "best": best.name,
            "rows": self.rows,
            "core_seconds": self.core_seconds,
        }
        with cache.keeping(self.folder / "state.json") as scratch:
            scratch.write_text(json.dumps(state))
        for file in self.folder.glob("epoch-*.keras"):
            if file not in (last, best):
                cache.discard(file)

    def _tell(self):
        row = self.rows[-1]
        each = (time.monotonic() - self.started) / (row["epoch"] + 1 - self.first)
        area = row[VAL_AREA]
        score = "not defined: one class only" if area is None else f"{area:.4f}"
        logger.info(
            f"epoch %d of %d: {TRAIN_LOSS} %.4f, {VAL_AREA} %s, %s left",
            row["epoch"] + 1,
            self.epochs,
            row[TRAIN_LOSS],
            score,
            clock(each * (self.epochs - row["epoch"] - 1)),
        )
