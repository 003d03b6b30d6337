"""What a broken file may do to the library that reads it, turned into one clear error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from medream.errors import MedreamError, ScanError
from medream.readers.names import cannot_read

_MANY_PIXELS = 2**28
_HIGH_RATIO = 200  # pixels for each stored byte, beyond which so many can only be empty


@contextlib.contextmanager
def guarded(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises inside of the block into a ScanError that names the file.

    Parameters
    ----------
    path : Path
    expected : str
        What a sound file would be, such as "a complete DICOM image".
    """
    try:
        yield
    except MedreamError:
        raise
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise cannot_read(Path(error.filename or path), error) from error
    except MemoryError as error:
        raise ScanError(
            f"{path} needs more memory than there is. Read it on a larger machine, or B-scan by "
            "B-scan with read_scans(path, only=[...])."
        ) from error
    except Exception as error:  # parsers raise whatever they trip over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ScanError(
            f"{path} is damaged or cut short ({reason}); expected {expected}. Copy or export the "
            "file again."
        ) from error


def check_claim(
    path: Path, shape: tuple[int, ...], stored: int, item_bytes: float, compressed: bool = False
) -> None:
    """Refuse a header that claims more pixels than the file can hold, before memory is taken.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        What the header claims.
    stored : int
        Bytes that are there.
    item_bytes : float
        Bytes of one pixel.
    compressed : bool
        When True, only claims beyond any compression are refused.

    Raises
    ------
    ScanError
        When the claim is empty, negative or too large.
    """
    pixels = 1
    for length in shape:
        pixels *= length
    claim = " x ".join(str(length) for length in shape)
    if min(shape, default=0) <= 0:
        raise ScanError(f"{path} claims to hold {claim} pixels, that is none. Export it again.")
    if compressed:
        too_large = pixels > _MANY_PIXELS and pixels > stored * _HIGH_RATIO
    else:
        too_large = pixels * item_bytes > stored
    if too_large:
        raise ScanError(
            f"{path} claims to hold {claim} pixels, but only {stored} bytes of them are there: the "
            "file is cut short or its header is wrong. Copy or export it again."
        )
