"""How far a long job is, in a terminal or a log."""

import io
import sys

from tqdm import tqdm


class _Lines(tqdm):
    """A bar for logs: each state on a line of its own, none rewritten."""

    @staticmethod
    def status_printer(file):
        """What prints a state: not the empty first one, and no state twice."""
        last = None

        def show(text):
            nonlocal last
            if text and text != last and ": 0 of" not in text:
                print(text, file=file, flush=True)
            last = text

        return show

    def close(self):
        """Show the end; the line end that a bar writes after it is not for a log."""
        if not self.disable:
            self.refresh()
            self.fp = io.StringIO()
        super().close()


def progress(items, total, name, unit="window", seconds=10.0):
    """Pass `items` on, telling how far along they are.

    In a terminal the line is rewritten twice a second; elsewhere a plain line comes
    every `seconds`, so that a log stays readable.

    Args:
        items: iterable of (count done by this step, value).
        total: the count when all is done.
        name: what the job is.
        unit: what is counted.
        seconds: between lines where there is no terminal.

    Yields:
        The values.
    """
    terminal = sys.stderr.isatty()
    with (tqdm if terminal else _Lines)(
        total=total,
        desc=name,
        unit=unit,
        mininterval=0.5 if terminal else seconds,
        miniters=1,
        bar_format="{desc}: {n:,} of {total:,} {unit}s, {remaining} left",
        file=sys.stderr,
    ) as bar:
        for count, value in items:
            yield value
            bar.update(count)


def clock(seconds):
    """Seconds as minutes and seconds: 65 is '1:05'."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
