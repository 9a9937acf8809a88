"""The helpers fail when they should."""

import keras
import numpy as np
import pytest

from tests.contract import check_layer, close


@pytest.mark.parametrize(
    "wrong",
    [np.array([1.0, 2.03]), np.array([1.0, np.nan]), np.ones((2, 1)), np.float64(2)],
    ids=["off by 1.5%", "nan", "broadcastable shape", "scalar"],
)
def test_close_fails(wrong):
    right = np.array([1.0, 2.0])
    close(right * 1.005, right, rtol=0.01)
    with pytest.raises(AssertionError):
        close(wrong, right, rtol=0.01)


@keras.saving.register_keras_serializable("gwres_tests")
class Forgetful(keras.layers.Layer):
    """A layer that leaves its argument out of its config."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        """Multiply."""
        return x * self.factor

    def get_config(self):
        """What every layer has."""
        return super().get_config()


def test_check_layer_fails_on_an_argument_missing_from_the_config(tmp_path):
    with pytest.raises(AssertionError):
        check_layer(Forgetful(2.0), np.ones((1, 4), np.float32), tmp_path)
