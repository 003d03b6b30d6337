"""Segmentations: DICOM SEG that refers to its source frames, and label volumes as NIfTI."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from medream.errors import OutputError, ScanError
from medream.readers import read_scans
from medream.readers.dicom import frame_numbers
from medream.writers import write_masks

highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

from medream.cli.volumes import dicom_frames, save_masks, scans_at  # noqa: E402
from medream.writers.dicom_seg import write_dicom_seg  # noqa: E402

FRAMES, DEPTH, WIDTH = 4, 16, 24
ORDER = [2, 0, 3, 1]  # place in the stack of each stored frame
PIXELS = (np.arange(FRAMES * DEPTH * WIDTH).reshape(FRAMES, DEPTH, WIDTH) % 250).astype(np.uint8)


def item(**values):
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, Sequence([value]) if isinstance(value, Dataset) else value)
    return ds


def common(ds):
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "OPT", "Acme", "OCT-1"
    ds.PatientID, ds.PatientName = "PAT-4711", "Mustermann^Erika"
    ds.PatientBirthDate, ds.PatientSex = "19640812", "F"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = DEPTH, WIDTH, 1
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.PhotometricInterpretation = 7, 0, "MONOCHROME2"
    return ds


@pytest.fixture
def opt(tmp_path):
    """Return the path of a multi-frame Ophthalmic Tomography file, frames out of order."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
    ds = common(ds)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.FrameOfReferenceUID = generate_uid()
    ds.ImageLaterality = "L"
    ds.NumberOfFrames = FRAMES
    ds.SharedFunctionalGroupsSequence = Sequence([item(
        PixelMeasuresSequence=item(PixelSpacing=[0.004, 0.012], SliceThickness=0.1,
                                   SpacingBetweenSlices=0.1),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 0, 1]),
    )])  # fmt: skip
    ds.PerFrameFunctionalGroupsSequence = Sequence([
        item(
            FrameContentSequence=item(StackID="1", InStackPositionNumber=place + 1,
                                      DimensionIndexValues=[1, place + 1]),
            PlanePositionSequence=item(ImagePositionPatient=[0, 0.1 * place, 0]),
        )
        for place in ORDER
    ])  # fmt: skip
    ds.PixelData = PIXELS.tobytes()
    ds["PixelData"].VR = "OB"
    path = tmp_path / "eye.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def results(scans, classes=("fluid",)):
    """Mark in each B-scan a place that only it has."""
    found = []
    for k, scan in enumerate(scans):
        mask = np.zeros(scan.shape, np.uint8)
        mask[2 + k, 5:9] = 1 + k % len(classes)
        likely = np.where(mask[..., None] == np.arange(len(classes) + 1), 0.75, 0.0)
        likely = likely[..., 1] if len(classes) == 1 else likely
        probability = likely.astype(np.float32)
        found.append(SimpleNamespace(mask=mask, probability=probability, classes=classes))
    return list(zip(scans, found, strict=True))


def test_segmentation_refers_to_the_source_frames(opt, tmp_path):
    scans = read_scans(opt)
    pairs = results(scans)
    save_masks(tmp_path, {}, "dicom-seg", pairs)
    (file,) = tmp_path.glob("*_masks.dcm")
    seg, source = pydicom.dcmread(file), pydicom.dcmread(opt)
    assert seg.SegmentationType == "BINARY"
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert seg.SegmentSequence[0].SegmentLabel == "fluid"
    assert seg.PatientID == "PAT-4711"  # a PACS files it by that
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        stored = int(np.ravel(reference.ReferencedFrameNumber)[0]) - 1
        # The scan at this place in the stack shows that stored frame.
        scan, one = pairs[ORDER[stored]]
        np.testing.assert_allclose(scan.image, PIXELS[stored] / 255, atol=1e-6)
        np.testing.assert_array_equal(frame, one.mask)
    assert len(seg.pixel_array) == FRAMES
    assert "Mustermann" not in file.name
    assert "4711" not in file.name


def test_probabilities_are_fractional(opt, tmp_path):
    pairs = results(read_scans(opt))
    save_masks(tmp_path, {}, "dicom-seg", pairs)
    (file,) = tmp_path.glob("*_probabilities.dcm")
    seg = highdicom.seg.segread(file)
    assert (seg.SegmentationType, seg.MaximumFractionalValue) == ("FRACTIONAL", 255)
    source = pydicom.dcmread(opt)
    values = seg.get_pixels_by_source_frame(source.SOPInstanceUID, [1, 2, 3, 4])[..., 0]
    expected = np.stack([pairs[ORDER[stored]][1].probability for stored in range(FRAMES)])
    np.testing.assert_allclose(values, expected, atol=1 / 255)


