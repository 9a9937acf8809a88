"""What the engine itself costs: its import, and items that do nothing.

`python -m benchmarks.engine 10000`; with RAY_ADDRESS, of that cluster too. Processor
time is that of this process and its own; a cluster's is told by the clock alone.
"""

import os
import resource
import subprocess
import sys
import time

from gwres.engine import work

WORKERS = (1, 2, 4)


def nothing(item):
    """An item that costs nothing by itself."""
    return item


def used():
    """Processor time of this process, and of those that have ended, s."""
    each = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in each)


def imported(module):
    """Processor time of an import in a fresh process, s; the least of five."""
    script = f"import time; t = time.process_time(); import {module}; "
    script += "print(time.process_time() - t)"
    words = [sys.executable, "-c", script]
    return min(float(subprocess.check_output(words)) for _ in range(5))


def measure(count, **options):
    """Seconds, and processor time, of so many empty items."""
    before, start = used(), time.perf_counter()
    for _ in work.each(nothing, range(count), **options):
        pass
    return time.perf_counter() - start, used() - before


def main(count):
    """Print the table."""
    cluster = os.environ.pop(work.CLUSTER, "")
    print(f"import numpy: {imported('numpy') * 1e3:.0f} ms of a core")
    print(f"import gwres.engine.work: {imported('gwres.engine.work') * 1e3:.0f} ms")
    print(f"{count:,} empty items | seconds | core-s\n--- | --- | ---")
    seconds, cost = measure(count, threads=2)
    print(f"threads of this process | {seconds:.2f} | {cost:.2f}")
    for workers in WORKERS:
        os.environ["GWRES_WORKERS"] = str(workers)
        seconds, cost = measure(count)
        print(f"{workers} processes | {seconds:.2f} | {cost:.2f}")
    if cluster:
        os.environ[work.CLUSTER] = cluster
        measure(1)
        print(f"cluster | {measure(count)[0]:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
