"""Fits a network to a corpus, and goes on where an interrupted fit stopped."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from gwres.data.reading import unwrapped
from gwres.data.settings import eased
from gwres.errors import InputError
from gwres.models import pretrained
from gwres.models.classifier import classifier, informed, network
from gwres.progress import progress
from gwres.tracking.tags import VAL_AREA
from gwres.training import shares
from gwres.training.epochs import PREDICT_BATCH, Epochs, predict
from gwres.training.recipe import EVIDENCE, LABELS, samples
from gwres.training.teacher import pupil, taught

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Trained:
    """What a fit gives.

    Args:
        classifier: keras.Model, raw strain (batch, 3, 4096) to logit (batch, 1), in
            float32, with the weights of the best epoch.
        history: DataFrame of columns epoch, step, windows, train/loss, val/loss and
            val/roc_auc (NaN where validation has one class only).
        best: the best epoch, counted from 0.
        core_seconds: processor time of fitting, validation left out, s.
        windows: how many were trained on.
    """

    classifier: keras.Model
    history: pd.DataFrame
    best: int
    core_seconds: float
    windows: int

    @property
    def score(self):
        """The best epoch's ROC-AUC on validation."""
        return float(self.history[VAL_AREA].iloc[self.best])


def precision(name):
    """The Keras dtype policy; "auto" is bfloat16 where the machine has it.

    A processor without such instructions emulates bfloat16, slower than float32;
    accelerators have them.
    """
    if name != "auto":
        return name
    devices = keras.distribution.list_devices()
    if not all(device.startswith("cpu") for device in devices):
        return "mixed_bfloat16"
    try:
        flags = CPUINFO.read_text()
    except OSError:  # not Linux
        return "float32"
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    return "mixed_bfloat16" if native else "float32"


@contextmanager
def _policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable("gwres")
class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from a hundredth of the peak, then half a cosine down to nothing.

    It is Keras's CosineDecay without its branches: AdamW asks for the rate once for
    every variable, and TensorFlow keeps the graph of each branch, for good.

    Args:
        peak: the highest rate.
        warmup: steps of the rise.
        steps: in all.
    """

    def __init__(self, peak, warmup, steps):
        super().__init__()
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step):
        """The rate at a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        rising = self.peak * (0.01 + 0.99 * step / max(self.warmup, 1))
        past = (step - self.warmup) / max(self.steps - self.warmup, 1)
        falling = (
            self.peak * (1 + keras.ops.cos(np.pi * keras.ops.minimum(past, 1))) / 2
        )
        return keras.ops.where(step < self.warmup, rising, falling)

    def get_config(self):
        """The arguments."""
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


def _model(recipe, filters, policy, weights=None):
    """The model to be trained, which computes by a dtype policy."""
    with _policy(policy):
        model = network(recipe.model, recipe.frontend, filters)
        if weights:
            _begin(model, recipe, Path(weights))
        return taught(model, filters) if recipe.fit.teacher == EVIDENCE else model


def _loss(recipe):
    """The loss of a model's logits and labels; None for one that has a loss itself."""
    labels = keras.losses.BinaryCrossentropy(from_logits=True)
    return labels if recipe.fit.teacher == LABELS else None


def _compiled(recipe, filters, steps, weights):
    """The model to be trained, with its optimiser."""
    fit = recipe.fit
    model = _model(recipe, filters, precision(fit.precision), weights)
    rate = Rate(fit.learning_rate, int(fit.warmup * steps), steps)
    model.compile(
        # The clip cuts the rare step that a network without normalisation runs off on.
        keras.optimizers.AdamW(
            rate, weight_decay=fit.weight_decay, global_clipnorm=1.0
        ),
        _loss(recipe),
    )
    # Left to the first step, its variables become branches of the graph, four each.
    model.optimizer.build(model.trainable_variables)
    return model


def _begin(model, recipe, weights):
    """Take first weights from another classifier of the same network."""
    if weights.suffix == ".npz":
        pretrained.load(model, weights)
        return
    try:
        first = keras.models.load_model(weights)
        model.set_weights(first.get_layer(model.name).get_weights())
    except ValueError as error:
        raise InputError(
            f"init must be a classifier of {recipe.name} with the same width and norm; "
            f"received {weights}: {error}"
        ) from None


def fit(recipe, corpus, folder, weights=None, on_epoch=None, workers=None):
    """Train a network, or go on with its training.

    Args:
        recipe: a `Recipe`.
        corpus: a `Corpus`.
        folder: for checkpoints. If a fit of the same recipe and corpus was interrupted
            there, this one goes on after its last complete epoch.
        weights: path of a classifier, or of shipped weights, to begin with; None starts
            afresh.
        on_epoch: called after each epoch with its row of the history; what it raises
            ends the fit.
        workers: how many share each batch, as `shares.asked` gives it; None trains in
            this process.

    Returns:
        `Trained`.

    Raises:
        InputError: `weights` are of another network.
    """
    recipe = recipe.sized()
    settings, batch = recipe.fit, recipe.live.batch
    epochs = settings.epochs
    steps = max(samples(recipe, corpus) // batch // epochs, 1)
    callback = Epochs(
        folder,
        corpus.validation(),
        epochs,
        steps,
        batch,
        earliest=eased(epochs, recipe.live),
        patience=settings.patience,
        on_epoch=on_epoch,
    )
    keras.utils.set_random_seed(settings.seed)
    model = callback.resume()
    if model is None:
        model = _compiled(recipe, corpus.filters(), steps * epochs, weights)
    if not (callback.rows and callback.done):
        batches = corpus.batches(
            recipe.live, settings.seed, steps * epochs, steps * callback.first
        )
        with unwrapped():
            if workers:
                policy = precision(settings.precision)
                build = partial(_model, recipe, corpus.filters(), policy)
                shares.fit(model, build, _loss(recipe), workers, batches, callback)
            else:
                model.fit(
                    batches,
                    initial_epoch=callback.first,
                    epochs=epochs,
                    steps_per_epoch=steps,
                    shuffle=False,
                    verbose=0,
                    callbacks=[callback],
                )
    history = pd.DataFrame(callback.rows).astype({VAL_AREA: float})
    return Trained(
        _finished(recipe, corpus, callback.checkpoint(callback.best)),
        history,
        callback.best,
        callback.core_seconds,
        len(callback.rows) * steps * batch,
    )


def _finished(recipe, corpus, path):
    """The classifier with the weights of a checkpoint, computing in float32.

    Training may round to bfloat16; what is kept answers alike on every machine.
    """
    model = network(recipe.model, recipe.frontend, corpus.filters())
    model.set_weights(pupil(keras.models.load_model(path)).get_weights())
    return classifier(model, corpus.asd)


def score(model, windows):
    """Logits of raw strain, by the model's own whitening.

    What is known of the moment takes the place of the fitted ASD.

    Args:
        model: a classifier.
        windows: a `corpus.Windows`.

    Returns:
        DataFrame: the windows' table with a column logit.
    """
    if windows.known:
        model = informed(model)
    made = ((len(chunk[0]), chunk) for chunk in windows.chunks(PREDICT_BATCH))
    chunks = progress(made, len(windows), f"score {windows.name}")
    inputs = (list(chunk) if windows.known else chunk[0] for chunk in chunks)
    return windows.table.assign(logit=predict(model, inputs))
