"""Figures say what they show, hold it, and leave no global state."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb

from gwres.errors import InputError
from gwres.judging import metrics
from gwres.pages import gallery, plots

from .test_gallery import CASES, FOUND, window


def predictions(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % 2
    snr = np.where(label, 5 * rng.random(rows) ** (-1 / 3), np.nan)
    logit = rng.normal(size=rows) - 1 + np.where(label, np.minimum(snr, 20) / 3, 0)
    return pd.DataFrame({"label": label, "logit": logit, "network_snr": snr})


TABLE, BASELINE = predictions(), predictions(seed=1)
BASELINE["network_snr"] = TABLE["network_snr"]
FILTERED = {plots.MATCHED_FILTER: BASELINE}
CLASSICAL = FILTERED | {plots.EVIDENCE: TABLE.assign(logit=BASELINE["logit"] * 2)}
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train/loss": [0.7, 0.6, 0.5],
        "val/loss": [0.68, np.nan, 0.6],
        "val/roc_auc": [0.6, np.nan, 0.75],
    }
)


RANKED = pd.DataFrame(
    {
        "name": ["net $1", "matched filter", "stacked", "failed"],
        "core_seconds": [10.0, np.nan, np.nan, np.nan],
        "roc_auc": [0.80, 0.85, 0.86, np.nan],
        "roc_auc_low": [0.79, 0.84, 0.85, np.nan],
        "roc_auc_high": [0.82, 0.86, 0.87, np.nan],
    }
)
NAMES = [
    *(f"resnet{depth}-{end}" for end in "abc" for depth in (16, 18, 34, 50, 101, 152)),
    "matched filter",
    "coherent evidence",
]
OVER = np.linspace(-0.05, 0, len(NAMES))
OVER[-1] = np.nan  # the evidence less itself is not in the table
HELD = pd.DataFrame({"name": NAMES, "core_seconds": 9.0, "roc_auc": 0.85 + OVER})
HELD.loc[19, "roc_auc"] = 0.85
HELD.loc[18:, "core_seconds"] = np.nan
HELD = HELD.assign(
    roc_auc_low=HELD["roc_auc"] - 0.012,
    roc_auc_high=HELD["roc_auc"] + 0.011,
    over_evidence=OVER,
    over_evidence_low=OVER - 0.004,
    over_evidence_high=OVER + 0.004,
)


TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3, 4],
        "state": ["complete", "pruned", "complete", "running", "complete"],
        "value": [0.7, 0.8, 0.75, np.nan, 0.72],
        "learning_rate": [1e-3, 1e-2, 2e-2, 1e-3, 5e-3],
        "dropout": [0.0, 0.1, 0.2, 0.3, 0.1],
    }
)

RARE = pd.DataFrame(
    {
        "ifar_years": [2.0, 0.01, 3e-4, 4e-4, 5e-5],
        "ifar_years_exclusive": [1.9, 0.05, 3e-4, 4e-4, 5e-5],
    }
)
SEARCHED = 1e-3  # years
# An hour, in which ten minutes could not be scored.
OVER_TIME = pd.DataFrame({"time": 1.2e9 + 0.1 * np.arange(36000), "statistic": -5.0})
OVER_TIME["statistic"] += np.random.default_rng(3).normal(size=36000)
OVER_TIME.loc[12345, "statistic"] = 20.0
OVER_TIME.loc[20000:26000, "statistic"] = np.nan
LOUD = OVER_TIME.loc[[12345]]
# Found from SNR 9 on, at 1 per month, and from 7 on at 100.
INJECTED = pd.DataFrame({"network_snr": np.linspace(4.05, 13.95, 100)})
INJECTED["far_per_month"] = np.select(
    [INJECTED["network_snr"] > 9, INJECTED["network_snr"] > 7], [1.0, 50.0], np.inf
)


FIGURES = {
    "roc": lambda: plots.roc(TABLE, FILTERED),
    "roc of three": lambda: plots.roc(TABLE, CLASSICAL),
    "roc alone": lambda: plots.roc(TABLE),
    "rocs": lambda: plots.rocs({"$a_1$": TABLE, "b": BASELINE, "c": TABLE}),
    "sensitivity": lambda: plots.sensitivity(TABLE, CLASSICAL),
    "calibration": lambda: plots.calibration(TABLE),
    "history": lambda: plots.history(HISTORY),
    "scores": lambda: plots.scores(TABLE),
    "course": lambda: plots.study_course(TRIALS),
    "slices": lambda: plots.study_slices(TRIALS),
    "importance": lambda: plots.study_importance(
        {"learning_rate": 0.7, "dropout": 0.3}
    ),
    "example": lambda: gallery.example(*window(), "price: $5, 10% _off_"),
    "areas": lambda: plots.areas(RANKED),
    "areas of many": lambda: plots.areas(HELD),
    "cases": lambda: gallery.cases(CASES, lambda name: window()[1]),
    "ifar": lambda: plots.ifar(RARE, SEARCHED),
    "statistic": lambda: plots.statistic(OVER_TIME, LOUD, 0.0),
    "injections": lambda: plots.injections(INJECTED, [1.0, 100.0]),
    "candidates": lambda: gallery.candidates(FOUND, lambda row: window()[1]),
    "kinds": lambda: gallery.kinds({"blip": [("H1", 9.0, window()[1][:, 0])] * 2}),
}


def line(axis, name):
    """The line whose legend entry begins so."""
    handles, labels = axis.get_legend_handles_labels()
    handle = next(h for h, text in zip(handles, labels) if text.startswith(name))
    return handle[0] if isinstance(handle, tuple) else handle


def shared(axis, which):
    """The axes that share this one's x or y, itself among them."""
    return getattr(axis, f"get_shared_{which}_axes")().get_siblings(axis)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_labelled_filled_and_wide_enough(name, tmp_path):
    figure = FIGURES[name]()
    assert figure.get_size_inches()[0] * figure.dpi == 800
    figure.savefig(tmp_path / "figure.png")
    assert figure.axes
    for axis in figure.axes:
        assert axis.has_data()
        # A panel without numbers of its own shares its neighbour's.
        for which in ("x", "y"):
            label = getattr(axis, f"get_{which}label")()
            assert label.strip() or not numbered(axis, which), (name, which)
            labels = [getattr(a, f"get_{which}label")() for a in shared(axis, which)]
            bar = axis.get_label() == "<colorbar>"
            # A bar of colours has one axis.
            assert any(labels) or (bar and (axis.get_xlabel() or axis.get_ylabel()))
        for text in (axis.xaxis.label, axis.yaxis.label, *axis.get_xticklabels()):
            assert text.get_fontsize() >= 10


