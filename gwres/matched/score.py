"""The classical baseline: a matched filter that scores windows like any model."""

from functools import partial

import numpy as np
from keras import ops

from gwres import cache
from gwres.cores import cores
from gwres.engine.item import Prepared
from gwres.engine.work import each
from gwres.errors import InputError, among
from gwres.layers.evidence import Evidence
from gwres.layers.templates import TESTS, Templates
from gwres.layers.whiten import (
    FREQUENCIES,
    RISE_HZ,
    fingerprint,
    gain,
    refined,
    whiten,
)
from gwres.matched import bayes, draws, reweighted
from gwres.matched.bank import (
    APPROXIMANT,
    SEED,
    enough,
    snr_series,
    template_bank,
    templates,
)
from gwres.matched.design import filters, layout
from gwres.matched.incoherent import RATE, STATISTICS, marginal
from gwres.progress import progress
from gwres.strain import DETECTORS, SHAPE

CHUNK = 32  # windows at a time


# `reweighted` is `marginal` that doubts glitches. `coherent` uses the phases of H1 and
# L1 together, as the front end `templates` does before training; `consistent` is that
# of re-weighted SNRs, as that of detector noise; `bayes` uses all phases and averages
# over the population: in Gaussian noise it is optimal.
NAMES = (*STATISTICS, "reweighted", "coherent", "consistent", "bayes")


def _incoherent(statistic, population, asd):
    """A function that scores windows with one of `STATISTICS`.

    It takes whitened windows and, for each, which detectors are present.
    """
    bank = template_bank(templates(population, enough(population)), asd, population)

    def scorer(white, present):
        for window, detectors in zip(white, present):
            blocks = [z.real**2 + z.imag**2 for z in snr_series(window, bank)]
            spread = population.heard(bank.spread, detectors)
            yield STATISTICS[statistic](np.hstack(blocks), spread)

    return scorer


def _reweighted(population, asd):
    """As `_incoherent`, with `marginal` of re-weighted SNRs, behind a gate."""
    bank = template_bank(templates(population, enough(population)), asd, population)
    bands = reweighted.bands(bank)

    def scorer(white, present):
        for window, detectors in zip(white, present):
            gated, _ = reweighted.gate(window)
            squares = reweighted.squares(gated, bands)
            yield marginal(squares, population.heard(bank.spread, detectors))

    return scorer


def _coherent(consistent, population, asd):
    """As `_incoherent`, with the log Bayes factor of `layers.evidence`."""
    front = filters(population, asd, consistent=consistent)
    grid = front.design.grid
    series, evidence = Templates(grid, dtype="float32"), Evidence(grid.tick, grid.pool)
    series.fit(front.design)
    evidence.fit(front.prior)

    def scorer(white, present):
        cells, _ = evidence(series(white))
        return ops.convert_to_numpy(ops.logsumexp(cells, axis=(1, 2))).tolist()

    return scorer


def _bayes(seed, population, asd):
    """As `_incoherent`, with `bayes.log_factor`."""
    model = draws.draw(population, asd, seed=seed)

    def scorer(white, present):
        # Every window gets the same draws, so that no score depends on other windows.
        return [
            bayes.log_factor(window, detectors, model, np.random.default_rng([seed, 1]))
            for window, detectors in zip(white, present)
        ]

    return scorer


def score(windows, asd, population, statistic="marginal", seed=0):
    """Score windows: the higher, the more like a signal of the population.

    Args:
        windows: strain, an array, memmap or `corpus.Windows` of shape (n, 3, 4096),
            read a few at a time. Rows of zeros (missing detectors) add nothing.
        asd: as `whiten.fit_asd` gives it, float (3, 2049).
        population: a `Population`: the templates, the merger times and the distances.
        statistic: one of `NAMES`.
        seed: seed of the random draws of `bayes`.

    Returns:
        Scores, float64 (n,).

    Raises:
        InputError: a wrong shape, or an unknown statistic.
    """
    among("statistic", statistic, NAMES)
    if tuple(windows.shape[1:]) != SHAPE:
        raise InputError(
            f"windows: expected shape (n, 3, 4096), received {windows.shape}"
        )
    expected = len(DETECTORS), len(FREQUENCIES)
    if np.shape(asd) != expected:
        raise InputError(f"asd: expected shape {expected}, received {np.shape(asd)}")
    known = getattr(windows, "asds", None)

    def chunks():
        for start in range(0, len(windows), CHUNK):
            rows = slice(start, start + CHUNK)
            yield start, np.asarray(windows[rows]), known(rows) if known else None

    scorer = Prepared(_scorer, np.asarray(asd), population, statistic, seed)
    finished = each(scorer, chunks(), _called, threads=cores())
    counted = ((len(scores), scores) for scores in finished)
    parts = list(progress(counted, len(windows), "matched filter"))
    return np.array([value for scores in parts for value in scores], dtype=float)


def _called(chunk):
    start, strain, _ = chunk
    return f"windows {start} to {start + len(strain) - 1}"


def _scorer(asd, population, statistic, seed):
    """A function of (start, strain, ASDs or None) that gives a list of scores."""
    rise = draws.RISE_HZ if statistic == "bayes" else RISE_HZ
    gains = gain(asd, FREQUENCIES, rise)
    level = gain(np.ones(len(FREQUENCIES)), FREQUENCIES, rise)
    prepare = {
        "reweighted": _reweighted,
        "coherent": partial(_coherent, False),
        "consistent": partial(_coherent, True),
        "bayes": partial(_bayes, seed),
    }
    prepare = prepare.get(statistic, partial(_incoherent, statistic))
    scorer = prepare(population, asd)

    def chunk(item):
        _, strain, local = item
        # Templates stay whitened by the fitted ASD, as in the networks.
        own = gains if local is None else level / refined(local)
        white = ops.convert_to_numpy(whiten(strain, own))
        return list(scorer(white, strain.any(axis=-1)))

    return chunk


def baseline(windows, asd, population, statistic="marginal", seed=0):
    """The matched filter's predictions of windows, computed once and cached.

    Args:
        windows: a `corpus.Windows`.
        asd: as for `score`.
        population: as for `score`.
        statistic: as for `score`.
        seed: as for `score`.

    Returns:
        DataFrame: the windows' table with the scores as a column logit.

    Raises:
        InputError: as for `score`, or the cache has another number of scores.
    """
    key = {
        "windows": windows.key,
        "asd": fingerprint(asd),
        "population": population.key,
        "statistic": statistic,
        "bank": [APPROXIMANT, enough(population), SEED, RATE],
        "layout": {
            "reweighted": reweighted.LAYOUT,
            "coherent": layout(population),
            "consistent": [*layout(population), TESTS],
            "bayes": [*bayes.LAYOUT, seed],
        }.get(statistic, 1),
    }

    def make(folder):
        np.save(folder / "scores.npy", score(windows, asd, population, statistic, seed))

    path = cache.folder("matched_filter", key, make) / "scores.npy"
    scores = np.load(path, allow_pickle=False)
    if len(scores) != len(windows):
        raise InputError(
            f"expected the {len(scores)} windows that {windows.key} stands for, "
            f"received {len(windows)}"
        )
    return windows.table.assign(logit=scores)
