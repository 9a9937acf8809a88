"""What a run's page in MLflow says of it: a note in Markdown."""

from gwres import evaluate
from gwres.report import edges, show, verdict
from gwres.views import QUERY

PLOTS = ("roc", "sensitivity")


def finished(title, tables, place, cost, command, study=None):
    """The note of a finished training.

    Args:
        title: what was trained.
        tables: predictions of one split, by the network and by the matched filter.
        place: (experiment id, run id).
        cost: dict of the metrics `cost/*`.
        command: words that train the same network again.
        study: note of the study that chose the settings, or "".

    Returns:
        Markdown.
    """
    experiment, run = place
    ours, theirs = tables
    rows = f"{len(ours):,} {ours['split'].iloc[0]} windows"
    parts = [f"### {title}"]
    if ours["label"].nunique() == 2:
        parts += [_headline(ours, theirs, rows), _bins(ours, theirs)]
    else:
        parts.append(f"{rows} of one class only: no ROC-AUC.")
    parts += [
        f"**Cost** {cost['cost/train_core_seconds']:,.0f} core-seconds of training, "
        f"{cost['cost/windows_per_core_second']:,.0f} windows per core-second, "
        f"{cost['cost/parameters']:,.0f} parameters.",
        f"**Report** [report.html](#/experiments/{experiment}/runs/{run}"
        "/artifacts/report.html): figures, loudest misses and false alarms. "
        f"[All runs](#/experiments/{experiment}/runs?{QUERY}) beside this one.",
        study or "",
        f"**The same training again**\n\n```\n{command}\n```",
    ]
    if ours["label"].nunique() == 2:
        drawn = PLOTS if evaluate.by_snr(ours) else PLOTS[:1]
        parts += [
            f"![{name}](get-artifact?path=plots%2F{name}.png&run_uuid={run})"
            for name in drawn
        ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _headline(ours, theirs, rows):
    """The areas and their difference, in a sentence each."""
    area, other = (evaluate.ordered(table)[0]["roc_auc"] for table in (ours, theirs))
    difference = evaluate.compare(ours, theirs)
    return (
        f"**ROC-AUC {show(area)}** on {rows}; the matched filter on the same: "
        f"{show(other)}. Difference {show(difference)}, p = {difference.p:.2g}. "
        f"{verdict(difference)}"
    )


def _bins(ours, theirs):
    """ROC-AUC by network SNR, as a table; "" where no SNR is known."""
    pairs = list(zip(evaluate.by_snr(ours), evaluate.by_snr(theirs)))
    if not pairs:
        return ""
    rows = [
        f"| {edges(one)} | {one.count:,} | {show(one.measure)} | "
        f"{show(other.measure)} |"
        for one, other in pairs
    ]
    head = "| Network SNR | Signals | ROC-AUC | Matched filter |\n|---|---|---|---|\n"
    return head + "\n".join(rows)


def tuned(name, table, shares):
    """What a study found.

    Args:
        name: the study's.
        table: as `tune.table` gives it.
        shares: as `tune.importance` gives it.

    Returns:
        Markdown.
    """
    complete = table[table["state"] == "complete"]
    best = complete.loc[complete["value"].idxmax()]
    text = (
        f"**Study** `{name}`: {len(table)} trials, {len(complete)} of them complete; "
        f"trial {best['number']} is the best, val/roc_auc {best['value']:.4f}."
    )
    if shares:
        ranked = sorted(shares.items(), key=lambda one: -one[1])
        said = ", ".join(f"{setting} {share:.0%}" for setting, share in ranked)
        text += f" Importance of the settings: {said}."
    return text


def trial(number, state, settings, scores):
    """One line on a trial.

    Args:
        number: of the trial.
        state: complete, pruned or failed.
        settings: dict of what was tuned.
        scores: val/roc_auc by epoch.

    Returns:
        Markdown.
    """
    best = f"best val/roc_auc {max(scores):.4f}" if scores else "no epoch"
    said = ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
    return f"Trial {number}, {state} after {len(scores)} epochs, {best}: {said}."
