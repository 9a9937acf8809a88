"""Trains a network with workers that each take a share of every batch.

A worker is given the weights and its rows of the batch, and gives back the gradients of
their mean loss. Their mean, weighted by rows, is the whole batch's: the clip by global
norm and the optimiser come after that, in the process that holds the model, the
optimiser's state and the checkpoints. Workers hold nothing that lasts longer than a
step, so one that is lost costs no more than its step.
"""

import logging
import os
import time
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import keras
import numpy as np
from keras import ops

from gwres.engine import work
from gwres.errors import InputError, within

logger = logging.getLogger(__name__)


def asked(recipe):
    """How many workers the user asks for, checked before anything is opened.

    Args:
        recipe: a `Recipe`.

    Returns:
        As `work.asked`.

    Raises:
        InputError: batch normalisation, fewer pairs of rows in a batch than workers,
            or what `work.room` refuses.
    """
    workers = work.asked()
    if workers is None:
        return None
    # Parts of a batch are pairs of rows.
    within("workers", workers, 1, recipe.live.batch // 2)
    if recipe.model.norm == "batch":
        raise InputError(
            f"norm must be none or group with workers={workers}, each of which would "
            "normalise its own rows of a batch; received batch"
        )
    # By itself this process would take all memory of the GPUs, which are the workers'.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    work.room(workers, _gpus())
    return workers


class Kept(keras.optimizers.Optimizer):
    """Keeps the gradients, in `gradients`, and leaves the weights as they are."""

    def __init__(self):
        super().__init__(learning_rate=0.0, name="kept")

    def build(self, variables):
        """Make a place for each variable's gradient."""
        if not self.built:
            super().build(variables)
            self.gradients = self.add_optimizer_variables(variables, "gradient")

    def update_step(self, gradient, variable, learning_rate):
        """Keep one variable's gradient."""
        self.assign(self.gradients[self._get_variable_index(variable)], gradient)


class Rows(keras.layers.Layer):
    """Dropout of some rows of a batch, with the draws that they have in the whole.

    Args:
        dropout: a Dropout.
        batch: rows of the whole batch.
    """

    def __init__(self, dropout, batch):
        super().__init__(dtype=dropout.dtype_policy)
        self.dropout, self.batch = dropout, batch

    def build(self, shape):
        """Make the variable that says which row of the batch comes first."""
        self.start = self.add_weight(
            name="start", shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def call(self, inputs, training=False):
        """Drop what the layer drops of the rows from `start` on."""
        if not training:
            return inputs
        whole = ops.ones((self.batch, *inputs.shape[1:]), inputs.dtype)
        rows = self.start + ops.arange(ops.shape(inputs)[0], dtype="int32")
        return inputs * ops.take(self.dropout(whole, training=True), rows, axis=0)

    def compute_output_shape(self, shape):
        """That of the inputs."""
        return shape


@dataclass(frozen=True)
class Share:
    """What a worker makes of its rows.

    Args:
        rows: how many.
        loss: their mean loss.
        gradients: of that loss, an array for each trainable variable.
        seeds: states of the random generators after the step, the same in each share.
        core_seconds: processor time, s.
    """

    rows: int
    loss: float
    gradients: list
    seeds: list
    core_seconds: float


def seeds(model):
    """The variables that say what a model's random layers draw next."""
    weights = {id(one) for one in model.non_trainable_weights}
    return [one for one in model.non_trainable_variables if id(one) not in weights]


def state(model):
    """What all workers are given: the weights, and states of the random generators."""
    return _arrays(model.trainable_variables), _arrays(seeds(model))


def worker(build, loss, batch):
    """What a worker makes once: the network, and the function of its shares.

    Args:
        build: function without arguments to the model, as `fit` trains it.
        loss: of its outputs and labels; None where the model has a loss of its own.
        batch: rows of a whole batch.

    Returns:
        Function of `state` and of one's own part, (first row, windows, labels), to
        `Share`.
    """

    def replaced(layer):
        dropout = isinstance(layer, keras.layers.Dropout)
        return Rows(layer, batch) if dropout else layer

    model = keras.models.clone_model(build(), clone_function=replaced)
    starts = [one.start for one in model.layers if isinstance(one, Rows)]
    optimizer = Kept()
    model.compile(optimizer, loss)
    optimizer.build(model.trainable_variables)

    def share(common, part):
        before = time.process_time()
        weights, drawn = common
        start, windows, labels = part
        _assign(model.trainable_variables, weights)
        _assign(seeds(model), drawn)
        _assign(starts, [start] * len(starts))
        told = model.train_on_batch(windows, labels, return_dict=True)
        return Share(
            len(windows),
            float(told["loss"]),
            _arrays(optimizer.gradients),
            _arrays(seeds(model)),
            time.process_time() - before,
        )

    return share


def _arrays(variables):
    return [ops.convert_to_numpy(one) for one in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def parts(windows, labels, workers):
    """A batch in as many parts as there are workers, as even as can be.

    Each has an even number of rows: TensorFlow 2.21 with oneDNN writes over memory that
    is not its own where a network is trained in float32 on an odd one.
    """
    ends = np.arange(workers + 1) * (len(windows) // 2) // workers * 2
    ends[-1] = len(windows)
    return [
        (start, windows[start:end], labels[start:end])
        for start, end in zip(ends, ends[1:])
    ]


def joined(shares):
    """The mean of shares, weighted by rows.

    Returns:
        (loss, list of gradients) of the whole batch.
    """
    total = sum(one.rows for one in shares)
    weights = [np.float32(one.rows / total) for one in shares]
    loss = sum(weight * one.loss for weight, one in zip(weights, shares))
    each = zip(*(one.gradients for one in shares))
    return float(loss), [
        sum(weight * gradient for weight, gradient in zip(weights, gradients))
        for gradients in each
    ]


def fit(model, build, loss, workers, batches, callback):
    """Train a model as `keras.Model.fit` does, with workers.

    Args:
        model: compiled keras.Model.
        build: as for `worker`.
        loss: as for `worker`.
        workers: how many.
        batches: iterable of windows and labels, beginning with the callback's `first`
            epoch.
        callback: an `Epochs`.
    """
    callback.set_model(model)
    update, batches = _update(model), iter(batches)
    first = next(batches)
    batches = chain([first], batches)
    made = partial(worker, build, loss, len(first[0]))
    logger.info("%d workers share each batch", workers)
    with work.crew(made, workers, _gpus()) as crew:
        for epoch in range(callback.first, callback.epochs):
            losses = []
            for step, (windows, labels) in enumerate(islice(batches, callback.steps)):
                callback.on_train_batch_begin(step)
                arrays = map(ops.convert_to_numpy, (windows, labels))
                shares = crew.step(state(model), parts(*arrays, workers))
                mean, gradients = joined(shares)
                update(gradients)
                _assign(seeds(model), shares[0].seeds)
                callback.core_seconds += sum(one.core_seconds for one in shares)
                losses.append(mean)
            callback.on_epoch_end(epoch, {"loss": np.mean(losses)})
            if callback.done:
                return


def _gpus():
    """The GPUs that this process sees, named as $CUDA_VISIBLE_DEVICES names them."""
    devices = keras.distribution.list_devices()
    count = len([one for one in devices if one.startswith("gpu")])
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(n) for n in range(count)])[:count]


def _update(model):
    """A function of gradients that makes the optimiser's step, as one graph."""
    optimizer, variables = model.optimizer, model.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        stepped = jax.jit(optimizer.stateless_apply)

        def update(gradients):
            held = [
                [one.value for one in some] for some in (optimizer.variables, variables)
            ]
            learned, moments = stepped(held[0], gradients, held[1])
            _assign(variables, learned)
            _assign(optimizer.variables, moments)

        return update

    import tensorflow as tf

    stepped = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    return lambda gradients: stepped([tf.constant(one) for one in gradients])
