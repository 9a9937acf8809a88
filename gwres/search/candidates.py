"""From a network's statistic over time to candidates, in memory that stays the same.

A window's statistic is a log Bayes factor for a merger somewhere in the middle part of
the window, so a merger scores in every window whose middle part holds it: a plateau
over time, as long as that part. Its average over this length has its maximum where the
merger is, and a lone window that the network misjudges counts little. The logarithm of
the mean Bayes factor would be the evidence for a merger in any of the windows, were
they independent; but the loudest window alone decides it, and it stays on the plateau.
"""

import numpy as np
import pandas as pd

from gwres.errors import InputError, within

STEP_S = 0.1  # between windows
LENGTH_S = 1.0  # of the average: the population `field` merges in the middle second
# The average of a merger is a triangle that ends so far from its peak.
APART_S = 1.0
TOLERANCE_S = 1e-3  # GPS times in float64 are good to 2e-7 s
COLUMNS = ("time", "statistic", "detectors")


class Clusters:
    """Takes a statistic in order, chunk by chunk, and gives finished candidates.

    A candidate is an average above the threshold that no other within `apart_s` before
    or after exceeds; of equal ones it is the first. That is decided by what lies near,
    so chunks of any length give the same candidates, to the last bit, and what is kept
    of a chunk is at most 2 `apart_s` and `length_s` of windows. The average needs all
    its windows: it reaches across no gap and no window that could not be scored.

    Args:
        threshold: of the average; a candidate is above it. Finite.
        length_s: of the average, s; 0 for none. A multiple of the step. At most 60.
        apart_s: s between candidates at the least, 0 to 60.
        step_s: between windows, s, 0.01 to 60.

    Attributes:
        live_s: how much has been searched, s: a step for every average.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(self, threshold, length_s=LENGTH_S, apart_s=APART_S, step_s=STEP_S):
        if not np.isfinite(threshold):
            raise InputError(f"threshold must be finite; received {threshold}")
        within("step_s", step_s, 0.01, 60)
        within("length_s", length_s, 0, 60)
        within("apart_s", apart_s, 0, 60)
        self.count = max(round(length_s / step_s), 1)
        if length_s and abs(self.count * step_s - length_s) > TOLERANCE_S:
            raise InputError(
                f"length_s must be a multiple of the step, {step_s:g} s; received "
                f"{length_s:g}"
            )
        self.threshold, self.apart_s, self.step_s = threshold, apart_s, step_s
        self._averages = 0
        self._last = -np.inf
        self._windows = _empty()  # scored, for averages that are not complete
        self._loud = _empty()  # averages that may be candidates, or hide one
        self._decided = -np.inf  # candidates up to this time have been given

    @property
    def live_s(self):
        """How much has been searched, s."""
        return self._averages * self.step_s

    def add(self, table):
        """Take the next windows.

        Args:
            table: DataFrame of columns time (GPS s, of the middle of the merger times
                that the window is searched for, rising), statistic (NaN where the
                window could not be scored) and detectors (those used, such as "H1 L1").

        Returns:
            DataFrame of the same columns, the candidates that are finished, by time:
            time, the middle of the average; statistic, the average; detectors, those of
            its middle window.

        Raises:
            InputError: a missing column, an infinite statistic, or times that are not
                finite, do not rise, or lie closer than the step.
        """
        self._check(table)
        if not len(table):
            return _empty()
        self._last = float(table["time"].iloc[-1])
        scored = table.loc[table["statistic"].notna(), [*COLUMNS]]
        self._average(pd.concat([self._windows, scored]) if len(scored) else None)
        # The next average comes later than this.
        return self._finished(self._last - (self.count - 1) / 2 * self.step_s)

    def finish(self):
        """The candidates that were waiting for what comes next, as `add` gives them."""
        return self._finished(np.inf)

    def _check(self, table):
        if any(name not in table for name in COLUMNS):
            raise InputError(
                f"a statistic needs the columns {', '.join(COLUMNS)}; received "
                f"{', '.join(map(str, table.columns))}"
            )
        times = np.concatenate([[self._last], table["time"].to_numpy(dtype=float)])
        # Also true of NaN.
        bad = ~(np.diff(times) > self.step_s - TOLERANCE_S)
        bad |= ~np.isfinite(times[1:])
        if bad.any():
            place = int(np.argmax(bad))
            raise InputError(
                f"times must rise by the step, {self.step_s:g} s, or more; received "
                f"{times[place + 1]} after {times[place]}"
            )
        infinite = int(np.isinf(table["statistic"].to_numpy(dtype=float)).sum())
        if infinite:
            raise InputError(
                "a statistic must be finite, or NaN where a window could not be "
                f"scored; received {infinite:,} that are infinite"
            )

    def _average(self, windows):
        """Average the windows and keep those averages that are above the threshold."""
        if windows is None:
            return
        times = windows["time"].to_numpy(dtype=float)
        values = windows["statistic"].to_numpy(dtype=float)
        first = np.arange(max(len(times) - self.count + 1, 0))
        last = first + self.count - 1
        # Where one is missing, the last comes late.
        late = times[last] - times[first] - (self.count - 1) * self.step_s
        whole = np.abs(late) < TOLERANCE_S
        # Added one by one: a sum along an axis depends on how long the other is.
        total = np.zeros(len(first))
        for place in range(self.count):
            total += values[place : place + len(first)]
        average = total / self.count
        self._averages += int(whole.sum())
        loud = whole & (average > self.threshold)
        found = pd.DataFrame(
            {
                "time": ((times[first] + times[last]) / 2)[loud],
                "statistic": average[loud],
                "detectors": windows["detectors"].to_numpy()[first + self.count // 2][
                    loud
                ],
            }
        )
        if len(found):
            self._loud = pd.concat([self._loud, found], ignore_index=True)
        self._windows = windows.iloc[len(first) :]

    def _finished(self, until):
        """Candidates that no average after `until` can hide."""
        times = self._loud["time"].to_numpy(dtype=float)
        values = self._loud["statistic"].to_numpy(dtype=float)
        reach = self.apart_s + TOLERANCE_S
        edge = until - reach
        known = np.flatnonzero((times > self._decided) & (times <= edge))
        chosen = [one for one in known if _loudest(times, values, one, reach)]
        found = self._loud.iloc[chosen].reset_index(drop=True)
        self._decided = max(self._decided, edge)
        self._loud = self._loud[times > self._decided - reach]
        return found


def _loudest(times, values, place, reach):
    """Whether an average is above all before it, and below none after it, in reach."""
    low, high = np.searchsorted(times, [times[place] - reach, times[place] + reach])
    own = values[place]
    return (values[low:place] < own).all() and (values[place:high] <= own).all()


def _empty():
    """A table without rows, of the right types."""
    kinds = zip(COLUMNS, (float, float, str))
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds})
