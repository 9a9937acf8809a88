"""What all entry points share: a run around the job, and an exit code that tells.

The modules here import the rest of gwres inside their functions: the processes that
simulation spawns import the program's first module again, and would each load
TensorFlow and MLflow for nothing.
"""

import logging
import os
import sys


def run(name, main, argv):
    """Run an entry point in an MLflow run.

    Errors of the user, and files that cannot be read or written, are told in one line
    and end with exit code 2; other exceptions keep their traceback, because they are
    ours. A run whose work is done, but not all of it logged, ends with exit code 1.

    Args:
        name: of the run.
        main: function of the command line's words; what lines it returns are told
            when the run is finished.
        argv: those words.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # The last lines say where the run is.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # By itself gwpy changes how every figure of the process looks once it is imported.
    os.environ.setdefault("GWPY_RCPARAMS", "false")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("gwres").setLevel(logging.INFO)
    _hold()
    from gwres.errors import InputError
    from gwres.tracking import log
    from gwres.tracking.outbox import Unsent

    logger, lines, code = logging.getLogger("gwres"), [], 0
    try:
        _check_names(argv)
        with log.run(name) as active:
            lines = [f"run {active.id} is finished", *(main(argv) or [])]
    except (InputError, OSError) as error:
        # Notes name the item of a long job.
        told = ", ".join([str(error), *getattr(error, "__notes__", [])])
        lines, code = [f"gwres: {told}"], 2
    except Unsent as error:
        # What the work has found is told, for it is done.
        lines, code = [*lines, f"gwres: {error}"], 1
    logger.log(logging.ERROR if code else logging.INFO, "%s", "\n".join(lines))
    if code:
        sys.exit(code)


def _hold():
    """Hold the libraries that are loaded next to the cores that are to be used.

    What is no count is refused by whoever asks for it first.
    """
    from gwres.cores import SETTING, limits

    count = os.environ.get(SETTING, "")
    if count.isdecimal():
        for name, value in limits(int(count)).items():
            os.environ.setdefault(name, value)


def _check_names(words):
    """Refuse names of files that the present locale cannot read.

    MLflow would fail on them in the middle of a job.
    """
    from gwres.errors import InputError

    for text in (os.getcwd(), *words):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the locale must be able to read {ascii(text)}; received one of "
                f"{sys.getfilesystemencoding()}: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
            ) from None
