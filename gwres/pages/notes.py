"""What MLflow's pages say, in Markdown: notes of runs, descriptions of models."""

from gwres.judging import predictions
from gwres.judging.metrics import Difference, Interval
from gwres.pages import searched as page
from gwres.pages.markdown import (
    CHART,
    QUERY,
    address,
    grid,
    joined,
    model_link,
    pictures,
)
from gwres.pages.plots import MATCHED_FILTER
from gwres.pages.report import difference, edges, verdict
from gwres.tracking.tags import CORE_SECONDS, PARAMETERS, SPEED

PLOTS = ("roc", "sensitivity")
LOUDEST = 5  # candidates of a search
ROWS = 30  # of a table, the most that a tag of MLflow's holds beside the rest
TAKES = (
    "Takes strain of shape (n, 3, 4096): H1, L1 and V1, 2 s at 2048 Hz, a row of zeros "
    "for a missing detector. Answers with logit, probability and the detectors used."
)


def trained(title, table, classical, place, cost, command, added="", study=""):
    """The note of a finished training.

    Args:
        title: what was trained.
        table: predictions of one split.
        classical: dict of name to the same windows as the classical side scores them,
            the matched filter among it.
        place: (experiment id, run id).
        cost: dict of the metrics `cost/*`.
        command: words that train the same network again.
        added: what `report.added_to` says.
        study: note of the study that chose the settings, or "".

    Returns:
        Markdown.
    """
    return joined(
        [
            f"### {title}",
            *_beside(table, classical, added),
            f"**Cost** {cost[CORE_SECONDS]:,.0f} core-seconds of training, "
            f"{cost[SPEED]:,.0f} windows per core-second, {cost[PARAMETERS]:,.0f} "
            "parameters.",
            _report(place, "figures, loudest misses and false alarms"),
            study,
            f"**The same training again**\n\n```\n{command}\n```",
            _drawn(table, place),
        ]
    )


def pretrained(rows, folder):
    """The note of a pretraining.

    Args:
        rows: list of dict, one for each network.
        folder: where the weights are.

    Returns:
        Markdown.
    """
    return joined(
        [
            f"### Weights of {len(rows)} networks",
            grid(list(rows[0]), [list(row.values()) for row in rows]),
            f"Written to `{folder}`. `-P init=pretrained` begins with those of the "
            "package.",
        ]
    )


def judged(title, table, classical, place, added=""):
    """The note of a model that was judged.

    Args:
        title: the model's name.
        table: predictions of one split.
        classical: as for `trained`.
        place: (experiment id, run id).
        added: as for `trained`.

    Returns:
        Markdown.
    """
    return joined(
        [
            f"### {title}",
            *_beside(table, classical, added),
            _report(place, "figures, loudest misses and false alarms"),
            _drawn(table, place),
        ]
    )


def compared(tables, pairs, place):
    """The note of several models on the same windows.

    Args:
        tables: dict of name to predictions of one split; one will do.
        pairs: as `predictions.differences` gives them.
        place: (experiment id, run id).

    Returns:
        Markdown.
    """
    first = next(iter(tables.values()))
    areas = {
        name: predictions.ordered(table)[0]["roc_auc"] for name, table in tables.items()
    }
    best = max(areas, key=lambda name: areas[name].value)
    rows = [
        (pair.first, pair.second, difference(pair), f"{pair.p:.2g}")
        for pair in pairs.itertuples()
    ]
    return joined(
        [
            f"### {best if len(tables) == 1 else f'{len(tables)} models compared'}",
            f"**ROC-AUC {areas[best]}** on {len(first):,} "
            f"{first['split'].iloc[0]} windows"
            + (f": {best}, the highest." if rows else "."),
            grid(
                ["Model", "ROC-AUC"],
                [(model_link(name), area) for name, area in areas.items()],
            ),
            "**Differences** First less second, on the same windows; p-value of no "
            "difference (paired DeLong test)."
            if rows
            else "",
            grid(["First", "Second", "Difference", "p"], rows),
            _report(place, "all measures and ROC-AUC by SNR of each"),
            pictures(place[1], ["plots/roc.png"]),
        ]
    )


