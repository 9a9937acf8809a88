"""Several classifiers as one answer what each alone answers."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from gwres.errors import InputError
from gwres.layers.evidence import Evidence
from gwres.layers.templates import Templates
from gwres.layers.whiten import Whiten
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.models.stack import SINGLE, Stack, joined
from tests.contract import awake, close


@pytest.fixture(scope="module")
def several(fitted, designed):
    """Three front ends behind one ASD, of one twice and once with other templates."""
    small = ResNet(16, width=2)
    prior = replace(designed.prior, alignment=0.0)
    other = replace(designed, prior=prior)
    made = {
        "waveform": network(small, "waveform", designed),
        "deeper": network(ResNet(18, width=2), "waveform", designed),
        "spectrogram": network(small, "spectrogram"),
        "templates": network(small, "templates", designed),
        "again": network(ResNet(18, width=2), "templates", designed),
        "other prior": network(small, "templates", other),
    }
    models = {name: classifier(awake(one), fitted) for name, one in made.items()}
    louder = classifier(awake(network(small, "waveform", designed)), 1.1 * fitted)
    return models | {"other ASD": louder}


def test_joined_answers_as_each_alone_and_measures_once(several, windows, monkeypatch):
    strain = windows[:4].astype(np.float32)
    strain[1, 2] = 0
    models = list(several.values())
    alone = [ops.convert_to_numpy(model(strain))[:, 0] for model in models]
    calls = Counter()

    def count(kind):
        call = kind.call

        def counted(layer, inputs, **known):
            calls[kind] += 1
            return call(layer, inputs, **known)

        monkeypatch.setattr(kind, "call", counted)

    for kind in (Whiten, Templates, Evidence):
        count(kind)
    together = joined(models)
    calls.clear()
    found = ops.convert_to_numpy(together(strain))
    # Templates: the fine and the coarse ones, and the coarse ones behind the other ASD.
    assert calls == {Whiten: 2, Templates: 4, Evidence: 2}
    close(found, np.stack(alone, axis=1), 1e-5)
    # Shown to fail: behind another's whitening or with its prior it answers otherwise.
    place = list(several).index
    for one, other in (("waveform", "other ASD"), ("templates", "other prior")):
        apart = found[:, place(one)] - found[:, place(other)]
        assert np.abs(apart).max() > 1e-4


def test_a_stack_is_a_weighted_sum():
    stack = Stack("nonnegative", (0.5, 2.0), -1.0, 0.1)
    assert stack([[1.0, 2.0], [0.0, 0.0]]).tolist() == [3.5, -1.0]
    assert SINGLE([[7.0]]).tolist() == [7.0]
    with pytest.raises(InputError, match=r"2 members.*\(1, 3\)"):
        stack([[1.0, 2.0, 3.0]])
