"""The job that turns a pile of runs into one served model, on evidence."""

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path

from gwres import (
    cards,
    closing,
    evaluate,
    registry,
    report,
    runs,
    tracking,
    versions,
)
from gwres.candidate import Candidate
from gwres.data.corpus import corpus
from gwres.errors import InputError
from gwres.registry import CHAMPION, ENSEMBLE, ROLLED_BACK, Decision

log = logging.getLogger(__name__)


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
    metric="val/roc_auc",
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
    with registry.alone(), tempfile.TemporaryDirectory() as folder:
        found = choose(runs.finished(experiment, metric), members, split_hash)
        candidate = Candidate([runs.with_model(one) for one in found])
        champion = registry.current()
        decision = _decide(candidate, champion)
        out = Path(folder)
        if not dry:
            # Before the version that names this run, and needs them when challenged.
            tables = {name: candidate.predictions(name) for name in candidate.judged}
            evaluate.write(out, tables)
            tracking.files(out)
            candidate.register()
        evidence = {
            "promoted": decision.passed and not dry,
            "passed": decision.passed,
            "dry": dry,
            "reason": decision.reason,
            "difference": decision.difference and asdict(decision.difference),
            "champion": champion and int(champion.version),
            "metric": metric,
        } | candidate.evidence()
        _record(candidate, evidence, out)
        if decision.passed and not dry:
            registry.move(candidate.version, champion)
        _tell(evidence)


def rollback():
    """Put the previous champion back; see `registry.rollback`."""
    with registry.alone():
        new, old = registry.rollback()
    reason = f"version {old.version} was rolled back to version {new.version}"
    # The run that made it may be gone by now; its version's tags are not.
    area = {
        tag.replace("gwres.holdout_", "holdout/"): float(value)
        for tag, value in new.tags.items()
        if tag.startswith("gwres.holdout_")
    }
    text = cards.rolled_back(
        ENSEMBLE,
        new.version,
        old.version,
        evaluate.headline(area),
        new.tags["gwres.run_id"],
        closing.command("promote", rollback="true"),
    )
    tags = {"gwres.decision": "rolled back", "gwres.reason": reason}
    tracking.described(text, tags)
    log.info("%s: %s is version %s", reason, CHAMPION, new.version)


def _decide(candidate, champion):
    """The gate's `Decision`; that of a champion or of what was put down is known."""
    version, against = candidate.version, None
    if champion:
        uri = f"models:/{ENSEMBLE}/{champion.version}"
        runs.there(uri, f"the champion, version {champion.version}")
        if version and version.version == champion.version:
            return Decision(False, f"version {version.version} is the champion already")
        against = _champion(champion, uri, candidate)
    if version:
        uri = f"models:/{ENSEMBLE}/{version.version}"
        runs.there(uri, f"the ensemble of these members, version {version.version}")
    if version and ROLLED_BACK in version.tags:
        when = version.tags[ROLLED_BACK]
        return Decision(False, f"version {version.version} was rolled back at {when}")
    return registry.passes(candidate.predictions("gate"), against)


def _champion(champion, uri, candidate):
    """The champion's predictions of the candidate's gate split.

    They are those that its promotion logged, if the split is the same; if not, as
    after a change of data, it scores the candidate's windows now.
    """
    first = candidate.considered[0]
    if champion.tags["gwres.split_hash"] == first.split_hash:
        return runs.predictions(champion.tags["gwres.run_id"], "gate")
    log.info("the champion was judged on other windows: it scores those of the gate")
    return versions.scored(uri, corpus(first.data).judged["gate"])


def _record(candidate, evidence, out):
    """Log the decision, its numbers, and a report on the holdout."""
    (out / "decision.json").write_text(json.dumps(evidence, indent=1))
    found = {"gate/roc_auc": evidence["gate"]["roc_auc"]["value"]}
    if evidence["difference"]:
        found["gate/difference"] = evidence["difference"]["value"]
        found["gate/p"] = evidence["difference"]["p"]
    if "holdout" in candidate.judged:
        table = candidate.predictions("holdout")
        summary, notes = evaluate.summary(table)
        # That of the same windows, as a member's run has it.
        logged = candidate.considered[0].run.data.metrics
        found |= summary | {
            name: value
            for name, value in logged.items()
            if name.startswith("matched_filter/")
        }
        title = f"{ENSEMBLE}, version {evidence['version'] or 'not registered'}"
        report.report(out, title, table, lists=_lists(evidence))
    else:
        notes = ["holdout has not both signals and noise: no report"]
    tracking.result(found, notes, out)
    state = "dry run" if evidence["dry"] else "kept"
    state = "promoted" if evidence["promoted"] else state
    tags = {"gwres.decision": state, "gwres.reason": evidence["reason"]}
    if area := evaluate.headline(found):
        tags["gwres.roc_auc"] = area
    undo = closing.command("promote", rollback="true")
    beside = candidate.classical if "holdout" in candidate.judged else ""
    text = cards.decided(ENSEMBLE, evidence, tracking.place(), undo, beside)
    tracking.described(text, tags)


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
        lists["Stack"][f"ROC-AUC of {kind} on rows not fitted"] = _interval(area)
    for split in ("gate", "holdout"):
        if split in evidence:
            lists[f"On the split {split}"] = _judged(evidence[split])
    return lists


def _judged(found):
    rows = {"Windows": found["windows"], "ROC-AUC": _interval(found["roc_auc"])}
    for name, less in found["less"].items():
        rows[f"ROC-AUC less that of {name}"] = f"{_interval(less)}, p = {less['p']:.2g}"
    return rows


def _interval(found):
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def _tell(evidence):
    """Say on the screen what was decided, and why."""
    for heading, rows in _lists(evidence).items():
        for name, value in rows.items():
            log.info("%s: %s: %s", heading.lower(), name, value)
    version = evidence["version"] or "that would be registered"
    now = "is champion" if evidence["promoted"] else "stays without an alias"
    if evidence["dry"]:
        now = "would be champion" if evidence["passed"] else "would have no alias"
    if evidence["version"] and evidence["version"] == evidence["champion"]:
        now = "stays champion"
    log.info("%s version %s %s: %s", ENSEMBLE, version, now, evidence["reason"])
