"""The errors medream raises on purpose.

Every message says what happened, what was expected and how to fix it, and names the
file or the layer. The command line prints the message as one paragraph and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedreamError(Exception):
    """Base of every error that medream raises on purpose."""


class ScanError(MedreamError):
    """A scan, a mask or a data set cannot be read, or its contents do not fit together."""


class ModelError(MedreamError):
    """A network cannot be built, opened, or used for what was asked of it."""


class LayerError(ModelError):
    """A layer name that the network does not have."""


class ConfigError(MedreamError):
    """Settings that contradict each other or the data."""


class TrainingError(MedreamError):
    """Training had to stop; the message says what is kept and where."""


class OutputError(MedreamError):
    """A result cannot be written or read back."""


class MissingExtraError(MedreamError):
    """A feature needs an optional package; the message says which extra installs it."""


def nearest(name: str, known: Iterable[str], n: int = 5) -> str:
    """Return a sentence that names the entries of `known` closest to `name`.

    >>> nearest("dec1_conv3", ["dec1_conv2", "logits"])
    'The nearest names are: dec1_conv2.'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=n, cutoff=0.5)
    if close:
        return f"The nearest names are: {', '.join(close)}."
    shown = ", ".join(known[:12]) + (f", ... ({len(known)} in all)" if len(known) > 12 else "")
    return f"The names are: {shown}."
