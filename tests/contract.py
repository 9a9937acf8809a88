"""What every comparison and every layer of gwres is held to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

ROOT = Path(__file__).parent.parent


def close(actual, expected, rtol):
    """Assert equal shape, and no deviation above `rtol` of the largest expected value.

    A NaN anywhere fails.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{actual.shape} is not {expected.shape}"
    worst = np.abs(actual - expected).max() / np.abs(expected).max()
    assert worst <= rtol, f"off by {worst:.3g} of the peak, {rtol:g} is allowed"


def check_layer(layer, inputs, folder):
    """Assert what Keras and tf.data need of a layer.

    Its config makes it again, a saved model gives the same output, the graph and a
    tf.data pipeline give what eager execution does, in the dtype of its policy and
    the shape it announces.

    Args:
        layer: ready to be called.
        inputs: float32 array, a batch, or tuples of them.
        folder: where a model may be saved.
    """
    expected = layer(inputs)
    symbols = keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape), inputs)
    announced = layer.compute_output_spec(symbols)
    for known, found in zip(*map(keras.tree.flatten, (announced, expected))):
        assert keras.backend.standardize_dtype(found.dtype) == layer.compute_dtype
        assert tuple(known.shape) == tuple(found.shape)
    expected = _values(expected)

    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config

    entrances = keras.tree.map_structure(_entrance, inputs)
    model = keras.Model(entrances, layer(entrances))
    model.save(folder / "layer.keras")
    loaded = keras.saving.load_model(folder / "layer.keras")
    piped = tf.data.Dataset.from_tensors({"x": inputs}).map(lambda x: layer(x["x"]))
    for other in loaded(inputs), tf.function(layer)(inputs), next(iter(piped)):
        for found, known in zip(_values(other), expected, strict=True):
            close(found, known, 1e-5)


def _entrance(x):
    return keras.Input(batch_shape=x.shape)


def _values(outputs):
    """The arrays of a nested structure, float32."""
    flat = map(keras.ops.convert_to_numpy, keras.tree.flatten(outputs))
    return [x.astype(np.float32) for x in flat]


def awake(model):
    """The model with drawn weights in its head, whose zeros would hide the rest."""
    rng = np.random.default_rng(1)
    head = model.get_layer("logit")
    head.set_weights([rng.normal(0, 0.3, w.shape) for w in head.get_weights()])
    return model


def fresh(code, *arguments, check=True):
    """Run Python code in a process of its own that finds gwres.

    Returns:
        The finished process; its output is text.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert not check or done.returncode == 0, done.stderr
    return done
