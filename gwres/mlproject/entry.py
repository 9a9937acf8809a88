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

    Errors of the user, and files that cannot be read or written, are told in one line;
    other exceptions keep their traceback, because they are ours.

    Args:
        name: of the run.
        main: function of the command line's words; what lines it returns are told
            when the run is finished.
        argv: those words.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # By itself gwpy changes how every figure of the process looks once it is imported.
    os.environ.setdefault("GWPY_RCPARAMS", "false")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("gwres").setLevel(logging.INFO)
    from gwres.errors import InputError
    from gwres.tracking import log

    try:
        _check_names(argv)
        with log.run(name) as active:
            lines = main(argv)
    except (InputError, OSError) as error:
        # Notes name the item of a long job.
        told = ", ".join([str(error), *getattr(error, "__notes__", [])])
        logging.getLogger("gwres").error("gwres: %s", told)
        sys.exit(2)
    lines = [f"run {active.id} is finished", *(lines or [])]
    logging.getLogger("gwres").info("%s", "\n".join(lines))


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
