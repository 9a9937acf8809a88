"""What goes wrong while batches are read, told as it is.

TensorFlow reads in a thread of its own and raises an error of its own, in which ours is
a line of text among many.
"""

from contextlib import contextmanager

from gwres.errors import InputError

_raised = []


def noted(items):
    """Pass items on, and keep the `InputError` that ends them for `unwrapped`."""
    try:
        yield from items
    except InputError as error:
        _raised.append(error)
        raise


@contextmanager
def unwrapped():
    """Raise the `InputError` that ended the items, and not what was made of it."""
    _raised.clear()
    try:
        yield
    except Exception:
        if _raised:
            raise _raised.pop() from None
        raise
