"""An ensemble before it is promoted: members, the stack fitted to them, its scores."""

from dataclasses import asdict, replace

from gwres import cache
from gwres.judging import metrics, stacker
from gwres.judging.predictions import area_of
from gwres.pages import notes
from gwres.pages.markdown import grid, model_link
from gwres.tracking import registry, runs, tags
from gwres.tracking.registry import ENSEMBLE


class Candidate:
    """Members, the stack fitted to them, and what it scores.

    Args:
        members: list of `runs.Member` with their models, the best first.

    Attributes:
        considered: the members that it was given.
        members: those whose weight is not 0, which alone are served.
        choice: the `stacker.Choice` for all that were considered.
        stack: the `Stack` of `members`.
        judged: split to `stacker.Rows`; without the holdout if that has not both
            signals and noise.
        key: a name for these members and weights: equal names, equal answers.
        version: the `registry.Version` of the ensemble, or None.
    """

    def __init__(self, members):
        self.considered = members
        self.judged = {"stack": _rows(members, "stack"), "gate": _rows(members, "gate")}
        # Whatever the holdout lacks is no reason against a member: it decides nothing.
        holdout = _predictions(members, "holdout")
        if all(set(table["label"]) == {0, 1} for table in holdout):
            self.judged["holdout"] = _rows(members, "holdout", holdout)
        self.choice = stacker.fit(self.judged["stack"])
        weights = self.choice.stack.weights
        self.members = [one for one, weight in zip(members, weights) if weight]
        self.stack = replace(
            self.choice.stack, weights=tuple(weight for weight in weights if weight)
        )
        rounded = [f"{w:.6g}" for w in (*self.stack.weights, self.stack.intercept)]
        self.key = cache.digest([[one.id for one in self.members], rounded])
        self.version = registry.version_of(ENSEMBLE, tags.ENSEMBLE, self.key)

    def predictions(self, split):
        """The ensemble's predictions table of a split."""
        return self.judged[split].predictions(self.choice.stack)

    def area(self, split):
        """ROC-AUC of the ensemble on a split, a `metrics.Interval`."""
        table = self.predictions(split)
        return metrics.roc_auc(table["label"], table["logit"])

    @property
    def _holdout(self):
        """ROC-AUC on the holdout, or None where there is none."""
        return self.area("holdout") if "holdout" in self.judged else None

    def beside(self, split):
        """The ensemble less what is simpler, in ROC-AUC on a split.

        Returns:
            dict of the simpler thing's name to a `metrics.Difference`.
        """
        rows = self.judged[split]
        ours = self.predictions(split)["logit"]
        simpler = {
            "the members' average": rows.logits.mean(axis=1),
            f"the best member, {self.considered[0].kind}": rows.logits[:, 0],
        }
        return {
            name: metrics.paired(rows.labels, ours, logits)
            for name, logits in simpler.items()
        }

    def register(self):
        """Register what is not registered yet: the members, then the ensemble."""
        registered = {one.id: registry.register(one) for one in self.considered}
        self.considered = list(registered.values())
        self.members = [registered[one.id] for one in self.members]
        self.version = self.version or self._join()
        about = notes.ensemble_model(ENSEMBLE, registry.CHAMPION, registry.PREVIOUS)
        registry.describe(self.version, about, self._card)

    def _join(self):
        """The new version of the ensemble, of the registered members."""
        members = [f"{one.name}/{one.version}" for one in self.members]
        named = {
            tags.ENSEMBLE: self.key,
            tags.MEMBERS: ", ".join(members),
            tags.SPLIT_HASH: self.members[0].split_hash,
            tags.STACK: self.stack.kind,
        }
        if area := self._holdout:
            named[f"{tags.HOLDOUT}roc_auc"] = area.value
            named[f"{tags.HOLDOUT}roc_auc_low"] = area.low
            named[f"{tags.HOLDOUT}roc_auc_high"] = area.high
        return registry.join(self.members, self.stack, named)

    def _card(self):
        """The description of the ensemble's version."""
        listed = [
            (model_link(f"models:/{one.name}/{one.version}"), one.kind, f"{weight:.4f}")
            for one, weight in zip(self.members, self.stack.weights)
        ]
        return notes.version(
            f"Stack of {len(listed)}: " + ", ".join(kind for _, kind, _ in listed),
            self._holdout,
            self.classical,
            runs.read(self.version.tags[tags.RUN]).place,
            [grid(["Member", "Network", "Weight"], listed)],
        )

    @property
    def classical(self):
        """The matched filter's ROC-AUC on the same holdout, as a member logged it.

        A `metrics.Interval`, or None where the ensemble has no holdout.
        """
        if "holdout" not in self.judged:
            return None
        return area_of(self.considered[0].run.metrics, "matched_filter")

    def evidence(self):
        """All that a decision rests on, as JSON-able values."""
        weights = dict(zip((one.id for one in self.members), self.stack.weights))
        return {
            "version": self.version and int(self.version.number),
            "members": [
                {
                    "model": one.name,
                    "version": one.version and int(one.version),
                    "run": one.id,
                    "experiment": one.run.experiment_id,
                    "kind": one.kind,
                    "score": one.score,
                    "weight": weights.get(one.id, 0.0),
                }
                for one in self.considered
            ],
            "stack": asdict(self.stack),
            "stack_reason": self.choice.reason,
            "stack_unseen": {k: asdict(v) for k, v in self.choice.unseen.items()},
        } | {
            split: {
                "windows": len(self.judged[split].table),
                "roc_auc": asdict(self.area(split)),
                "less": {k: asdict(v) for k, v in self.beside(split).items()},
            }
            for split in ("gate", "holdout")
            if split in self.judged
        }


def _predictions(members, split):
    return [runs.predictions(one.id, split) for one in members]


def _rows(members, split, tables=None):
    hashed = any(one.hashed for one in members)
    return stacker.rows(tables or _predictions(members, split), split, hashed)
