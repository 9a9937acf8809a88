"""Strain in, logit and probability out, from the files of one network or several."""

import tempfile
import threading
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

import gwres.models.classifier  # noqa: F401  registers the layers with Keras
from gwres import proof
from gwres.errors import InputError
from gwres.models.stack import SINGLE, Stack, beyond_templates, joined
from gwres.strain import (
    ASD_SHAPE,
    DETECTORS,
    SHAPE,
    WHITENED_SAMPLES,
    check_all,
    check_asds,
)

BATCH = 64  # windows at a time, however many come, so that memory stays as it is


class Scorer:
    """A classifier, or a stack of them, ready to score windows.

    Args:
        files: dict of name to path: `classifier`, or `member_0`, `member_1`, … and
            `stack`; see `messages.served`. With `proof`, they are checked by it. They
            are read with Keras's safe mode on, and may be gone afterwards.

    Attributes:
        asd: that the first network was fitted with, (3, 2049), as `whiten.fit_asd`
            gives it.
        templates: the layer `Templates` of a lone network that begins with it, or None.
        snr: its function `snr`, as a graph.
    """

    def __init__(self, files):
        files = dict(files)
        if listed := files.pop("proof", None):
            proof.check_list(listed, files)
        stack = files.pop("stack", None)
        self.stack = Stack.read(stack) if stack else SINGLE
        names = sorted(files, key=lambda name: (len(name), name))
        self.classifiers = {
            name: keras.models.load_model(files[name]) for name in names
        }
        classifiers = list(self.classifiers.values())
        # What the first network was fitted to, for whoever has no other.
        self.asd = classifiers[0].get_layer("whiten").asd.numpy()
        # One graph for batches of any size, traced now and not at the first request.
        shape = tf.TensorSpec((None, *SHAPE), tf.float32)
        members = joined(classifiers)
        self.members = tf.function(members, input_signature=[shape])
        self.members(np.zeros((1, *SHAPE), np.float32))
        # Traced when the first caller knows an ASD, for few do.
        asds = tf.TensorSpec((None, *ASD_SHAPE), tf.float32)
        self.informed = tf.function(members, input_signature=[shape, asds])
        whitened = tf.TensorSpec((None, WHITENED_SAMPLES, len(DETECTORS)), tf.float32)
        self.inner = tf.function(
            joined(classifiers, whitened=True), input_signature=[whitened]
        )
        # Of a lone network on templates: them, and what makes a logit of their SNRs.
        self.templates = self.beyond = self.snr = None
        if len(classifiers) == 1 and not stack:
            if parts := beyond_templates(classifiers[0].layers[-1]):
                self.templates, rest = parts
                # One graph for batches of any size.
                self.beyond = tf.function(
                    lambda snr: rest(snr, training=False), reduce_retracing=True
                )
                self.snr = tf.function(self.templates.snr)
        # Callers take turns: each uses all cores, and memory does not grow with them.
        self.turn = threading.Lock()

    def __reduce__(self):
        """What is sent to a worker: the networks, as files have them."""
        with tempfile.TemporaryDirectory() as folder:
            for name, one in self.classifiers.items():
                one.save(Path(folder) / f"{name}.keras")
            if self.stack is not SINGLE:
                self.stack.write(Path(folder) / "stack.json")
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return _received, (files,)

    def __call__(self, windows, asds=None):
        """Score windows: `rows` as a DataFrame."""
        return pd.DataFrame(self.rows(np.asarray(windows), asds))

    def whitened(self, windows):
        """Logits of windows that are whitened already, as `whiten.whiten` gives them.

        Args:
            windows: float32 (n, 2048, 3), n of any size; zeros of a missing detector.

        Returns:
            float64 (n,).
        """
        with self.turn:
            each = [
                self.inner(windows[start : start + BATCH]).numpy()
                for start in range(0, len(windows), BATCH)
            ]
        return self.stack(np.concatenate(each))

    def of_snrs(self, snr):
        """Logits of windows by the SNRs of `templates`.

        Args:
            snr: as `Templates.call` gives them: for each detector parts, each float32
                (ticks, n, count).

        Returns:
            float64 (n,).
        """
        flat = [part for parts in snr for part in parts]
        with self.turn:
            return self.beyond(flat).numpy()[:, 0].astype(float)

    def rows(self, windows, asds=None):
        """Score windows, as a list of dicts, which a server need only write.

        Args:
            windows: strain (n, 3, 4096), dimensionless; a missing detector is a row of
                zeros.
            asds: one-sided ASD of each window's noise, (n, 3, 513), strain/sqrt(Hz),
                every Hz from 0 to 512 Hz; or one for all windows, (3, 513) or flat,
                (1539,); None for the one that the networks hold.

        Returns:
            list of n dicts: logit, probability from 0 to 1, and the detectors that
            were not missing, such as "H1 L1 V1".

        Raises:
            InputError: not strain, see `strain.check`; no ASDs of these windows, see
                `strain.check_asds`; or no finite logit.
        """
        if windows.ndim != 3 or windows.shape[1:] != SHAPE or not len(windows):
            raise InputError(f"expected strain (n, 3, 4096), received {windows.shape}")
        present = check_all(windows) > 0
        if asds is not None:
            asds = check_asds(asds, present)
        given = [array for array in (windows, asds) if array is not None]
        given = [np.asarray(array, dtype=np.float32) for array in given]
        score = self.members if asds is None else self.informed
        with self.turn:
            each = [
                score(*(array[start : start + BATCH] for array in given)).numpy()
                for start in range(0, len(windows), BATCH)
            ]
        logit = self.stack(np.concatenate(each))
        broken = np.flatnonzero(~np.isfinite(logit))
        if len(broken):
            raise InputError(f"window {broken[0]}: the network finds no finite logit")
        probability = np.exp(-np.logaddexp(0, -logit))
        names = [
            " ".join(name for name, there in zip(DETECTORS, row) if there)
            for row in present
        ]
        return [
            {"logit": one, "probability": p, "detectors": detectors}
            for one, p, detectors in zip(logit.tolist(), probability.tolist(), names)
        ]


def _received(files):
    """The `Scorer` of files, dict of name to bytes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in files.items():
            path = Path(folder) / name
            path.write_bytes(content)
            paths[path.stem] = path
        return Scorer(paths)
