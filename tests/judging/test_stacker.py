"""The stacker: what it refuses, what it finds, and that it sees no trained row."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from gwres.data.split import split
from gwres.errors import InputError
from gwres.judging import stacker
from gwres.models.stack import Stack

IDS = [f"{i:010x}" for i in range(40_000)]
STACKED = [name for name in IDS if split(name) == "stack"]


def table(logits, labels, ids=None, name="stack"):
    ids = IDS[: len(labels)] if ids is None else ids
    return pd.DataFrame(
        {
            "id": ids,
            "split": name,
            "label": labels,
            "logit": logits,
            "network_snr": np.nan,
        }
    )


def drawn(noises, count=2000, seed=0):
    """Members' tables: the same evidence, seen through noise of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    evidence = rng.normal(size=count) + 1.5 * labels
    return [
        table(evidence + noise * rng.normal(size=count), labels) for noise in noises
    ]


def joined(noises, **options):
    return stacker.rows(drawn(noises, **options), "stack", hashed=False)


def test_rows_are_those_of_all_members_in_one_order():
    first, second = drawn([0.5, 1.0])
    found = stacker.rows([first.sample(frac=1, random_state=1), second], "stack", 0)
    assert found.table["id"].is_monotonic_increasing
    assert (found.logits[:, 0] == first["logit"]).all()
    assert (found.logits[:, 1] == second["logit"]).all()
    assert "logit" not in found.table


def test_a_row_that_a_member_trained_on_is_refused():
    """The leak, built twice: named as what it is, and under a false name."""
    ids = STACKED[:1000]
    first, second = drawn([0.5, 1.0], count=1000)
    first, second = first.assign(id=ids), second.assign(id=ids)
    assert len(stacker.rows([first, second], "stack", True).table) == 1000
    told = second.copy()
    told.loc[7, "split"] = "train"
    with pytest.raises(InputError, match=f"1 of 1,000 .*{ids[7]}.*trained on them"):
        stacker.rows([first, told], "stack", True)
    trained = next(name for name in IDS if split(name) == "train")
    hidden = [one.copy() for one in (first, second)]
    for one in hidden:
        one.loc[7, "id"] = trained
    with pytest.raises(InputError, match=f"1 of 1,000 .*{trained}"):
        stacker.rows(hidden, "stack", True)
    # A simulated id tells nothing of its split, so there the column alone counts.
    assert len(stacker.rows(hidden, "stack", False).table) == 1000


def test_rows_refuse_what_does_not_belong_together():
    first, second = drawn([0.5, 1.0])
    with pytest.raises(InputError, match="split gate.*2,000 of 2,000"):
        stacker.rows([first, second], "gate", False)
    with pytest.raises(InputError, match="1 ids are only in the first"):
        stacker.rows([first, second[1:]], "stack", False)
    with pytest.raises(InputError, match="split stack; received none"):
        stacker.rows([first[:0]], "stack", False)


def test_weights_are_those_of_logistic_regression():
    """Without a pull, scikit-learn's unpenalised fit; with a great one, the average."""
    found = joined([0.5, 1.0, 2.0])
    x, y = found.logits, found.labels
    ours = stacker.weigh(x, y, "logistic", 0.0)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x, y)
    assert ours.weights == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)
    pulled = stacker.weigh(x, y, "logistic", 1e6)
    assert pulled.weights == pytest.approx([1 / 3] * 3, abs=1e-4)


def test_nonnegative_weights_shut_out_a_member_that_would_be_turned_round():
    first, second = drawn([0.5, 0.5])
    rng = np.random.default_rng(9)
    copy = first.assign(logit=first["logit"] + 0.1 * rng.normal(size=len(first)))
    worse = second.assign(logit=-second["logit"])
    found = stacker.rows([first, copy, worse], "stack", False)
    free = stacker.weigh(found.logits, found.labels, "logistic", 0.0)
    held = stacker.weigh(found.logits, found.labels, "nonnegative", 0.0)
    assert free.weights[2] < -0.1
    assert held.weights[2] == 0
    assert min(held.weights) >= 0
    # SciPy's bounded search finds no lower loss, and the same place.
    x, y = np.column_stack([found.logits, np.ones(len(found.logits))]), found.labels
    reference = minimize(
        lambda w: np.mean(np.logaddexp(0, x @ w) - y * (x @ w)),
        [0.3, 0.3, 0.3, 0.0],
        bounds=[(0, None)] * 3 + [(None, None)],
        method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": 1e-9},
    )
    assert [*held.weights, held.intercept] == pytest.approx(reference.x, abs=1e-3)


def test_the_default_is_kept_unless_another_is_shown_to_be_better():
    fitted = stacker.fit(joined([0.5, 0.6]))
    assert fitted.stack.kind == "nonnegative"
    assert "no other kind does better" in fitted.reason
    assert set(fitted.unseen) == set(stacker.KINDS)
    # A member that is right when it is turned round: only free weights can use it.
    first, second = drawn([3.0, 0.3])
    turned = second.assign(logit=-second["logit"])
    fitted = stacker.fit(stacker.rows([first, turned], "stack", False))
    assert fitted.stack.kind == "logistic"
    assert fitted.stack.weights[1] < 0
    assert "it beats nonnegative by" in fitted.reason