def test_every_kind_of_figure_is_tried():
    """A figure that is drawn anywhere in gwres stands in `FIGURES`."""
    made = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (plots, gallery)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and re.search(r"Returns:\s+Figure", function.__doc__ or "")
    }
    tried = inspect.getsource(sys.modules[__name__])
    assert len(made) == 17
    assert not [name for name in made if f": {name}(" not in tried]


def numbered(axis, which):
    """Whether numbers stand along an axis."""
    one = getattr(axis, f"{which}axis")
    return any(
        tick.label1.get_visible() or tick.label2.get_visible()
        for tick in one.get_major_ticks()
        if one.get_ticklocs().size
    )


def painted(figure):
    """Colours of all lines, bars and intervals."""
    for axis in figure.axes:
        grid = {*axis.get_xgridlines(), *axis.get_ygridlines()}
        yield from (line.get_color() for line in axis.lines if line not in grid)
        for patch in axis.patches:
            yield (
                patch.get_edgecolor() if not patch.get_fill() else patch.get_facecolor()
            )
        for drawn in axis.collections:
            if isinstance(drawn, LineCollection):
                yield from drawn.get_colors()


@pytest.mark.parametrize("name", FIGURES)
def test_all_is_drawn_in_the_colours_that_can_be_told_apart(name):
    """Or in black, white and grey."""
    found = {to_hex(colour).upper() for colour in painted(FIGURES[name]())}
    assert found
    foreign = found - {colour.upper() for colour in plots.COLOURS}
    assert all(len({c[1:3], c[3:5], c[5:7]}) == 1 for c in foreign), foreign


