"""The gate before the registry: does a candidate take the champion's place?"""

from dataclasses import dataclass

from gwres.judging import predictions
from gwres.judging.metrics import SIGNIFICANCE, Difference


@dataclass(frozen=True)
class Decision:
    """What the gate says.

    Args:
        passed: whether the candidate becomes champion.
        reason: why, in words.
        difference: candidate less champion in ROC-AUC, or None where there is no
            champion to compare with.
    """

    passed: bool
    reason: str
    difference: Difference | None = None


def decide(candidate, champion):
    """Whether a candidate becomes champion: it must beat the present one, if any.

    Args:
        candidate: predictions table of the gate split.
        champion: the champion's predictions of the same windows, or None.

    Returns:
        `Decision`.

    Raises:
        InputError: not the same windows, or one class alone.
    """
    if champion is None:
        return Decision(True, "there is no champion")
    difference = predictions.compare(candidate, champion)
    passed = difference.value > 0 and difference.p < SIGNIFICANCE
    words = "it beats" if passed else "it does not beat"
    reason = (
        f"{words} the champion on the gate split: ROC-AUC {difference}, "
        f"p = {difference.p:.2g}"
    )
    return Decision(passed, reason, difference)
