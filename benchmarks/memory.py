"""Peak memory of a job with all its processes.

Proportional set size: what several processes share is counted once. Linux only.

    python -m benchmarks.memory [options of gwres.mlproject.main, such as --depth 34]

Runs, study and store go to a temporary folder; $GWRES_CACHE is used as it is, so that
an empty one counts the simulation too.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

EVERY_S = 0.5


def held(process):
    """Bytes that a process and all below it hold now, and how many they are."""
    total = count = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
            count += 1
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended meanwhile
    return total, count


def main(words):
    """Run the job, watch it, print the peak."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        command = [sys.executable, "-m", "gwres.mlproject.main", *words]
        command += ["--storage", f"sqlite:///{folder}/optuna.db"]
        start, peak = time.monotonic(), (0, 0, 0.0)
        # MLflow puts files beside where it is started.
        job = subprocess.Popen(command, cwd=folder, env=environment)
        while job.poll() is None:
            try:
                total, count = held(psutil.Process(job.pid))
            except psutil.NoSuchProcess:
                break
            peak = max(peak, (total, count, time.monotonic() - start))
            time.sleep(EVERY_S)
        code, seconds = job.wait(), time.monotonic() - start
    total, count, when = peak
    print(f"main {' '.join(words)}: exit code {code} after {seconds:.0f} s")
    print(f"peak {total / 1e9:.2f} GB in {count} processes, {when:.0f} s in")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