def test_another_colour_and_a_bare_axis_are_found():
    figure = FIGURES["roc"]()
    [axis] = figure.axes
    axis.plot([0, 1], [0, 1], color="red")
    assert "#ff0000" in {to_hex(colour) for colour in painted(figure)}
    assert numbered(axis, "x") and numbered(axis, "y")
    above, *_, below = FIGURES["example"]().axes
    assert numbered(below, "x") and not numbered(above, "x")


def test_a_legend_of_many_lies_beside_the_curves():
    figure = FIGURES["rocs"]()
    figure.draw_without_rendering()
    [legend], [axis] = figure.legends, figure.axes
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())


def test_areas_stand_in_the_tables_order_and_are_told_apart():
    figure = FIGURES["areas"]()
    [axis] = figure.axes
    names = [text.get_text() for text in axis.get_yticklabels()]
    assert names == ["net $1", "matched filter", "stacked"]
    bottom, top = axis.get_ylim()
    assert top < 0 and bottom > 2, "the first is on top, and none lies on an edge"
    [point] = line(axis, "one network").get_xdata()
    assert point == 0.80
    assert {"several together", "matched filter 0.8500"} < set(
        axis.get_legend_handles_labels()[1]
    )
    ends = [bar.get_segments()[0][:, 0] for bar in axis.collections]
    np.testing.assert_allclose(ends[0], [0.79, 0.82])
    with pytest.raises(InputError, match="rows with a ROC-AUC; received 1 without"):
        plots.areas(RANKED.tail(1))


def references(axis):
    """Where lines through all rows stand, by colour."""
    found = {}
    for one in axis.lines:
        x, y = (np.asarray(values, dtype=float) for values in one.get_data())
        if len(x) == 2 and x[0] == x[1] and list(y) == [0, 1]:
            found.setdefault(one.get_color(), []).append(x[0])
    return found


def test_areas_are_held_against_the_classical_side():
    """At a glance: the axis holds the intervals alone, and lines go through them."""
    areas, over = FIGURES["areas of many"]().axes
    low, high = areas.get_xlim()
    spread = HELD["roc_auc_high"].max() - HELD["roc_auc_low"].min()
    assert spread < high - low < 1.2 * spread
    colours = plots.FILTER_LOOK["color"], plots.EVIDENCE_LOOK["color"]
    filtered, bound = HELD["roc_auc"][18:]
    assert references(areas) == {colours[0]: [filtered], colours[1]: [bound]}
    assert references(over) == {colours[0]: [OVER[18]], colours[1]: [0]}
    drawn = line(over, "one network").get_xdata().astype(float)
    np.testing.assert_allclose(drawn, OVER[:18])
    # The intervals of the differences are theirs, not those of the areas.
    [bar] = over.containers[0][2]
    widths = [np.ptp(segment[:, 0]) for segment in bar.get_segments()]
    np.testing.assert_allclose(widths, 0.008)


def test_areas_know_the_bound_of_a_measurement():
    """Whose rows are statistics: none is called a network."""
    names = ["bayes of 3 sets", "marginal", "coherent", "flat"]
    table = HELD.head(4)[["roc_auc", "roc_auc_low", "roc_auc_high"]].assign(name=names)
    [axis] = plots.areas(table).axes
    area = dict(zip(names, table["roc_auc"]))
    found = references(axis)
    assert sorted(sum(found.values(), [])) == sorted(area[name] for name in names[:3])
    labels = axis.get_legend_handles_labels()[1]
    assert labels == [
        f"matched filter {area['marginal']:.4f}",
        f"coherent evidence {area['coherent']:.4f}",
        f"Bayes factor {area['bayes of 3 sets']:.4f}",
    ]


