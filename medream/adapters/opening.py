"""`open_dataset`: choose the adapter, list the folder, warn of leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medream.adapters import (
    amd_dme_3d,
    amd_sd,
    aroi,
    duke_dme,
    folder,
    mirage,
    nnunet,
    oct5k,
    oimhs,
    optima,
    retouch,
    rvo_lesion,
    umn,
    unlabelled,
)
from medream.adapters.dataset import Contents, Dataset, warn_of
from medream.adapters.listing import Listing
from medream.errors import ConfigError, ScanError, nearest
from medream.readers.names import cannot_read
from medream.readers.raster import ClassMap, check_class_map


@dataclass(frozen=True)
class Adapter:
    """How a data set is recognised by what lies in its folder, and how it is listed.

    `read(listing, **options)` gets the options that the user gave, all of them among `options`.
    """

    recognise: Callable[[Listing], bool]
    read: Callable[..., Contents]
    options: tuple[str, ...] = ("class_map",)


ADAPTERS: dict[str, Adapter] = {
    "retouch": Adapter(retouch.recognise, retouch.read),
    "duke_dme": Adapter(duke_dme.recognise, duke_dme.read, ("grader", "all_bscans")),
    "umn": Adapter(umn.recognise, umn.read, ("grader", "all_bscans")),
    "aroi": Adapter(aroi.recognise, aroi.read),
    "nnunet": Adapter(nnunet.recognise, nnunet.read, ("class_map", "subject_pattern")),
    "amd_dme_3d": Adapter(amd_dme_3d.recognise, amd_dme_3d.read, ()),
    "amd_sd": Adapter(amd_sd.recognise, amd_sd.read),
    "oimhs": Adapter(oimhs.recognise, oimhs.read),
    "rvo_lesion": Adapter(rvo_lesion.recognise, rvo_lesion.read),
    "mirage": Adapter(mirage.recognise, mirage.read, ("class_map", "subject_pattern")),
    "oct5k": Adapter(oct5k.recognise, oct5k.read, ()),
    "octdl": Adapter(unlabelled.recognise_octdl, unlabelled.read_octdl, ()),
    "kermany": Adapter(unlabelled.recognise_kermany, unlabelled.read_kermany, ()),
    "octid": Adapter(unlabelled.recognise_octid, unlabelled.read_octid, ()),
    "optima": Adapter(optima.recognise, optima.read, ("reference",)),
    # The last one takes any folder of pictures or volumes.
    "folder": Adapter(
        lambda listing: True,
        lambda listing, **options: folder.read_folder(listing.root, **options),
        ("class_map", "subject_pattern"),
    ),
}


def open_dataset(
    path: str | Path,
    adapter: str | None = None,
    split: str | None = None,
    *,
    class_map: ClassMap | None = None,
    subject_pattern: str | None = None,
    **options: Any,
) -> Dataset:
    """Open a data set's folder; its scans are read when they are indexed.

    Public data sets are recognised by what lies in the folder, and bring their subjects, classes,
    spacing and official parts along; `medream data list` names them. Any other folder of pictures
    is taken by its layout; `Dataset.adapter` says by which adapter.

    Split folders (train, validation or val, test) are kept. A part that is missing is held out
    of train, a fifth of the subjects each, always the same ones. People are never divided,
    unless there is only one: then contiguous blocks of B-scans are, with a warning.

    Parameters
    ----------
    path : path of a folder
        A public data set as it is distributed, or `{train,test}/{Image,GT}`, `images` + `masks`,
        the same below folders of devices or subjects, or pictures alone. Image and mask are
        matched by name. Volumes of any format that is read may lie there instead, with masks called
        `X_mask` beside X; what they say of their subjects, eyes, parts and classes is kept.
        A `dataset.toml` in a folder of one's own may give `name`,
        `spacing_mm = [axial, lateral]`, `[classes]`, `subject_pattern`, `device` and `laterality`.
    adapter : str, optional
        Name of the adapter; found out when None.
    split : "train", "validation", "test", or None for all
    class_map : {name: grey value or (red, green, blue)}, optional
        Meaning of the masks' values, needed for colours; see `read_labels`. For a public data
        set it replaces its fluids by the classes given.
    subject_pattern : str, optional
        Regular expression whose group `subject` is the subject in a file or folder name.
        The default finds `subject01_...`, `patient3`, `sub-01`, `P_007`, `TRAIN012`.
    **options
        What single adapters offer: `grader` (1, 2; for duke_dme also "automatic") and
        `all_bscans` (also those without a reference) for duke_dme and umn; `reference` (a
        function that reads the XML files) for optima.

    Returns
    -------
    Dataset

    Raises
    ------
    ScanError
        When there is no such folder or nothing to read in it.
    ConfigError
        When adapter, split, or an option is unknown or impossible.

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
    >>> len(test), scan.shape, scan.source.subject_id, test.adapter
    (4, (64, 64), 'phantom005', 'folder')
    """
    contents = list_contents(
        path, adapter, class_map=class_map, subject_pattern=subject_pattern, **options
    )
    if contents.ambiguous:
        first = contents.ambiguous[0]
        raise ScanError(
            f"Several masks match one image: {', '.join(str(file) for file in first)}"
            + (f" (and {len(contents.ambiguous) - 1} more such)" if contents.ambiguous[1:] else "")
            + ". Keep one mask for each image."
        )
    if contents.broken:
        raise all_of(contents.broken, contents.path)
    dataset = Dataset(contents, split)
    warn_of(contents)
    return dataset


def list_contents(path: str | Path, adapter: str | None = None, **options: Any) -> Contents:
    """List what a data set's folder holds; arguments and errors as for `open_dataset`."""
    path = Path(path)
    if adapter is not None and adapter not in ADAPTERS:
        raise ConfigError(f"Unknown adapter {adapter!r}. {nearest(adapter, ADAPTERS)}")
    given = {name: value for name, value in options.items() if value is not None}
    if "class_map" in given:
        check_class_map(given["class_map"], "class_map")
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if not path.is_dir():
        raise ScanError(
            f"{path} is a file; a data set is a folder. Read a single file with read_scans."
        )
    listing = Listing(path)
    name = adapter or recognised(listing)
    for option in given:
        if option not in ADAPTERS[name].options:
            raise ConfigError(
                f"The adapter {name!r}, which {path} is read by, has no option {option!r}; it "
                f"takes: {', '.join(ADAPTERS[name].options) or 'none'}."
            )
    contents = ADAPTERS[name].read(listing, **given)
    if not contents.items and not contents.broken:
        raise ScanError(
            f"{path} holds no B-scans in the layout that the adapter {name!r} reads. Give the "
            "data set's own folder, unpacked, or leave the adapter out."
        )
    return contents


def all_of(errors: Sequence[ScanError], path: Path) -> ScanError:
    """Return one error that tells all of several files."""
    if len(errors) == 1:
        return errors[0]
    return ScanError(
        f"{len(errors)} files in {path} cannot be read: "
        + " ".join(f"({k}) {error}" for k, error in enumerate(errors, start=1))
    )


def recognised(listing: Listing) -> str:
    """Return the name of the first adapter that recognises a folder."""
    return next(name for name, known in ADAPTERS.items() if known.recognise(listing))
