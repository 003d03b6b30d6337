"""DICOM Segmentation, by highdicom: masks or probabilities that refer to the frames they are of.

A Segmentation belongs to the study of its source: it carries the patient's and the study's
attributes (names, numbers, dates) as the source has them, or a PACS could not file it. It is the
only output of medream that does. Segment a de-identified copy where that must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medream.errors import MissingExtraError, OutputError, ScanError
from medream.files import atomic_file

if TYPE_CHECKING:
    from pydicom import Dataset

_EXTRA = 'DICOM Segmentation needs highdicom. Install it with: pip install "medream[dicom-seg]"'
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# May be empty, but must be there; de-identified files often leave them out.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime",
)  # fmt: skip


def write_dicom_seg(
    frames: Sequence[tuple[str | Path, int]],
    found: Sequence[np.ndarray],
    classes: Sequence[str],
    out: str | Path,
) -> Path:
    """Write the segmentation of a DICOM volume, whole or not at all.

    Parameters
    ----------
    frames : sequence of (file, frame number from 0)
        Where each B-scan is: all frames of one file, in any order, or files of one frame each.
    found : sequence of ndarray
        For each B-scan a mask, uint8 (depth, width), which is written as a BINARY segmentation,
        or probabilities, float32 (depth, width) or (depth, width, classes), as FRACTIONAL.
    classes : sequence of str
        Names of the mask's values 1, 2, ..., or of the probabilities.
    out : path
        File to write.

    Returns
    -------
    Path

    Raises
    ------
    MissingExtraError
        When highdicom is not installed.
    ScanError
        When the source is no DICOM, or lacks what a Segmentation must refer to.
    """
    sources = check_sources(dict.fromkeys(Path(path) for path, _ in frames))
    from highdicom import UID, AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    own_version = version("medream")
    pixels = _in_frame_order(frames, found, sources)
    probabilities = pixels.dtype.kind == "f"
    algorithm = AlgorithmIdentificationSequence(
        name="medream", version=own_version, family=codes.DCM.ArtificialIntelligence
    )
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(classes, start=1)
    ]
    try:
        segmentation = Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type="FRACTIONAL" if probabilities else "BINARY",
            segment_descriptions=described,
            series_instance_uid=UID(),
            series_number=100,
            sop_instance_uid=UID(),
            instance_number=1,
            manufacturer="medream",
            manufacturer_model_name="medream",
            software_versions=own_version,
            device_serial_number="none",
            series_description=f"medream {'probabilities' if probabilities else 'masks'}",
            content_creator_name="medream^",
        )
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ScanError(
            f"{frames[0][0]}: its attributes do not allow a DICOM Segmentation ({error}); expected "
            "frames with pixel spacing, position and orientation. Write the masks as nifti instead."
        ) from error
    with atomic_file(out) as temporary:
        segmentation.save_as(temporary)
    return Path(out)


def check_sources(files: Iterable[str | Path]) -> list[Dataset]:
    """Open the DICOM files that a Segmentation is to refer to.

    Raises
    ------
    MissingExtraError
        When highdicom is not installed.
    ScanError
        When a file is no DICOM, or lacks what a Segmentation must refer to.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(_EXTRA) from error
    return [_source(Path(file)) for file in files]


def _source(path: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        ds = dcmread(path, defer_size="1 MB")
    except (InvalidDicomError, OSError) as error:
        raise ScanError(
            f"{path} is no DICOM file, so a DICOM Segmentation has nothing to refer to. Write the "
            "masks as nifti, npz or png instead."
        ) from error
    missing = [name for name in _NEEDED if not ds.get(name)]
    if missing:
        raise ScanError(
            f"{path} lacks {', '.join(missing)}, to which a DICOM Segmentation must refer. Export "
            "the original from the device or PACS, or write the masks as nifti instead."
        )
    for name in _MAY_BE_EMPTY:
        if name not in ds:
            setattr(ds, name, "")
    return ds


def _in_frame_order(
    frames: Sequence[tuple[str | Path, int]], found: Sequence[np.ndarray], sources: list[Any]
) -> np.ndarray:
    """Stack what was found as the source's frames lie in it."""
    if len(sources) > 1:
        if any(int(ds.get("NumberOfFrames") or 1) > 1 for ds in sources):
            raise OutputError(
                "A DICOM Segmentation refers to one file of many frames or to many files of one "
                f"frame; got {len(sources)} files of many. Segment them one by one."
            )
        return np.stack(found)
    numbers = [number for _, number in frames]
    expected = int(sources[0].get("NumberOfFrames") or 1)
    if sorted(numbers) != list(range(expected)):
        raise OutputError(
            f"{frames[0][0]} has {expected} frames, but {len(numbers)} were segmented; a DICOM "
            "Segmentation needs all of them."
        )
    return np.stack([found[k] for k in np.argsort(numbers)])
