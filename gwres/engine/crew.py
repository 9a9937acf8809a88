"""Workers for work in many short steps that all of them share.

An item of `work.each` brings all that it needs. Here each worker makes something first,
such as a network, that is too expensive to be made in every step.
"""

import logging

from gwres.engine.item import TRIES, Lost, lost, value

logger = logging.getLogger(__name__)


class Crew:
    """Workers that each make a function once and call it in every step.

    What the function gives must follow from its arguments alone: another worker, in the
    place of one that is lost, then does the same again.

    Args:
        hire: function of a worker's number, from 0, to a worker that begins and ends
            as `local._Worker` does.
        size: number of workers.
        hand: function of what all workers are given to what is sent to each of them.
    """

    def __init__(self, hire, size, hand):
        self.hire, self.hand = hire, hand
        self.workers = [hire(number) for number in range(size)]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for worker in self.workers:
            worker.end()

    def __len__(self):
        """Number of workers."""
        return len(self.workers)

    def step(self, common, parts):
        """Call the function on all workers at once.

        Args:
            common: its first argument, for all workers the same.
            parts: its second one, one for each worker.

        Returns:
            list of the results, in the order of the parts.

        Raises:
            Exception: what the function raised, with a note that names the worker.
            ChildProcessError: `TRIES` workers were lost with one part.
        """
        common = self.hand(common)
        for number, part in enumerate(parts):
            self.workers[number].begin(number, (common, part))
        return [
            value(self._outcome(number, (common, part)), self._called(number))
            for number, part in enumerate(parts)
        ]

    def _called(self, number):
        return f"worker {number + 1} of {len(self)}"

    def _outcome(self, number, given):
        """What came of a part, on the worker that had it or on its successors."""
        for attempts in range(1, TRIES + 1):
            try:
                return self.workers[number].outcome()
            except Lost as loss:
                how = str(loss)
            if attempts < TRIES:
                logger.warning(
                    "%s is lost, another does its part again: %s",
                    self._called(number),
                    how,
                )
                self.workers[number].end()
                self.workers[number] = self.hire(number)
                self.workers[number].begin(number, given)
        return lost(how)
