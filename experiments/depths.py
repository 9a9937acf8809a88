"""Which depth and which front end tell signals from noise best, at what cost?

    mlflow run . -e experiment -P name=depths

Scientific: depth and front end. Nuisance: width and learning rate, which each depth
has its own of. Fixed: the data, the windows seen by a front end, one seed.
Spectrograms cost about four times as much, and see a quarter of the windows.
Time: about 6,900 core-seconds in all, reckoned from benchmarks/README.md. Result:
README.md.
"""

from gwres import experiment
from gwres.models.classifier import FRONTENDS

SAMPLES = 200_000  # windows that each member is trained on
TRIALS = 0  # finished trials of each member's study; 0 takes the settings below
# Where 1-D and 2-D networks of a depth differ, the front end is named too.
TUNED = {
    16: {},
    18: {},
    34: {},
    50: {},
    101: {},
    152: {},
}
SPECTROGRAM = {"samples": SAMPLES // 4}


def runs(smoke=False):
    """Six depths, three front ends."""
    varied = {
        f"resnet{depth}-{frontend}": {"depth": depth, "frontend": frontend}
        | TUNED[depth]
        | (SPECTROGRAM if frontend == "spectrogram" else {})
        for frontend in FRONTENDS
        for depth in TUNED
    }
    return experiment.runs(varied, {"samples": SAMPLES}, smoke, trials=TRIALS)