@pytest.mark.parametrize("name", ["areas", "areas of many", "roc of three", "ifar"])
def test_no_text_lies_on_another_or_is_cut_off(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    texts = [
        text.get_window_extent()
        for axis in figure.axes
        for text in (axis.xaxis.label, *axis.get_xticklabels(), *axis.get_yticklabels())
        if text.get_text() and text.get_visible() and shown(axis, text)
    ]
    assert len(texts) > 6
    for i, one in enumerate(texts):
        assert one.x0 >= 0 and one.x1 <= figure.bbox.x1, i
        assert not any(one.overlaps(other) for other in texts[:i]), i


def shown(axis, text):
    """Whether a label is not a tick's beyond the ends of the axis."""
    for which, place in zip("xy", text.get_position()):
        if text in getattr(axis, f"get_{which}ticklabels")():
            low, high = sorted(getattr(axis, f"get_{which}lim")())
            return low <= place <= high
    return True


@pytest.mark.parametrize(
    "name", ["roc of three", "sensitivity", "history", "statistic", "injections"]
)
def test_curves_differ_in_line_as_well_as_colour(name):
    for axis in FIGURES[name]().axes:
        shown = axis.get_legend_handles_labels()[0]
        lines = [h[0] if isinstance(h, tuple) else h for h in shown]
        assert len({one.get_linestyle() for one in lines}) == len(lines)
        assert len({to_hex(one.get_color()) for one in lines}) == len(lines)


def test_colours_differ_in_brightness_too():
    weights = [0.2126, 0.7152, 0.0722]
    blue, vermillion = (
        np.dot(to_rgb(c), weights) for c in (plots.BLUE, plots.VERMILLION)
    )
    assert abs(blue - vermillion) > 0.05


def test_roc_is_the_curve():
    (axis,) = plots.roc(TABLE, FILTERED).axes
    assert axis.get_xscale() == "log" and axis.get_xlim()[1] == 1
    drawn = line(axis, "network")
    x, y = drawn.get_xdata(), drawn.get_ydata()
    noise = TABLE["logit"][TABLE["label"] == 0].to_numpy()
    signals = TABLE["logit"][TABLE["label"] == 1].to_numpy()
    for rate in (0.02, 0.1, 0.5):
        threshold = np.sort(noise)[::-1][round(rate * len(noise))]
        at = y[np.flatnonzero(x <= rate + 1e-12)[-1]]
        np.testing.assert_allclose(at, np.mean(signals > threshold), atol=1e-12)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(1 - at, np.mean(signals > threshold), atol=1e-12)
    # It begins where four windows of noise pass, as high as it is there.
    assert x.min() == pytest.approx(plots.HELD / len(noise))
    assert np.mean(signals > np.sort(noise)[-plots.HELD - 1]) == y[0] == y.min() > 0
    assert np.sum(x == x.min()) == 1
    assert axis.get_xlim()[0] == pytest.approx(0.01), "no decade is empty"
    assert "300 noise windows" in axis.get_xlabel()
    area = metrics.roc_auc(TABLE["label"], TABLE["logit"])
    assert f"{area.value:.4f}" in drawn.get_label()


def test_roc_intervals_stand_where_there_is_noise_enough():
    table = predictions(1000)
    (axis,) = plots.roc(table).axes
    (points,) = axis.containers
    np.testing.assert_allclose(points[0].get_xdata().astype(float), [0.01, 0.1])
    ends = [segment[:, 1] for segment in points[2][0].get_segments()]
    for rate, (low, high) in zip((0.01, 0.1), ends):
        expected = metrics.tpr_at_fpr(table["label"], table["logit"], rate)
        np.testing.assert_allclose([low, high], [expected.low, expected.high])
        assert low > 0.1
    # Of 300 windows 3 are expected at 0.01: the interval there would reach to none.
    (few,) = plots.roc(TABLE).axes
    assert few.containers[0][0].get_xdata().astype(float) == pytest.approx([0.1])
    assert metrics.tpr_at_fpr(TABLE["label"], TABLE["logit"], 0.01).low < 0.05


def test_sensitivity_shows_the_bins():
    areas, found = plots.sensitivity(TABLE, fpr=0.1).axes
    columns = TABLE["label"], TABLE["logit"], TABLE["network_snr"]
    bins = metrics.by_snr(*columns)
    drawn = line(areas, "network")
    x, y = drawn.get_xdata().astype(float), drawn.get_ydata().astype(float)
    np.testing.assert_allclose(x, [one.mean for one in bins])
    np.testing.assert_allclose(y, [one.measure.value for one in bins])
    assert "0.1" in found.get_ylabel()


def test_sensitivity_needs_known_snrs():
    with pytest.raises(InputError, match="10 signals or more"):
        plots.sensitivity(TABLE.assign(network_snr=np.nan))


def test_history_skips_epochs_without_a_value():
    losses, areas = plots.history(HISTORY).axes
    assert list(line(losses, "val/loss").get_xdata()) == [1, 3]
    assert list(line(losses, "train/loss").get_xdata()) == [1, 2, 3]
    assert list(line(areas, "val/roc_auc").get_ydata()) == [0.6, 0.75]
    (only,) = plots.history(HISTORY[["epoch", "train/loss"]]).axes
    assert only.get_ylabel().startswith("Loss")


@pytest.mark.parametrize("columns", [["epoch"], ["train/loss"]])
def test_history_needs_its_columns(columns):
    with pytest.raises(InputError, match="a history needs the column epoch"):
        plots.history(HISTORY[columns])


def test_scores_hold_every_window(tmp_path):
    (axis,) = plots.scores(TABLE).axes
    names = axis.get_legend_handles_labels()[1]
    assert "noise (300 windows)" in names and "signal (300 windows)" in names
    constant = plots.scores(TABLE.assign(logit=0.0))
    constant.savefig(tmp_path / "constant.png")
    single = plots.scores(TABLE[TABLE["label"] == 1])
    single.savefig(tmp_path / "single.png")


def test_pyplot_is_never_loaded():
    code = "import sys, gwres.pages.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def drawn(axis, name):
    handles, labels = axis.get_legend_handles_labels()
    return handles[labels.index(name)]


def test_a_studys_course_keeps_the_best_complete_trial():
    (axis,) = plots.study_course(TRIALS.sample(frac=1, random_state=0)).axes
    best = drawn(axis, "best so far")
    assert list(best.get_xdata()) == [0, 1, 2, 4]
    # The pruned trial's higher value is not one that a study may take.
    assert list(best.get_ydata()) == [0.7, 0.7, 0.75, 0.75]
    assert list(drawn(axis, "pruned").get_ydata()) == [0.8]


def test_a_studys_slices_have_a_panel_per_setting():
    rate, dropout = plots.study_slices(TRIALS).axes
    assert (rate.get_xlabel(), dropout.get_xlabel()) == ("learning_rate", "dropout")
    assert rate.get_xscale() == "log" and dropout.get_xscale() == "linear"
    assert list(drawn(rate, "complete").get_xdata()) == [1e-3, 2e-2, 5e-3]


def test_a_studys_importance_is_sorted():
    shares = {"a": 0.2, "b": 0.7, "c": 0.1}
    (axis,) = plots.study_importance(shares).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["c", "a", "b"]
    assert [bar.get_width() for bar in axis.patches] == [0.1, 0.2, 0.7]


def test_a_study_without_anything_to_draw_is_refused():
    none = TRIALS.assign(value=np.nan)
    for draw in (plots.study_course, plots.study_slices):
        with pytest.raises(InputError, match="needs trials with a value; received 5"):
            draw(none)
    with pytest.raises(InputError, match="importance needs settings"):
        plots.study_importance({})


def test_candidates_are_counted_from_the_rarest_on():
    (axis,) = plots.ifar(RARE, SEARCHED).axes
    curve = drawn(axis, "all triggers in the background")
    x, y = curve.get_data()
    assert curve.get_drawstyle() == "steps-post"
    for place, rarity in enumerate(x):
        assert y[place] == (RARE["ifar_years"] >= rarity).sum()
    mean = drawn(axis, "noise alone, mean")
    np.testing.assert_allclose(np.prod(mean.get_data(), axis=0), SEARCHED)
    low, high = axis.get_xlim()
    assert low < x.min() and x.max() < high


def test_the_band_of_noise_holds_what_it_says():
    (axis,) = plots.ifar(RARE, SEARCHED).axes
    rng = np.random.default_rng(0)
    at = SEARCHED / 30
    counts = rng.poisson(30, size=20000)
    for sigma, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        corners = drawn(axis, f"noise alone, {sigma}\u03c3").get_paths()[0].vertices
        assert corners[:, 0].min() < at < corners[:, 0].max()
        near = np.abs(np.log(corners[:, 0] / at))
        low, high = corners[near < near.min() + 0.02][:, 1][[0, -1]]
        low, high = min(low, high), max(low, high)
        inside = np.mean((counts >= low) & (counts <= high))
        # The ends are whole numbers.
        assert share - 0.01 < inside < share + 0.1


def test_candidates_without_a_rate_are_refused():
    with pytest.raises(InputError, match="known false-alarm rate; received 0 without"):
        plots.ifar(RARE[:0], SEARCHED)
    with pytest.raises(InputError, match="received 5 without"):
        plots.ifar(RARE * 0, SEARCHED)


def test_injections_are_found_by_rate_and_snr():
    """Each bin's share of its own signals, with Wilson's interval."""
    (axis,) = plots.injections(INJECTED, [1.0, 100.0]).axes
    snr = INJECTED["network_snr"]
    edges = [4, 6, 8, 10, 12, 15]
    for name, least, apart in (("1 per month", 9, 1), ("100 per month", 7, 1.01)):
        points = line(axis, name)
        bins = [snr[(snr >= low) & (snr < high)] for low, high in zip(edges, edges[1:])]
        shares = [metrics.wilson((one > least).sum(), len(one)) for one in bins]
        means = [one.mean() * apart for one in bins]
        np.testing.assert_allclose(points.get_xdata().astype(float), means)
        np.testing.assert_allclose(points.get_ydata(), [one.value for one in shares])
        [held] = [one for one in axis.containers if one.get_label() == name]
        [bars] = held[2]
        ends = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, [(one.low, one.high) for one in shares])
    assert {0.0, 0.5, 1.0} == {one.value for one in shares}


