"""`open_dataset`: choose the adapter, list the folder, warn of leaks."""

from __future__ import annotations

from pathlib import Path

from medream.adapters.dataset import Contents, Dataset, warn_of
from medream.adapters.folder import read_folder
from medream.errors import ConfigError, ScanError, nearest
from medream.readers.names import cannot_read
from medream.readers.raster import ClassMap, check_class_map

ADAPTERS = {"folder": read_folder}


def open_dataset(
    path: str | Path,
    adapter: str | None = None,
    split: str | None = None,
    *,
    class_map: ClassMap | None = None,
    subject_pattern: str | None = None,
) -> Dataset:
    """Open a data set's folder; its scans are read when they are indexed.

    Split folders (train, validation or val, test) are kept. A part that is missing is held out
    of train, a fifth of the subjects each, always the same ones. People are never divided,
    unless there is only one: then contiguous blocks of B-scans are, with a warning.

    Parameters
    ----------
    path : path of a folder
        `{train,test}/{Image,GT}`, `images` + `masks`, the same below folders of devices or
        subjects, or pictures alone. Image and mask are matched by name. A `dataset.toml` in it
        may give `name`, `spacing_mm = [axial, lateral]`, `[classes]`, `subject_pattern`
        and `device`.
    adapter : str, optional
        Name of the adapter; found out when None.
    split : "train", "validation", "test", or None for all
    class_map : {name: grey value or (red, green, blue)}, optional
        Meaning of the masks' values, needed for colours; see `read_labels`.
    subject_pattern : str, optional
        Regular expression whose group `subject` is the subject in a file or folder name.
        The default finds `subject01_...`, `patient3`, `sub-01`, `P_007`, `TRAIN012`.

    Returns
    -------
    Dataset

    Raises
    ------
    ScanError
        When there is no such folder or nothing to read in it.
    ConfigError
        When adapter, split, or subject_pattern is unknown or impossible.

    Warns
    -----
    LeakWarning
        When train and test or validation may share a person.

    Examples
    --------
    >>> import tempfile
    >>> from medream.phantom import phantom_scans, save_phantom
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_phantom(phantom_scans(12, size=(64, 64), bscans_per_subject=2), folder)
    ...     test = open_dataset(folder, split="test")
    ...     scan = test[0]
    >>> len(test), scan.shape, scan.source.subject_id
    (4, (64, 64), 'phantom005')
    """
    contents = list_contents(path, adapter, class_map, subject_pattern)
    if contents.ambiguous:
        first = contents.ambiguous[0]
        raise ScanError(
            f"Several masks match one image: {', '.join(str(file) for file in first)}"
            + (f" (and {len(contents.ambiguous) - 1} more such)" if contents.ambiguous[1:] else "")
            + ". Keep one mask for each image."
        )
    dataset = Dataset(contents, split)
    warn_of(contents)
    return dataset


def list_contents(
    path: str | Path,
    adapter: str | None = None,
    class_map: ClassMap | None = None,
    subject_pattern: str | None = None,
) -> Contents:
    """List what a data set's folder holds; arguments and errors as for `open_dataset`."""
    path = Path(path)
    if adapter is not None and adapter not in ADAPTERS:
        raise ConfigError(f"Unknown adapter {adapter!r}. {nearest(adapter, ADAPTERS)}")
    if class_map is not None:
        check_class_map(class_map, "class_map")
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if not path.is_dir():
        raise ScanError(
            f"{path} is a file; a data set is a folder. Read a single file with read_scans."
        )
    return ADAPTERS[adapter or "folder"](path, class_map, subject_pattern)
