"""What a run's page in MLflow says of it: a note in Markdown."""

from gwres import evaluate
from gwres.markdown import address, grid, joined, model, pictures
from gwres.report import edges, show, verdict
from gwres.views import CHART, QUERY

PLOTS = ("roc", "sensitivity")
ROWS = 30  # of a table, the most that a tag of MLflow's holds beside the rest


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
    return joined(
        [
            f"### {title}",
            *_beside(*tables),
            f"**Cost** {cost['cost/train_core_seconds']:,.0f} core-seconds of "
            f"training, {cost['cost/windows_per_core_second']:,.0f} windows per "
            f"core-second, {cost['cost/parameters']:,.0f} parameters.",
            _report(place, "figures, loudest misses and false alarms"),
            study or "",
            f"**The same training again**\n\n```\n{command}\n```",
            _drawn(tables[0], place),
        ]
    )


def judged(title, tables, place):
    """The note of a model that was judged.

    Args:
        title: the model's name.
        tables: predictions of one split, by the model and by the matched filter.
        place: (experiment id, run id).

    Returns:
        Markdown.
    """
    return joined(
        [
            f"### {title}",
            *_beside(*tables),
            _report(place, "figures, loudest misses and false alarms"),
            _drawn(tables[0], place),
        ]
    )


def compared(tables, pairs, place):
    """The note of several models on the same windows.

    Args:
        tables: dict of name to predictions of one split; one will do.
        pairs: as `comparison.pairs` gives it.
        place: (experiment id, run id).

    Returns:
        Markdown.
    """
    first = next(iter(tables.values()))
    areas = {n: evaluate.ordered(rows)[0]["roc_auc"] for n, rows in tables.items()}
    best = max(areas, key=lambda name: areas[name].value)
    differences = [
        (
            *(one.first, one.second),
            f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})",
            f"{one.p:.2g}",
        )
        for one in pairs.itertuples()
    ]
    return joined(
        [
            f"### {best if len(tables) == 1 else f'{len(tables)} models compared'}",
            f"**ROC-AUC {show(areas[best])}** on {len(first):,} "
            f"{first['split'].iloc[0]} windows"
            + (f": {best}, the highest." if differences else "."),
            grid(
                ["Model", "ROC-AUC"],
                [(model(name), show(area)) for name, area in areas.items()],
            ),
            "**Differences** First less second, on the same windows; p of there being "
            "none (paired DeLong test)."
            if differences
            else "",
            grid(["First", "Second", "Difference", "p"], differences),
            _report(place, "all measures and ROC-AUC by SNR of each"),
            pictures(place[1], ["plots/roc.png"]),
        ]
    )


def answered(question, headline, found, place, figures=()):
    """The note of an experiment.

    Args:
        question: what it asks.
        headline: the answer so far in a sentence, or "".
        found: DataFrame of text, the table as it is read.
        place: (experiment id, run id).
        figures: paths of its PNG artifacts.

    Returns:
        Markdown.
    """
    rows = found.head(ROWS).to_numpy().tolist()
    left = len(found) - len(rows)
    return joined(
        [
            f"### {question}",
            headline,
            grid(list(found), rows),
            f"{left} more rows in the whole table." if left else "",
            f"**Tables** [table.html]({address(place, 'table.html')}) has every "
            f"measure, [table.csv]({address(place, 'table.csv')}) every digit. "
            f"{_all_runs(place)}.",
            pictures(place[1], figures),
        ]
    )


def predicted(uri, data, counts, place, files):
    """The note of a submission.

    Args:
        uri: of the model, such as models:/gwres-ensemble/1.
        data: the folder that was scored.
        counts: windows in all, and those that could not be read.
        place: (experiment id, run id).
        files: names of the artifacts.

    Returns:
        Markdown.
    """
    windows, bad = counts
    links = " and ".join(f"[{name}]({address(place, name)})" for name in files)
    return joined(
        [
            f"### {windows:,} windows scored",
            f"**{windows - bad:,}** windows of `{data}/test` have the probability that "
            f"{model(uri)} gives them; **{bad:,}** could not be read.",
            f"**Files** {links}.",
        ]
    )


def simulated(folder, population, counts, command):
    """The note of a data set.

    Args:
        folder: where it lies.
        population: name of that of its signals.
        counts: windows with labels, and without.
        command: words that train on it.

    Returns:
        Markdown.
    """
    train, test = counts
    return joined(
        [
            f"### {train + test:,} windows simulated",
            f"**{train:,}** with labels and **{test:,}** without, signals of the "
            f"population `{population}`, in `{folder}`: the layout of G2Net, with "
            "`truth.parquet` beside it.",
            f"**Train on it**\n\n```\n{command}\n```",
        ]
    )


def _beside(ours, theirs):
    """What predictions show beside the matched filter's of the same windows."""
    rows = f"{len(ours):,} {ours['split'].iloc[0]} windows"
    if ours["label"].nunique() < 2:
        return [f"{rows} of one class only: no ROC-AUC."]
    return [_headline(ours, theirs, rows), _bins(ours, theirs)]


def _report(place, holds):
    return (
        f"**Report** [report.html]({address(place, 'report.html')}): {holds}. "
        f"{_all_runs(place)} beside this one."
    )


def _all_runs(place):
    """Links to the experiment's table and charts."""
    runs = f"#/experiments/{place[0]}/runs?{QUERY}"
    return f"[All runs]({runs}) and [their charts]({runs}&{CHART})"


def _drawn(table, place):
    """The figures that the rows suffice for."""
    if table["label"].nunique() < 2:
        return ""
    names = PLOTS if evaluate.by_snr(table) else PLOTS[:1]
    return pictures(place[1], [f"plots/{name}.png" for name in names])


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
    pairs = zip(evaluate.by_snr(ours), evaluate.by_snr(theirs))
    rows = [
        (edges(one), f"{one.count:,}", show(one.measure), show(other.measure))
        for one, other in pairs
    ]
    return grid(["Network SNR", "Signals", "ROC-AUC", "Matched filter"], rows)


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