def test_injections_that_tell_nothing_are_refused():
    with pytest.raises(InputError, match="false-alarm rate; received none"):
        plots.injections(INJECTED, [])
    with pytest.raises(InputError, match="10 injections or more .* received 9"):
        plots.injections(INJECTED[:9], [1.0])
    with pytest.raises(InputError, match="received 1 of 100 that are NaN"):
        unknown = INJECTED["far_per_month"].where(INJECTED.index > 0)
        plots.injections(INJECTED.assign(far_per_month=unknown), [1.0])


def test_the_statistic_says_what_it_is():
    (axis,) = plots.statistic(OVER_TIME, LOUD, 0.0, "log likelihood ratio").axes
    assert axis.get_ylabel() == "Statistic (log likelihood ratio)"


def test_the_statistic_over_time_loses_no_peak_and_bridges_no_gap():
    (axis,) = plots.statistic(OVER_TIME, LOUD, 0.0).axes
    x, y = drawn(axis, "statistic").get_data()
    assert axis.get_xlabel() == "Time after GPS 1200000000 (minutes)"
    assert len(x) <= 2 * plots.POINTS
    assert np.nanmax(y) == 20.0 == y[np.nanargmin(np.abs(x - 1234.5 / 60) + (y < 9))]
    assert np.nanmin(y) == OVER_TIME["statistic"].min()
    inside = (x > 2010 / 60) & (x < 2590 / 60)
    assert inside.any() and np.isnan(y[inside]).all()
    assert np.isfinite(y[x < 1990 / 60]).all()
    assert list(drawn(axis, "candidates (1)").get_ydata()) == [20.0]
    (short,) = plots.statistic(OVER_TIME[:1], LOUD[:0], 0.0).axes
    assert np.isfinite(drawn(short, "statistic").get_ydata()).all()
    with pytest.raises(InputError, match="received 3 windows without"):
        plots.statistic(OVER_TIME[20000:20003], LOUD, 0.0)