def test_rows_that_are_judged_are_not_those_that_were_fitted():
    """On labels of pure chance, logits of unseen rows show none of the fit's luck."""
    rng = np.random.default_rng(3)
    labels = np.tile([0, 1], 30)
    members = [table(rng.normal(size=60), labels) for _ in range(12)]
    found = stacker.rows(members, "stack", False)
    lucky = stacker.weigh(found.logits, found.labels, "logistic", 0.0)
    seen = stacker.metrics.roc_auc(labels, lucky(found.logits)).value
    assert seen > 0.7
    assert stacker.fit(found).unseen["logistic"].value < 0.65


def test_fit_is_the_same_every_time_and_for_any_order_of_rows():
    tables = drawn([0.5, 1.0], count=400)
    one = stacker.fit(stacker.rows(tables, "stack", False)).stack
    shuffled = [t.sample(frac=1, random_state=5) for t in tables]
    assert stacker.fit(stacker.rows(shuffled, "stack", False)).stack == one


def test_where_no_member_tells_anything_the_average_is_left():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 200)
    wrong = table(-3.0 * labels + rng.normal(size=400), labels)
    stack = stacker.weigh(wrong[["logit"]].to_numpy(), labels, "nonnegative", 0.0)
    assert stack.weights == (0.0,)


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="10 signals and 10 noise windows"):
        stacker.fit(joined([0.5], count=12))


def test_a_stack_is_plain_numbers(tmp_path):
    stack = stacker.fit(joined([0.5, 1.0], count=200)).stack
    stack.write(tmp_path / "stack.json")
    assert Stack.read(tmp_path / "stack.json") == stack
    logits = np.array([[1.0, 2.0]])
    expected = stack.weights[0] + 2 * stack.weights[1] + stack.intercept
    assert stack(logits) == pytest.approx([expected])
    with pytest.raises(InputError, match="logits of 2 members"):
        stack(np.ones((3, 1)))


COUNT = 4000


def member(seed, noise):
    """Predictions of two splits: the same truth, each member with its own errors."""
    tables = {}
    for place, name in enumerate(("stack", "holdout")):
        labels = np.random.default_rng(place).integers(2, size=COUNT)
        own = np.random.default_rng([seed, place]).normal(size=COUNT)
        ids = [f"{name}{i}" for i in range(COUNT)]
        tables[name] = table(2 * labels - 1 + noise * own, labels, ids, name)
    return tables


@pytest.fixture(scope="module")
def members():
    return {"good": member(1, 1.5), "fair": member(2, 2.5)}


def area(rows):
    return stacker.metrics.roc_auc(rows["label"], rows["logit"]).value


def test_together_they_beat_the_best_by_what_independent_errors_allow(members):
    judged = stacker.together(members, hashed=False)
    best = area(members["good"]["holdout"])
    # Two scores of deviations 1.5 and 2.5 weighed by 1/variance: 1.286.
    ideal = area(member(3, 1.286)["holdout"])
    assert area(judged["stacked"]) > best + 0.01
    assert area(judged["stacked"]) == pytest.approx(ideal, abs=0.015)
    assert area(judged["stacked"]) > area(judged["mean of logits"])


def test_the_stack_of_all_sees_the_stack_split_alone(members):
    before = stacker.together(members, False)["stacked"]["logit"]

    def told_otherwise(split):
        turned = {}
        for name, tables in members.items():
            other = tables[split].assign(label=1 - tables[split]["label"])
            turned[name] = tables | {split: other}
        return stacker.together(turned, False)["stacked"]["logit"]

    np.testing.assert_array_equal(told_otherwise("holdout"), before)
    assert np.abs(told_otherwise("stack") - before).max() > 0.1


def test_a_leak_is_refused_wherever_members_are_stacked(members):
    """The experiments' stack refuses what the promotion's does."""
    ids = [name for name in IDS if split(name) == "stack"]
    ids += [name for name in IDS if split(name) == "train"]
    leaky = {
        name: tables | {"stack": tables["stack"].assign(id=ids[:COUNT])}
        for name, tables in members.items()
    }
    with pytest.raises(InputError, match="a member may have trained on them"):
        stacker.together(leaky, hashed=True)
    assert set(stacker.together(leaky, hashed=False)) == {"mean of logits", "stacked"}


def test_members_of_other_windows_are_not_stacked(members):
    other = member(4, 1.0)
    other["holdout"] = other["holdout"].assign(id=[f"x{i}" for i in range(COUNT)])
    with pytest.raises(InputError, match="predictions of the same windows"):
        stacker.together(members | {"other": other}, False)


def test_too_few_rows_leave_the_average_alone(members):
    few = {
        name: tables | {"stack": tables["stack"].head(12)}
        for name, tables in members.items()
    }
    assert set(stacker.together(few, False)) == {"mean of logits"}
