"""One line that tells how far a long job is, in a terminal or a log."""

import sys
import time


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
    every = 0.5 if terminal else seconds
    start = last = time.monotonic()
    done = 0
    for count, value in items:
        yield value
        done += count
        now = time.monotonic()
        if now - last < every and done < total:
            continue
        last = now
        left = (now - start) * (total - done) / max(done, 1)
        line = f"{name}: {done:,} of {total:,} {unit}s, {clock(left)} left"
        end = "\n" if done >= total or not terminal else "\r"
        print(f"{line:<70}", file=sys.stderr, end=end, flush=True)


def clock(seconds):
    """Seconds as minutes and seconds: 65 is '1:05'."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
