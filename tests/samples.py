"""Small sound files in each standard format, written by the library that owns the format.

The volume is asymmetric in every axis, so that a transposed axis, a reversed order, a flip or a shifted
index shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

BSCANS, DEPTH, WIDTH = 5, 37, 24
VOLUME = np.random.default_rng(7).integers(0, 256, (BSCANS, DEPTH, WIDTH)).astype(np.uint8)
IMAGES = (VOLUME / 255).astype(np.float32)
SPACING = (0.0039, 0.0117)
BETWEEN = 0.12

PRIVATE = ("Mustermann^Erika", "PID-778899", "19620312", "20240229", "ACC5512", "Dr^Sommer")
UIDS = (
    "1.2.826.0.1.3680043.8.498.11",
    "1.2.826.0.1.3680043.8.498.22",
    "1.2.826.0.1.3680043.8.498.33",
)


def dicom_dataset(pixels: np.ndarray, **attributes):
    """Return an Ophthalmic Tomography dataset of frames, with identifying attributes planted."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, OphthalmicTomographyImageStorage

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = OphthalmicTomographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = UIDS[2]
    ds.SOPClassUID = OphthalmicTomographyImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = UIDS[2], UIDS[0], UIDS[1]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = PRIVATE[:3]
    ds.StudyDate, ds.AccessionNumber, ds.ReferringPhysicianName = PRIVATE[3:]
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "OPT", "Maker", "Eye 9"
    ds.ImageLaterality = "L"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(SPACING), BETWEEN
    shared.PixelMeasuresSequence = pydicom.Sequence([measures])
    ds.SharedFunctionalGroupsSequence = pydicom.Sequence([shared])
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def frame_groups(macro: str, keyword: str, values):
    """Return per-frame functional groups that give each frame one attribute."""
    import pydicom
    from pydicom.dataset import Dataset

    groups = []
    for value in values:
        inner, group = Dataset(), Dataset()
        setattr(inner, keyword, value)
        setattr(group, macro, pydicom.Sequence([inner]))
        groups.append(group)
    return pydicom.Sequence(groups)


def write_dicom(path: Path, pixels: np.ndarray = VOLUME, compress: str | None = None, **attributes):
    ds = dicom_dataset(pixels, **attributes)
    if compress:
        ds.compress(compress)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_itk(path: Path, volume: np.ndarray = VOLUME, compress: bool = False, spacing=None):
    """Write by SimpleITK whatever the suffix says: .nii, .nii.gz, .mhd, .mha, .nrrd, .nhdr."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume)
    if volume.ndim == 3:
        image.SetSpacing(spacing or (SPACING[1], SPACING[0], BETWEEN))
    sitk.WriteImage(image, str(path), compress)
    return path


def write_mat(path: Path, **variables):
    import scipy.io

    scipy.io.savemat(path, variables or {"images": VOLUME.transpose(1, 2, 0)})
    return path


def write_mat73(path: Path, **variables):
    """Write as MATLAB does: axes in the opposite order, the class as an attribute, text in front."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:

        def save(name, array):
            if array.dtype == object:  # cells: references to what lies in a group of its own
                inside = [save(f"#refs#/{name}{k}", cell) for k, cell in enumerate(array.ravel())]
                dataset = file.create_dataset(name, array.T.shape, h5py.ref_dtype)
                dataset[...] = np.array([one.ref for one in inside], object).reshape(array.T.shape)
                kind = "cell"
            else:
                dataset = file.create_dataset(name, data=np.ascontiguousarray(array.T))
                kind = {"f8": "double", "f4": "single"}.get(array.dtype.str[1:], array.dtype.name)
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)
            return dataset

        for name, array in (variables or {"images": VOLUME.transpose(1, 2, 0)}).items():
            save(name, array)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def write_all(folder: Path) -> dict[str, Path]:
    """Write one small file of each standard format; return them by a telling name."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "dicom": write_dicom(folder / "plain.dcm"),
        "dicom rle": write_dicom(folder / "rle.dcm", compress="1.2.840.10008.1.2.5"),
        "dicom groups": write_dicom(
            folder / "groups.dcm",
            PerFrameFunctionalGroupsSequence=frame_groups(
                "PlanePositionSequence",
                "ImagePositionPatient",
                [[0, 0, k * BETWEEN] for k in range(BSCANS)],
            ),
        ),
        "dicom j2k": jpeg2000(folder / "j2k.dcm"),
        "mat 5": write_mat(folder / "five.mat"),
        "mat 7.3": write_mat73(folder / "seven.mat"),
    }
    for suffix in ("nii", "nii.gz", "mhd", "mha", "nrrd", "nhdr"):
        files[suffix] = write_itk(folder / f"itk_{suffix.replace('.', '_')}.{suffix}")
    files["mha compressed"] = write_itk(folder / "packed.mha", compress=True)
    files["nrrd compressed"] = write_itk(folder / "packed.nrrd", compress=True)
    files["nii pair"] = write_itk(folder / "pair.img")
    files["nii float"] = write_itk(folder / "float.nii", IMAGES)
    for suffix in ("png", "jpg", "tif", "bmp"):
        files[suffix] = folder / f"picture.{suffix}"
        Image.fromarray(VOLUME[0]).save(files[suffix])
    np.save(folder / "array.npy", VOLUME)
    np.savez_compressed(folder / "array.npz", image=VOLUME, spacing_mm=SPACING)
    return files | {"npy": folder / "array.npy", "npz": folder / "array.npz"}


def jpeg2000(path: Path, volume: np.ndarray = VOLUME) -> Path:
    """Write a DICOM file with JPEG 2000 frames, encoded by Pillow."""
    import io

    from PIL import Image
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    frames = []
    for bscan in volume:
        buffer = io.BytesIO()
        Image.fromarray(bscan).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        frames.append(buffer.getvalue())
    ds = dicom_dataset(volume)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(path, enforce_file_format=True)
    return path
