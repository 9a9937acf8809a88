"""Stacks the logits of several members on rows that none of them trained on.

A stack is a weighted sum, fitted by logistic regression on the stack split, with its
weights drawn towards those of the plain average, 1/m. Cross-validation chooses how
strong the pull is; a second cross-validation around it chooses the kind of stack. The
rows that choose are never the rows that were fitted.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import StratifiedKFold

from gwres.data.split import split
from gwres.errors import InputError
from gwres.judging import metrics, predictions
from gwres.judging.metrics import SIGNIFICANCE
from gwres.models.stack import Stack

# Weights of 1/m and no intercept; weights of 0 and above; any weights.
KINDS = ("average", "nonnegative", "logistic")
# Its weights can be read as shares, and no member is turned against itself.
DEFAULT = "nonnegative"
PULLS = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
FOLDS = 5
LEAST = 2 * FOLDS  # signals, and noise windows, that a stack is fitted on


@dataclass(frozen=True)
class Rows:
    """One split as several members score it.

    Args:
        table: predictions table without the column logit, sorted by id.
        logits: float64 (n, members).
    """

    table: object
    logits: np.ndarray

    @property
    def labels(self):
        """(n,) of 0 and 1."""
        return self.table["label"].to_numpy()

    @property
    def enough(self):
        """Whether there are signals and noise windows enough to fit a stack on."""
        return min((self.labels == 1).sum(), (self.labels == 0).sum()) >= LEAST

    def predictions(self, stack):
        """The predictions table of a stack."""
        return self.table.assign(logit=stack(self.logits))


@dataclass(frozen=True)
class Choice:
    """The stack that `fit` chose, and why.

    Args:
        stack: the chosen one, fitted on all the rows.
        unseen: kind to ROC-AUC (`metrics.Interval`) of logits that each fold's stack
            gives the rows it was not fitted on.
        reason: why this kind, in words.
    """

    stack: Stack
    unseen: dict
    reason: str


def rows(tables, name, hashed):
    """Join the members' predictions of one split, refusing rows of any other.

    Args:
        tables: list of predictions tables, one for each member.
        name: the split, such as "stack".
        hashed: whether the ids are those of files, whose split is `split.split` of the
            id: it is then computed anew and not taken from the table.

    Returns:
        `Rows`.

    Raises:
        InputError: no rows, a row of another split, or members that scored other
            windows; see `predictions.align`.
    """
    for table in tables:
        if not len(table):
            raise InputError(f"expected rows of the split {name}; received none")
        strange = table["split"].to_numpy() != name
        if hashed:
            strange |= np.array([split(one) != name for one in table["id"]])
        if strange.any():
            raise InputError(
                f"expected rows of the split {name} alone; {strange.sum():,} of "
                f"{len(table):,} are of another, such as {table['id'][strange].iloc[0]}"
                ": a member may have trained on them"
            )
    first = tables[0].sort_values("id", ignore_index=True)
    aligned = [predictions.align(first, one)["logit"].to_numpy() for one in tables]
    return Rows(first.drop(columns="logit"), np.stack(aligned, axis=1))


def fit(stacked):
    """Choose and fit a stack.

    The default kind is kept unless another orders the rows that neither was fitted on
    better than it does, by the paired DeLong test.

    Args:
        stacked: `Rows` of the stack split.

    Returns:
        `Choice`.

    Raises:
        InputError: too few signals or noise windows for the folds.
    """
    x, y = stacked.logits, stacked.labels
    if not stacked.enough:
        raise InputError(
            f"a stack needs {LEAST} signals and {LEAST} noise windows in the "
            f"split stack; received {(y == 1).sum():,} and {(y == 0).sum():,}"
        )
    unseen = {kind: _out_of_fold(x, y, kind) for kind in KINDS}
    kind, reason = DEFAULT, "no other kind does better on rows it was not fitted on"
    best = 0.0
    for other in KINDS:
        gain = metrics.paired(y, unseen[other], unseen[DEFAULT])
        if gain.p < SIGNIFICANCE and gain.value > best:
            kind, best = other, gain.value
            reason = (
                f"on rows it was not fitted on it beats {DEFAULT} by {gain.value:.4f} "
                f"of ROC-AUC, p = {gain.p:.2g}"
            )
    stack = best_of(x, y, kind)
    if not any(stack.weights):
        stack = weigh(x, y, "average", 0.0)
        reason = f"the {kind} weights are all 0: no member tells signals from noise"
    areas = {kind: metrics.roc_auc(y, logits) for kind, logits in unseen.items()}
    return Choice(stack, areas, reason)


def together(members, hashed):
    """What all members say together, on the holdout.

    Their logits are averaged; and weighed by a stack that sees the stack split alone,
    where that has rows enough to fit one.

    Args:
        members: dict of name to dict of split to predictions, of the same windows.
        hashed: see `rows`.

    Returns:
        dict of "mean of logits" and "stacked" to predictions of the holdout.

    Raises:
        InputError: see `rows`.
    """
    judged = {
        name: rows([tables[name] for tables in members.values()], name, hashed)
        for name in ("stack", "holdout")
    }
    holdout = judged["holdout"]
    average = holdout.table.assign(logit=holdout.logits.mean(axis=1))
    said = {"mean of logits": average}
    if judged["stack"].enough:
        said["stacked"] = holdout.predictions(fit(judged["stack"]).stack)
    return said


def weigh(x, y, kind, pull):
    """Fit a stack of the kind.

    Minimises mean log(1 + exp(-s z)) + pull/2 |w - 1/m|^2 over w (and the intercept b),
    with z = x w + b and s = 1 for signals, -1 for noise. It is convex.

    Args:
        x: logits (n, members).
        y: labels (n,).
        kind: one of `KINDS`.
        pull: towards the average, from 0.

    Returns:
        `Stack`.
    """
    members = x.shape[1]
    even = np.full(members, 1 / members)
    if kind == "average":
        return Stack(kind, tuple(even.tolist()), 0.0, 0.0)
    z = np.column_stack([x, np.ones(len(x))])
    towards, held = np.append(even, 0.0), np.append(np.full(members, pull), 0.0)

    def loss(weights):
        logits, off = z @ weights, weights - towards
        value = np.mean(np.logaddexp(0, logits) - y * logits) + held @ off**2 / 2
        return value, z.T @ (expit(logits) - y) / len(y) + held * off

    lowest = 0.0 if kind == "nonnegative" else None
    bounds = [(lowest, None)] * members + [(None, None)]
    fitted = minimize(
        loss, towards, jac=True, bounds=bounds, method="L-BFGS-B", options=PRECISE
    )
    *weights, intercept = fitted.x.tolist()
    return Stack(kind, tuple(weights), intercept, pull)


# Until rounding ends it: equal rows in another order give equal weights to six digits.
PRECISE = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000, "maxcor": 30}


def best_of(x, y, kind):
    """Fit a stack with the pull that cross-validation finds best."""
    if kind == "average":
        return weigh(x, y, kind, 0.0)
    losses = [_held_out_loss(x, y, kind, pull) for pull in PULLS]
    # Of pulls that do equally well the strongest: it is the simplest stack.
    best = max(i for i, loss in enumerate(losses) if loss <= min(losses) + 1e-9)
    return weigh(x, y, kind, PULLS[best])


def _folds(y):
    return StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(y, y)


def _held_out_loss(x, y, kind, pull):
    total = 0.0
    for train, test in _folds(y):
        z = weigh(x[train], y[train], kind, pull)(x[test])
        total += np.sum(np.logaddexp(0, z) - y[test] * z)
    return total / len(y)


def _out_of_fold(x, y, kind):
    """Logits of every row by a stack that was chosen and fitted without it."""
    logits = np.zeros(len(y))
    for train, test in _folds(y):
        logits[test] = best_of(x[train], y[train], kind)(x[test])
    return logits
