"""The one error a user can mend."""


class InputError(ValueError):
    """Something the user gave is wrong; the message says what was expected.

    Entry points print it as one line and leave with exit code 2; any other
    exception is a defect of gwres and keeps its traceback.
    """
