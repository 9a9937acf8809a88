"""What the registry says of its models, and a promotion of its decision."""

from gwres.markdown import address, grid, joined, model, pictures
from gwres.metrics import Interval
from gwres.report import show

TAKES = (
    "Takes strain of shape (n, 3, 4096): H1, L1 and V1, 2 s at 2048 Hz, a row of zeros "
    "for a missing detector. Answers with logit, probability and the detectors used."
)


def network(depth):
    """The description of `gwres-resnet<depth>`."""
    return joined(
        [
            f"Residual networks of depth {depth} that tell whether two seconds of "
            "strain hold the merger of a binary black hole. Each version is one "
            "training run that a promotion has taken into its choice; its page has its "
            "ROC-AUC and a link to the run.",
            TAKES,
        ]
    )


def ensemble(name, served, back):
    """The description of the registered ensemble.

    Args:
        name: of the registered model.
        served: alias of the version that is served.
        back: alias of the version that was served before.

    Returns:
        Markdown.
    """
    return joined(
        [
            "Stacks of residual networks: the weighted sum of their logits, in one "
            f"model. `{served}` is what answers: the first, or one that beat the "
            "champion before it on the same windows of the split gate. "
            f"`{back}` is what a rollback puts back.",
            TAKES,
            f"```\nmlflow models serve -m models:/{name}@{served} "
            "--env-manager local -p 5001\n```",
        ]
    )


def version(title, area, beside, made, lines=()):
    """The description of a registered version.

    Args:
        title: what it is, such as resnet34-templates.
        area: holdout ROC-AUC with its interval as text, or "" for none.
        beside: the matched filter's on the same windows, as text, or "".
        made: (experiment id, run id) of the run that it comes from.
        lines: paragraphs that say more of it.

    Returns:
        Markdown.
    """
    classical = f"; the matched filter on the same windows: {beside}" if beside else ""
    return joined(
        [
            # MLflow's list of versions shows how it begins, without its markup.
            f"ROC-AUC {area} on the holdout{classical}."
            if area
            else "ROC-AUC unknown: no holdout of both signals and noise.",
            f"**{title}**",
            *lines,
            f"**Made by** run [{made[1]}]({address(made)}): note, figures, report and "
            "predictions.",
            pictures(made[1], ["plots/roc.png"]) if area else "",
        ]
    )


def decided(name, evidence, place, rollback, beside=""):
    """The note of a promotion.

    Args:
        name: of the registered ensemble.
        evidence: what `decision.json` holds.
        place: (experiment id, run id) of the promotion.
        rollback: words that put the champion before this one back.
        beside: the matched filter's holdout ROC-AUC as text, or "".

    Returns:
        Markdown.
    """
    found, number = evidence, evidence["version"]
    splits = [split for split in ("gate", "holdout") if split in found]
    candidate = model(f"models:/{name}/{number}") if number else f"{name}, unregistered"
    before = found["champion"]
    champion = model(f"models:/{name}/{before}") if before else "none"
    return joined(
        [
            f"### {verdict(evidence)}: {found['reason']}",
            f"**Candidate** {candidate}. **Champion until now** {champion}.",
            f"**Matched filter** on the holdout {beside}." if beside else "",
            grid(
                ["Split", "Windows", "ROC-AUC", "Less the best member", "p"],
                [_row(split, found[split]) for split in splits],
            ),
            "**Members**",
            _members(found),
            f"**Stack** {found['stack']['kind']}: {found['stack_reason']}",
            f"**Files** [report.html]({address(place, 'report.html')}), "
            f"[decision.json]({address(place, 'decision.json')}).",
            # Without a champion before, there is none to put back.
            f"**Undo it**\n\n```\n{rollback}\n```"
            if found["promoted"] and before
            else "",
            pictures(place[1], ["plots/roc.png"]) if "holdout" in splits else "",
        ]
    )


def verdict(evidence):
    """What became of a candidate, in two words or three."""
    if evidence["dry"]:
        return "Dry run, passed" if evidence["passed"] else "Dry run, not passed"
    return "Promoted" if evidence["promoted"] else "Not promoted"


def _row(split, found):
    """A row on a split: the ensemble, and what it has over its best member."""
    # The last of what is simpler is the best member, alone.
    *_, less = found["less"].values()
    return (
        split,
        f"{found['windows']:,}",
        show(Interval(**found["roc_auc"])),
        f"{less['value']:+.4f} ({less['low']:+.4f} to {less['high']:+.4f})",
        f"{less['p']:.2g}",
    )


def _members(evidence):
    """The members, with links to their pages and runs."""
    rows = [
        (
            one["kind"],
            f"{one['weight']:.4f}",
            f"{one['score']:.4f}",
            model(f"models:/{one['model']}/{one['version']}")
            if one["version"]
            else one["model"],
            f"[{one['run'][:8]}]({address((one['experiment'], one['run']))})",
        )
        for one in evidence["members"]
    ]
    return grid(["Member", "Weight", evidence["metric"], "Model", "Run"], rows)


def rolled_back(name, new, old, area, run, again):
    """The note of a rollback.

    Args:
        name: of the registered ensemble.
        new: version that is champion now.
        old: version that was put down.
        area: holdout ROC-AUC of the new one as text, or "".
        run: id of the run that made the new one.
        again: words that undo it.

    Returns:
        Markdown.
    """
    champion, down = (model(f"models:/{name}/{number}") for number in (new, old))
    return joined(
        [
            f"### Rolled back from version {old} to version {new}",
            f"**Champion** {champion}"
            + (f", holdout ROC-AUC {area}. " if area else ". ")
            + f"**Put down** {down}, which no promotion takes up again.",
            f"**Undo it**\n\n```\n{again}\n```",
            pictures(run, ["plots/roc.png"]) if area else "",
        ]
    )
