"""The job that turns a pile of runs into one served model, on evidence."""

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path

from gwres.data.corpus import open_corpus
from gwres.errors import InputError
from gwres.jobs.candidate import Candidate
from gwres.jobs.publish import judge, publish
from gwres.judging import gate, predictions
from gwres.judging.gate import Decision
from gwres.judging.metrics import Difference, Interval
from gwres.pages import notes, report
from gwres.serve import registered
from gwres.tracking import log, registry, runs, tags, ui
from gwres.tracking.registry import CHAMPION, ENSEMBLE

logger = logging.getLogger(__name__)


def choose(members, wanted, split_hash):
    """The best of each depth and front end, and of these those that are wanted.

    Args:
        members: list of `Member`.
        wanted: "all", how many of the best, or names such as
            "resnet34-waveform,resnet18-waveform".
        split_hash: that of the runs to choose from, or "any" if they agree.

    Returns:
        list of `Member`, the best first.

    Raises:
        InputError: runs with different split hashes, or members that there are not.
    """
    hashes = sorted({one.split_hash for one in members})
    if split_hash != "any":
        members = [one for one in members if one.split_hash == split_hash]
        if not members:
            held = ", ".join(hashes)
            raise InputError(f"split_hash must be one of {held}; received {split_hash}")
    elif len(hashes) > 1:
        listed = "; ".join(
            f"{one}: {', '.join(sorted(m.id for m in members if m.split_hash == one))}"
            for one in hashes
        )
        raise InputError(
            "expected runs with the same split hash, for only they can be compared; "
            f"received {listed} (split_hash=... chooses)"
        )
    best = {}
    # Of equals the one with the lesser id, so that every call decides alike.
    for one in sorted(members, key=lambda one: (-one.score, one.id)):
        best.setdefault(one.kind, one)
    if wanted == "all":
        return list(best.values())
    if wanted.isdigit():
        if not 1 <= int(wanted) <= len(best):
            raise InputError(
                f"members must be from 1 to {len(best)}, for there are "
                f"{', '.join(best)}; received {wanted}"
            )
        return list(best.values())[: int(wanted)]
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in best or names.count(name) > 1:
            raise InputError(
                f"members must be all, a number, or some of {', '.join(best)}, each "
                f"once; received {wanted}"
            )
    return [one for kind, one in best.items() if kind in names]


def promote(
    members="all",
    metric=tags.VAL_AREA,
    experiment="own",
    split_hash="any",
    dry=False,
):
    """Choose members, stack them, and make the ensemble champion if it earns it.

    All that can be wrong is found before the registry is changed. What is changed is
    changed in such an order that a call after a kill ends as one without it: versions
    are found again by the runs they were made of.

    Args:
        members: see `choose`.
        metric: see `runs.finished`.
        experiment: see `runs.finished`.
        split_hash: see `choose`.
        dry: tell the decision and leave the registry as it is.

    Raises:
        InputError: no member, no stack split, different splits, files that are gone.
    """
    with registry.one_promotion():
        chosen = choose(runs.finished(experiment, metric), members, split_hash)
        candidate = Candidate([_with_model(one) for one in chosen])
        champion = registry.current()
        decision = _decide(candidate, champion)
        if not dry:
            _keep(candidate)
            candidate.register()
        evidence = {
            "promoted": decision.passed and not dry,
            "passed": decision.passed,
            "dry": dry,
            "reason": decision.reason,
            "difference": decision.difference and asdict(decision.difference),
            "champion": champion and int(champion.number),
            "metric": metric,
        } | candidate.evidence()
        _publish(candidate, evidence)
        if decision.passed and not dry:
            registry.move(candidate.version, champion)
        _tell(evidence)


def rollback():
    """Put the previous champion back; see `registry.rollback`."""
    with registry.one_promotion():
        new, old = registry.rollback()
    reason = f"version {old.number} was rolled back to version {new.number}"
    publish(
        lambda place: notes.rolled_back(
            ENSEMBLE,
            new.number,
            old.number,
            new.area,
            new.tags[tags.RUN],
            ui.command("promote", rollback="true"),
        ),
        named={tags.DECISION: "rolled back", tags.REASON: reason},
    )
    logger.info("%s: %s is version %s", reason, CHAMPION, new.number)


def _with_model(member):
    """A member with its model, whose files are there."""
    member = runs.with_model(member)
    registry.require_files(member.model_id, f"the model of run {member.id}")
    return member


def _keep(candidate):
    """Log the ensemble's predictions, which it needs when it is challenged.

    Before there is a version that names this run.
    """
    tables = {split: candidate.predictions(split) for split in candidate.judged}
    with tempfile.TemporaryDirectory() as folder:
        predictions.write(Path(folder), tables)
        log.files(folder)


