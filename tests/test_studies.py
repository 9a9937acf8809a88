"""Figures of a study."""

import numpy as np
import pandas as pd
import pytest

from gwres import studies
from gwres.errors import InputError

TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3, 4],
        "state": ["complete", "pruned", "complete", "running", "complete"],
        "value": [0.7, 0.8, 0.75, np.nan, 0.72],
        "learning_rate": [1e-3, 1e-2, 2e-2, 1e-3, 5e-3],
        "dropout": [0.0, 0.1, 0.2, 0.3, 0.1],
    }
)


def line(axis, name):
    handles, labels = axis.get_legend_handles_labels()
    return handles[labels.index(name)]


def test_course_keeps_the_best_complete_trial():
    (axis,) = studies.course(TRIALS.sample(frac=1, random_state=0)).axes
    best = line(axis, "best so far")
    assert list(best.get_xdata()) == [0, 1, 2, 4]
    # The pruned trial's higher value is not one that a study may take.
    assert list(best.get_ydata()) == [0.7, 0.7, 0.75, 0.75]
    assert list(line(axis, "pruned").get_ydata()) == [0.8]


def test_slices_have_a_panel_per_setting():
    rate, dropout = studies.slices(TRIALS).axes
    assert (rate.get_xlabel(), dropout.get_xlabel()) == ("learning_rate", "dropout")
    assert rate.get_xscale() == "log" and dropout.get_xscale() == "linear"
    assert list(line(rate, "complete").get_xdata()) == [1e-3, 2e-2, 5e-3]


def test_importance_is_sorted():
    shares = {"a": 0.2, "b": 0.7, "c": 0.1}
    (axis,) = studies.importance(shares).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["c", "a", "b"]
    assert [bar.get_width() for bar in axis.patches] == [0.1, 0.2, 0.7]


def test_nothing_to_draw_is_refused():
    none = TRIALS.assign(value=np.nan)
    for draw in (studies.course, studies.slices):
        with pytest.raises(InputError, match="needs trials with a value; received 5"):
            draw(none)
    with pytest.raises(InputError, match="importance needs settings"):
        studies.importance({})
