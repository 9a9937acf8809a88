"""Are the false-alarm rates of a search those at which noise is found?

    mlflow run . -e experiment -P name=search

Hours of simulated noise of H1 and L1, with glitches and without a signal, are searched
with the network that ships. At three thresholds its candidates are counted beside what
100 time slides foretell; the count is a Poisson variable, and so is the slides', whose
events share their strain. The candidates' ranks among the slides' events, and the p
value of the loudest in each quarter of an hour, should be uniform: Kolmogorov-Smirnov.
Time: a quarter of an hour of one core. Result: README.md.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kstest, poisson

from gwres.experiment import Measured
from gwres.jobs.search import PRETRAINED, named
from gwres.search import background, rehearsal, scan
from gwres.search.strain import open_strain

HOURS, SEED = 4, 11
PIECE_S = 900.0
EXPECTED = (20, 10, 3)  # candidates that the slides foretell at each threshold


def measure(smoke=False):
    """Search noise, and count."""
    seconds = 300 if smoke else round(HOURS * 3600)
    judge = named(PRETRAINED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.hdf"
        rehearsal.write(path, seconds, SEED)
        found = scan.scan(open_strain(path), judge, Path(folder) / "search")
    return judged(found)


def judged(found):
    """What a `scan.Found` of noise alone shows: `Measured`."""
    statistic = found.candidates["statistic"].to_numpy()
    events = np.sort(found.events["statistic"].to_numpy())[::-1]
    share = found.together_s / found.background_s
    rows, named = [], {}
    for expected in EXPECTED:
        place = min(round(expected / share), len(events)) - 1
        threshold = events[place]
        count, mean = int((statistic >= threshold).sum()), (place + 1) * share
        tail = min(poisson.cdf(count, mean), poisson.sf(count - 1, mean))
        rows.append(
            {
                "statistic": threshold,
                "a month": mean / found.together_s * 2_592_000,
                "foretold": mean,
                "found": count,
                "p": min(1.0, 2 * tail),
            }
        )
        named[f"foretold_{expected}/found"] = count
        named[f"foretold_{expected}/p"] = rows[-1]["p"]
    ranks = (background.louder(statistic, events) + 1) / (len(events) + 1)
    named["ranks/ks_p"] = kstest(ranks, "uniform").pvalue
    named["loudest/ks_p"], named["loudest/pieces"] = loudest(found, events)
    named |= {"hours": found.together_s / 3600}
    named |= {"background_days": found.background_s / 86400}
    return Measured(pd.DataFrame(rows), named)


def loudest(found, events):
    """Whether p values of the loudest of each piece are uniform.

    A piece without a candidate has a p value above that of the faintest event: where it
    is not known, all that is below is compared.

    Returns:
        (p of Kolmogorov and Smirnov, number of pieces with a candidate).
    """
    piece = (found.candidates["time"] - found.stretch.start) // PIECE_S
    highest = found.candidates["statistic"].groupby(piece).max()
    rates = background.far(highest, events, found.background_s)
    values = background.p_value(rates, PIECE_S)
    most = background.p_value([len(events) / found.background_s], PIECE_S)[0]
    return kstest(np.minimum(values / most, 1.0), "uniform").pvalue, len(values)
