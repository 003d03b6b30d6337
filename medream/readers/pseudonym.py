"""Pseudonyms: what medream keeps of the names, numbers and UIDs in a file.

A pseudonym is a keyed hash (BLAKE2b) of the identifier. The same person gets the same pseudonym in
every file that carries the same identifier, so that splits by subject hold; names, dates and
UIDs themselves go no further than the reader.

What this protects: outputs, logs and figures name nobody, and nobody can compute the identifier
from the pseudonym. What it does not: without a secret of your own the key is known to everybody,
so somebody who has a list of possible patient numbers can hash them all and compare. Set the
environment variable MEDREAM_SALT to a secret of your study against that, and keep it the same for
all of the study's files. Names of files and folders are kept as they are.
"""

from __future__ import annotations

import hashlib
import os

_DIGITS = 10  # hexadecimal; two of 100,000 subjects collide with odds of one in 220


def pseudonym(kind: str, *identifiers: object) -> str:
    """Return a stable pseudonym, or "unknown" when every identifier is empty.

    Parameters
    ----------
    kind : str
        What is named, such as "subject" or "volume"; the pseudonym begins with it.
    identifiers : str or None
        What identifies it together, such as issuer and patient number.

    Examples
    --------
    >>> pseudonym("subject", "Doe^Jane") == pseudonym("subject", " Doe^Jane ")
    True
    >>> pseudonym("subject", ""), pseudonym("subject", "4711") == pseudonym("subject", "4712")
    ('unknown', False)
    """
    parts = [" ".join(str(part or "").split()) for part in identifiers]
    if not any(parts):
        return "unknown"
    salt = os.environ.get("MEDREAM_SALT", "medream").encode()
    key = hashlib.sha256(salt).digest()
    text = "\x1f".join([kind, *parts]).encode("utf-8", "surrogateescape")
    return f"{kind}-{hashlib.blake2b(text, key=key).hexdigest()[:_DIGITS]}"