def _decide(candidate, champion):
    """The gate's `Decision`; that of a champion or of what was put down is known."""
    version, against = candidate.version, None
    if champion:
        what = f"the champion, version {champion.number}"
        registry.require_files(champion.model_id, what)
        if version and version.number == champion.number:
            return Decision(False, f"version {version.number} is the champion already")
        against = _challenged(champion, candidate)
    if version:
        what = f"the ensemble of these members, version {version.number}"
        registry.require_files(version.model_id, what)
    if version and tags.ROLLED_BACK in version.tags:
        when = version.tags[tags.ROLLED_BACK]
        return Decision(False, f"version {version.number} was rolled back at {when}")
    return gate.decide(candidate.predictions("gate"), against)


def _challenged(champion, candidate):
    """The champion's predictions of the candidate's gate split.

    They are those that its promotion logged, if the split is the same; if not, as
    after a change of data, it scores the candidate's windows now.
    """
    first = candidate.considered[0]
    if champion.tags[tags.SPLIT_HASH] == first.split_hash:
        return runs.predictions(champion.tags[tags.RUN], "gate")
    logger.info("the champion was judged on other windows: it scores those of the gate")
    return registered.score(champion.uri, open_corpus(first.data).judged["gate"])


def _publish(candidate, evidence):
    """Log the decision, its numbers, and a report on the holdout."""
    metrics = {tags.GATE_AREA: evidence["gate"]["roc_auc"]["value"]}
    if evidence["difference"]:
        metrics[tags.GATE_DIFFERENCE] = evidence["difference"]["value"]
        metrics[tags.GATE_P] = evidence["difference"]["p"]
    state = "dry run" if evidence["dry"] else "kept"
    state = "promoted" if evidence["promoted"] else state
    named = {tags.DECISION: state, tags.REASON: evidence["reason"]}
    warnings = ["holdout has not both signals and noise: no report"]
    if "holdout" in candidate.judged:
        holdout = candidate.predictions("holdout")
        judgement = judge(holdout)
        warnings, named = judgement.warnings, named | judgement.named
        # That of the same windows, as a member's run has it.
        metrics |= judgement.metrics | {
            name: value
            for name, value in candidate.considered[0].run.metrics.items()
            if name.startswith("matched_filter/") or name == tags.EVIDENCE_AREA
        }

    def write(out):
        (out / "decision.json").write_text(json.dumps(evidence, indent=1))
        if "holdout" in candidate.judged:
            title = f"{ENSEMBLE}, version {evidence['version'] or 'not registered'}"
            report.write(out, title, holdout, lists=_lists(evidence))

    undo = ui.command("promote", rollback="true")
    publish(
        lambda place: notes.promoted(
            ENSEMBLE, evidence, place, undo, candidate.classical
        ),
        write=write,
        metrics=metrics,
        warnings=warnings,
        named=named,
    )


def _lists(evidence):
    """The evidence as the report lists it: heading to name to value."""
    lists = {
        "Decision": {
            "Passed the gate": "yes" if evidence["passed"] else "no",
            "Why": evidence["reason"],
            "Champion until now": evidence["champion"] or "none",
        },
        "Members": {
            f"{one['kind']}, run {one['run']}": f"weight {one['weight']:.4f}, "
            f"{evidence['metric']} {one['score']:.4f}"
            for one in evidence["members"]
        },
        "Stack": {
            "Kind": evidence["stack"]["kind"],
            "Why": evidence["stack_reason"],
            "Intercept": evidence["stack"]["intercept"],
            "Pull towards the average": evidence["stack"]["pull"],
        },
    }
    for kind, area in evidence["stack_unseen"].items():
        lists["Stack"][f"ROC-AUC of {kind} on rows not fitted"] = Interval(**area)
    for split in ("gate", "holdout"):
        if split in evidence:
            lists[f"On the split {split}"] = _judged(evidence[split])
    return lists


def _judged(rows):
    """What one split shows, by name."""
    listed = {"Windows": rows["windows"], "ROC-AUC": Interval(**rows["roc_auc"])}
    for name, less in rows["less"].items():
        difference = Difference(**less)
        listed[f"ROC-AUC less that of {name}"] = f"{difference}, p = {less['p']:.2g}"
    return listed


def _tell(evidence):
    """Say on the screen what was decided, and why."""
    for heading, rows in _lists(evidence).items():
        for name, value in rows.items():
            logger.info("%s: %s: %s", heading.lower(), name, value)
    version = evidence["version"] or "that would be registered"
    now = "is champion" if evidence["promoted"] else "stays without an alias"
    if evidence["dry"]:
        now = "would be champion" if evidence["passed"] else "would have no alias"
    if evidence["version"] and evidence["version"] == evidence["champion"]:
        now = "stays champion"
    logger.info("%s version %s %s: %s", ENSEMBLE, version, now, evidence["reason"])