def test_several_classes_are_several_segments(opt, tmp_path):
    pairs = results(read_scans(opt), ("IRF", "SRF"))
    save_masks(tmp_path, {}, "dicom-seg", pairs)
    source = pydicom.dcmread(opt)
    for kind in ("masks", "probabilities"):
        seg = highdicom.seg.segread(next(tmp_path.glob(f"*_{kind}.dcm")))
        assert [s.SegmentLabel for s in seg.SegmentSequence] == ["IRF", "SRF"]
        values = seg.get_pixels_by_source_frame(source.SOPInstanceUID, [1, 2, 3, 4])
        for stored in range(FRAMES):
            mask = pairs[ORDER[stored]][1].mask
            for label in (1, 2):
                np.testing.assert_array_equal(values[stored, ..., label - 1] > 0.5, mask == label)


def test_single_frames_of_a_series(tmp_path):
    study, series, place = generate_uid(), generate_uid(), generate_uid()
    folder = tmp_path / "series"
    folder.mkdir()
    for k in range(3):
        ds = Dataset()
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        ds = common(ds)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, place
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 2 - k, 0], [1, 0, 0, 0, 0, 1]
        ds.PixelSpacing, ds.SliceThickness, ds.InstanceNumber = [0.004, 0.012], 1, k + 1
        ds.PixelData = PIXELS[k].tobytes()
        ds["PixelData"].VR = "OB"
        ds.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    scans = read_scans(folder)
    pairs = results(scans)
    save_masks(tmp_path, str(folder), "dicom-seg", pairs)
    seg = pydicom.dcmread(next(tmp_path.glob("*_masks.dcm")))
    by_uid = {pydicom.dcmread(scan.source.path).SOPInstanceUID: one.mask for scan, one in pairs}
    assert len(seg.pixel_array) == 3
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        np.testing.assert_array_equal(frame, by_uid[reference.ReferencedSOPInstanceUID])


def test_no_lesion_at_all_is_a_segmentation_too(opt, tmp_path):
    scans = read_scans(opt)
    empty = [np.zeros(scan.shape, np.uint8) for scan in scans]
    write_dicom_seg(dicom_frames(scans), empty, ["fluid"], tmp_path / "a.dcm")
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    assert not seg.pixel_array.any()


def test_what_cannot_be_referred_to_is_said_at_once(opt, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 20), np.uint8))
    with pytest.raises(ScanError, match="is no DICOM file"):
        dicom_frames(read_scans(tmp_path / "a.npy"))
    for name in ("FrameOfReferenceUID", "StudyInstanceUID"):
        ds = pydicom.dcmread(opt)
        delattr(ds, name)
        ds.save_as(tmp_path / "b.dcm")
        with pytest.raises(ScanError, match=rf"b\.dcm lacks {name}"):
            dicom_frames(read_scans(tmp_path / "b.dcm"))
    ds = pydicom.dcmread(opt)
    del ds.SharedFunctionalGroupsSequence
    ds.save_as(tmp_path / "c.dcm")
    scans = read_scans(tmp_path / "c.dcm")
    masks = [np.zeros(scan.shape, np.uint8) for scan in scans]
    with pytest.raises(ScanError, match=r"c\.dcm.*attributes do not allow"):
        write_dicom_seg(dicom_frames(scans), masks, ["fluid"], tmp_path / "d.dcm")
    assert not (tmp_path / "d.dcm").exists()
    with pytest.raises(OutputError, match="needs all of them"):
        write_dicom_seg(dicom_frames(read_scans(opt))[:2], masks[:2], ["x"], tmp_path / "d.dcm")


def test_frame_numbers_follow_the_stack(opt):
    assert frame_numbers(opt) == [ORDER.index(place) for place in range(FRAMES)]


def test_label_volume_as_nifti(opt, tmp_path):
    import nibabel

    scans, distances, _ = scans_at(opt)
    pairs = results(scans, ("IRF", "SRF"))
    save_masks(tmp_path, distances, "nifti", pairs)
    (file,) = tmp_path.glob("*_mask.nii.gz")
    image = nibabel.load(file)
    assert image.header.get_zooms() == pytest.approx((0.012, 0.004, 0.1))
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).T, np.stack([one.mask for _, one in pairs])
    )
    assert b"4711" not in json.dumps(str(image.header.extensions)).encode()
    with pytest.raises(OutputError, match="no masks"):
        write_masks(read_scans(opt), tmp_path / "x.nii")
