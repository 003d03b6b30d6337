"""Importing TensorFlow without the lines that its C++ parts print on stderr while they start."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def load_tensorflow() -> None:
    """Import TensorFlow quietly, unless the user's TF_CPP_MIN_LOG_LEVEL is below 3.

    Errors still raise. TensorFlow that is imported already is left as it is.

    Examples
    --------
    >>> load_tensorflow()
    >>> import sys
    >>> "tensorflow" in sys.modules
    True
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    silent = os.environ.setdefault(_LEVEL, "3") == "3"
    # Some lines are printed before TensorFlow looks at the level.
    with _no_stderr() if silent else contextlib.nullcontext():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Lead the process's stderr nowhere, also what C++ writes to it."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr, such as a service
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