def answered(question, headline, table, place, figures=()):
    """The note of an experiment.

    Args:
        question: what it asks.
        headline: the answer so far in a sentence, or "".
        table: DataFrame of text, the table as it is read.
        place: (experiment id, run id).
        figures: paths of its PNG artifacts.

    Returns:
        Markdown.
    """
    rows = table.head(ROWS).to_numpy().tolist()
    left = len(table) - len(rows)
    return joined(
        [
            f"### {question}",
            headline,
            grid(list(table), rows),
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
        data: the folder or the file that was scored.
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
            f"**{windows - bad:,}** windows of `{data}` have the probability that "
            f"{model_link(uri)} gives them; **{bad:,}** could not be read.",
            f"**Files** {links}.",
        ]
    )


def searched(title, candidates, searched_s, place, command, injected=None):
    """The note of a search.

    Args:
        title: what was searched.
        candidates: as for `pages.searched.write`.
        searched_s: how much was searched, s.
        place: (experiment id, run id).
        command: words that search the same again.
        injected: as for `pages.searched.write`.

    Returns:
        Markdown.
    """
    loudest = candidates.head(LOUDEST).to_dict("records")
    rows = [
        (
            f"{row['time']:.2f}",
            page.utc(row["time"]),
            f"{row['statistic']:.4g}",
            row["detectors"],
            *page.rates(row),
        )
        for row in loudest
    ]
    left = len(candidates) - len(rows)
    drawn = {
        "statistic": searched_s > 0,
        "ifar": len(page.rated(candidates)),
        "candidates": len(candidates),
    }
    return joined(
        [
            f"### {title}",
            page.headline(candidates, searched_s),
            grid(
                ["GPS time", "UTC", "Statistic", "Detectors"]
                + ["False alarms per year", "One in", "p"],
                rows,
            ),
            f"{left:,} more candidates." if left else "",
            grid(page.REACHED, page.reached_rows(injected[1])) if injected else "",
            _report(place, "candidates, figures, what was cut and gated"),
            f"**The same search again**\n\n```\n{command}\n```",
            pictures(place[1], [f"plots/{name}.png" for name in drawn if drawn[name]]),
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


def packed(folder, counts, command):
    """The note of a packed folder.

    Args:
        folder: where it lies.
        counts: dict of split to number of windows.
        command: words that train on it.

    Returns:
        Markdown.
    """
    held = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return joined(
        [
            f"### {sum(counts.values()):,} windows packed",
            f"In `{folder}`: {held}. Those of train and validation are whitened; the "
            "strain of all that are judged lies beside them.",
            f"**Train on it**\n\n```\n{command}\n```",
        ]
    )


def study(name, table, shares):
    """What a study found.

    Args:
        name: the study's.
        table: as `study.table` gives it.
        shares: as `study.importance` gives them.

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
        listed = ", ".join(f"{setting} {share:.0%}" for setting, share in ranked)
        text += f" Importance of the settings: {listed}."
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
    listed = ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
    return f"Trial {number}, {state} after {len(scores)} epochs, {best}: {listed}."


def promoted(name, evidence, place, rollback, beside=None):
    """The note of a promotion.

    Args:
        name: of the registered ensemble.
        evidence: what `decision.json` holds.
        place: (experiment id, run id) of the promotion.
        rollback: words that put the champion before this one back.
        beside: the matched filter's holdout ROC-AUC, an `Interval`, or None.

    Returns:
        Markdown.
    """
    number, before = evidence["version"], evidence["champion"]
    splits = [split for split in ("gate", "holdout") if split in evidence]
    candidate = (
        model_link(f"models:/{name}/{number}") if number else f"{name}, unregistered"
    )
    champion = model_link(f"models:/{name}/{before}") if before else "none"
    return joined(
        [
            f"### {outcome(evidence)}: {evidence['reason']}",
            f"**Candidate** {candidate}. **Champion until now** {champion}.",
            f"**Matched filter** on the holdout {beside}." if beside else "",
            grid(
                ["Split", "Windows", "ROC-AUC", "Less the best member", "p"],
                [_split_row(split, evidence[split]) for split in splits],
            ),
            "**Members**",
            _members(evidence),
            f"**Stack** {evidence['stack']['kind']}: {evidence['stack_reason']}",
            f"**Files** [report.html]({address(place, 'report.html')}), "
            f"[decision.json]({address(place, 'decision.json')}).",
            # Without a champion before, there is none to put back.
            f"**Undo it**\n\n```\n{rollback}\n```"
            if evidence["promoted"] and before
            else "",
            pictures(place[1], ["plots/roc.png"]) if "holdout" in splits else "",
        ]
    )


def outcome(evidence):
    """What became of a candidate, in two words or three."""
    if evidence["dry"]:
        return "Dry run, passed" if evidence["passed"] else "Dry run, not passed"
    return "Promoted" if evidence["promoted"] else "Not promoted"


def rolled_back(name, new, old, area, run, again):
    """The note of a rollback.

    Args:
        name: of the registered ensemble.
        new: version that is champion now.
        old: version that was put down.
        area: holdout ROC-AUC of the new one, an `Interval`, or None.
        run: id of the run that made the new one.
        again: words that undo it.

    Returns:
        Markdown.
    """
    champion, down = (model_link(f"models:/{name}/{number}") for number in (new, old))
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


def member_model(kind):
    """The description of a member's registered model, such as gwres-resnet34-waveform.

    Args:
        kind: its depth and front end, such as resnet34-waveform.
    """
    return joined(
        [
            f"Networks `{kind}`, which tell whether two seconds of strain hold the "
            "merger of a binary black hole. Each version is one training run that "
            "a promotion has taken into its choice; its page has its ROC-AUC and a "
            "link to the run.",
            TAKES,
        ]
    )


def ensemble_model(name, served, back):
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
        area: holdout ROC-AUC, an `Interval`, or None.
        beside: the matched filter's on the same windows, an `Interval`, or None.
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


def _beside(ours, classical, added):
    """What predictions show beside the classical side's of the same windows."""
    rows = f"{len(ours):,} {ours['split'].iloc[0]} windows"
    if ours["label"].nunique() < 2:
        return [f"{rows} of one class only: no ROC-AUC."]
    headline = _headline(ours, classical[MATCHED_FILTER], rows)
    return [headline, added and f"**Added** {added}", _bins(ours, classical)]


def _headline(ours, theirs, rows):
    """The areas and their difference, in a sentence each."""
    area, other = (predictions.ordered(table)[0]["roc_auc"] for table in (ours, theirs))
    less = predictions.compare(ours, theirs)
    return (
        f"**ROC-AUC {area}** on {rows}; the matched filter on the same: {other}. "
        f"Difference {less}, p = {less.p:.2g}. {verdict(less)}"
    )


def _bins(ours, classical):
    """ROC-AUC by network SNR, as a table; "" where no SNR is known."""
    same = zip(*map(predictions.by_snr, (ours, *classical.values())))
    rows = [
        (edges(bins[0]), f"{bins[0].count:,}", *(one.measure for one in bins))
        for bins in same
    ]
    heads = [name.capitalize() for name in classical]
    return grid(["Network SNR", "Signals", "ROC-AUC", *heads], rows)


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
    names = PLOTS if predictions.by_snr(table) else PLOTS[:1]
    return pictures(place[1], [f"plots/{name}.png" for name in names])


def _split_row(split, judged):
    """A row on a split: the ensemble, and what it has over its best member."""
    # The last of what is simpler is the best member, alone.
    *_, less = judged["less"].values()
    return (
        split,
        f"{judged['windows']:,}",
        Interval(**judged["roc_auc"]),
        Difference(**less),
        f"{less['p']:.2g}",
    )


def _members(evidence):
    """The members, with links to their pages and runs."""
    rows = [
        (
            one["kind"],
            f"{one['weight']:.4f}",
            f"{one['score']:.4f}",
            model_link(f"models:/{one['model']}/{one['version']}")
            if one["version"]
            else one["model"],
            f"[{one['run'][:8]}]({address((one['experiment'], one['run']))})",
        )
        for one in evidence["members"]
    ]
    return grid(["Member", "Weight", evidence["metric"], "Model", "Run"], rows)
