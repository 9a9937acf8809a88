"""The gate is a function of two tables."""

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.judging.gate import decide


def scored(strength, seed, count=600):
    """Predictions of the gate split; all models see the same evidence."""
    truth = np.random.default_rng(0)
    labels = truth.integers(2, size=count)
    evidence = truth.normal(size=count) + 1.2 * labels
    own = np.random.default_rng(seed).normal(size=count)
    columns = {"id": [f"{i:010x}" for i in range(count)], "split": "gate"}
    columns |= {"label": labels, "logit": strength * evidence + own}
    return pd.DataFrame(columns | {"network_snr": np.nan})


def test_the_first_candidate_passes():
    decision = decide(scored(0.3, 2), None)
    assert decision.passed and decision.difference is None
    assert decision.reason == "there is no champion"


def test_only_what_is_better_beyond_chance_passes():
    better, worse = scored(3.0, 1), scored(0.3, 2)
    decision = decide(better, worse)
    assert decision.passed and decision.difference.p < 0.05
    assert decision.reason.startswith("it beats the champion on the gate split")
    assert str(decision.difference) in decision.reason
    assert not decide(worse, better).passed
    assert not decide(better, better).passed
    # Better, but not by more than chance would have it.
    near = better.assign(logit=better["logit"] + 0.02 * scored(0.0, 3)["logit"])
    for pair in ((near, better), (better, near)):
        assert not decide(*pair).passed


def test_other_windows_are_refused():
    better, worse = scored(3.0, 1), scored(0.3, 2)
    with pytest.raises(InputError, match="same windows"):
        decide(better, worse[1:])
