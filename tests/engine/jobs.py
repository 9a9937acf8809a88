"""Functions for workers, which import them from here."""

import os
import signal
import time
from pathlib import Path


def square(number):
    return number**2


def uneven(number):
    """Later items are finished first."""
    time.sleep(0.1 if number % 4 == 0 else 0)
    return number, os.getpid()


def odd(number):
    if number == 5:
        raise ValueError("five is odd")
    return number


class Strange(Exception):
    """What pickle cannot make again."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def strange(number):
    raise Strange("one", number)


def unsendable(number):
    return (lambda: number) if number == 2 else number


def once(job):
    """Killed in the middle of item 3, the first time that it is worked on."""
    number, mark = job
    if number == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return bytes([number]) * 100_000


def fatal(job):
    """Killed in item 3 always; each time leaves a file."""
    number, folder = job
    if number == 3:
        (Path(folder) / str(time.monotonic_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leaving(number):
    if number == 1:
        raise SystemExit(7)
    return number


def long(job):
    """All but item 0 tell which process they are, and take a minute."""
    number, folder = job
    if number:
        (Path(folder) / f"{number}").write_text(str(os.getpid()))
        time.sleep(60)
    return number


def large(job):
    """Much more than a pipe holds; tells which process it is, once it may go on."""
    number, folder = job
    if number:
        while not (Path(folder) / "go").exists():
            time.sleep(0.01)
        with open(Path(folder) / str(number), "a") as file:
            file.write(f"{os.getpid()}\n")
    return bytes([number]) * (8_000_000 if number else 1)


def nested(number):
    from gwres.engine.work import each

    return [os.getpid(), *each(whose, range(number))]


def whose(_):
    return os.getpid()


def slow(job):
    number, _ = job
    time.sleep(0.3)
    return number


def whole(number):
    """Which process it is, its cores, and which process works for it."""
    from gwres.cores import cores
    from gwres.engine.work import each

    [other] = each(whose, [number])
    return number, os.getpid(), cores(), other


def adder(offset, folder):
    """What a worker of a crew makes once; each making leaves a file."""
    (Path(folder) / f"made-{os.getpid()}").touch()

    def add(common, part):
        return common + part + offset, os.getpid()

    return add


def fragile(folder):
    """A function that is killed at part 1 of step 5, the first time."""

    def times(common, part):
        mark = Path(folder) / "mark"
        if (common, part) == (5, 1) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return common * 10 + part

    return times


def doomed(folder):
    """A function that is killed at part 1 always; each time leaves a file."""

    def end(common, part):
        if part == 1:
            (Path(folder) / str(time.monotonic_ns())).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return end


def unmade():
    raise ValueError("no material")


def choosy():
    def take(common, part):
        if part == common:
            raise ValueError(f"no {part}")
        return part

    return take


def surroundings():
    """A function that tells variables of its process."""

    def tell(_, name):
        return os.environ.get(name)

    return tell
