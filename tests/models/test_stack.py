"""Several classifiers as one answer what each alone answers."""

import numpy as np
import pytest
from keras import ops

from gwres.errors import InputError
from gwres.layers.whiten import Whiten
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.models.stack import ALONE, Stack, joined
from tests.contract import awake, close


@pytest.fixture(scope="module")
def three(fitted):
    """Two front ends behind one ASD, and a third network behind another."""
    small = ResNet(16, width=2)
    return [
        classifier(awake(network(small, "waveform")), fitted),
        classifier(awake(network(small, "spectrogram")), fitted),
        classifier(awake(network(small, "waveform")), 1.1 * fitted),
    ]


def test_joined_answers_as_each_alone_and_whitens_once_for_each_asd(
    three, windows, monkeypatch
):
    strain = windows[:4].astype(np.float32)
    strain[1, 2] = 0
    alone = [ops.convert_to_numpy(model(strain))[:, 0] for model in three]
    calls, call = [], Whiten.call

    def counted(layer, inputs):
        calls.append(layer)
        return call(layer, inputs)

    monkeypatch.setattr(Whiten, "call", counted)
    found = ops.convert_to_numpy(joined(three)(strain))
    assert len(calls) == 2
    close(found, np.stack(alone, axis=1), 1e-5)
    # Shown to fail: the third, behind the first's whitening, answers otherwise.
    assert np.abs(found[:, 0] - found[:, 2]).max() > 1e-4


def test_a_stack_is_a_weighted_sum():
    stack = Stack("nonnegative", (0.5, 2.0), -1.0, 0.1)
    assert stack([[1.0, 2.0], [0.0, 0.0]]).tolist() == [3.5, -1.0]
    assert ALONE([[7.0]]).tolist() == [7.0]
    with pytest.raises(InputError, match=r"2 members.*\(1, 3\)"):
        stack([[1.0, 2.0, 3.0]])
