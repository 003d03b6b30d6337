"""RETOUCH: axes, order, spacing, devices, 16 bits, test volumes."""

import numpy as np
import pytest

from medream.adapters import check_dataset, open_dataset
from medream.adapters.opening import ADAPTERS
from medream.errors import ConfigError, ScanError

sitk = pytest.importorskip("SimpleITK")
pytestmark = pytest.mark.filterwarnings("ignore::medream.split.LeakWarning")

SPACING = (0.01174, 0.001955, 0.047)  # x, y, z as in the file


def write(folder, full=255, kind=np.uint8, spacing=SPACING, bscans=3, reference=True):
    """A volume whose B-scan k, row r, column c is told by its value, and a corner of fluid."""
    folder.mkdir(parents=True)
    k, r, c = np.mgrid[:bscans, :10, :14]
    oct_volume = ((40 * k + 3 * r + c) * (full // 255)).astype(kind)
    labels = np.zeros(oct_volume.shape, np.uint8)
    labels[1, 2, 3:8] = 1
    labels[1, 5, 1:4] = 2
    labels[2:, 9, 0:2] = 3
    for name, array in (("oct", oct_volume), ("reference", labels))[: 1 + reference]:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(folder / f"{name}.mhd"))
    return oct_volume, labels


def tree(root):
    write(root / "RETOUCH-TrainingSet-Cirrus" / "TRAIN002")
    write(root / "RETOUCH-TrainingSet-Cirrus" / "TRAIN010")
    write(root / "TrainingSpectralis" / "RETOUCH-TrainingSet-Spectralis" / "TRAIN025",
          65535, np.uint16, (0.0115, 0.003872, 0.12))  # fmt: skip
    write(root / "RETOUCH-TestSet-Topcon" / "TEST007", bscans=2, reference=False)
    return root


def test_axes_order_labels_and_spacing(tmp_path):
    volume, labels = write(tmp_path / "RETOUCH-TrainingSet-Topcon" / "TRAIN049")
    data = open_dataset(tmp_path)
    assert data.adapter == "retouch"
    assert data.classes == ("IRF", "SRF", "PED")
    for k, scan in enumerate(data):
        np.testing.assert_array_equal(np.round(scan.image * 255), volume[k])
        np.testing.assert_array_equal(scan.mask, labels[k])
        assert scan.source.bscan_index == k
        assert scan.spacing_mm == pytest.approx((0.001955, 0.01174))
        assert scan.source.laterality is None


def test_subjects_devices_and_parts(tmp_path):
    data = open_dataset(tree(tmp_path))
    devices = {s.subject_id: s.device for s in data.sources}
    assert devices == {"TRAIN002": "Cirrus", "TRAIN010": "Cirrus", "TRAIN025": "Spectralis",
                       "TEST007": "Topcon"}  # fmt: skip
    assert {s.subject_id for s in data.part("test").sources} == {"TEST007"}
    assert all(scan.mask is None for scan in data.part("test"))
    assert len(data.part("test")) == 2
    train = {s.subject_id for s in data.part("train").sources}
    held = {s.subject_id for s in data.part("validation").sources}
    assert train | held == {"TRAIN002", "TRAIN010", "TRAIN025"}
    assert not train & held


def test_sixteen_bits_are_scaled_by_the_full_range(tmp_path):
    volume, _ = write(tmp_path / "TRAIN025", 65535, np.uint16, (0.0115, 0.003872, 0.12))
    (scan,) = open_dataset(tmp_path)[1:2]
    np.testing.assert_allclose(scan.image, volume[1] / 65535, atol=1e-7)
    assert scan.image.max() < 0.35
    assert scan.source.device == "Spectralis"  # by its number alone


def test_one_volume_opens_too(tmp_path):
    write(tmp_path / "TRAIN060")
    data = open_dataset(tmp_path / "TRAIN060")
    assert {(s.subject_id, s.device) for s in data.sources} == {("TRAIN060", "Topcon")}


def test_one_bscan_costs_one_bscan(tmp_path, monkeypatch):
    write(tmp_path / "TRAIN001")
    raw = tmp_path / "TRAIN001" / "oct.raw"
    data = open_dataset(tmp_path)
    whole = raw.read_bytes()
    sizes = []
    real = sitk.ImageFileReader.Execute

    def execute(self):
        image = real(self)
        sizes.append(image.GetSize())
        return image

    monkeypatch.setattr(sitk.ImageFileReader, "Execute", execute)
    assert data[1].image[0, 0] == pytest.approx(40 / 255)
    assert sizes == [(14, 10)] * 2  # and its reference
    raw.write_bytes(whole[: 2 * 140])  # the third B-scan is missing
    with pytest.raises(ScanError, match=r"oct\.mhd claims to hold 14 x 10 x 3"):
        open_dataset(tmp_path)


def test_wrong_values_paths_and_options(tmp_path):
    write(tmp_path / "TRAIN001")
    odd = sitk.GetImageFromArray(np.full((3, 10, 14), 7, np.uint8))
    sitk.WriteImage(odd, str(tmp_path / "TRAIN001" / "reference.mhd"))
    with pytest.raises(ScanError, match=r"reference\.mhd holds the values 7"):
        open_dataset(tmp_path)[0]
    assert any("values 7" in str(problem) for problem in check_dataset(tmp_path))
    with pytest.raises(ConfigError, match="no option 'grader'"):
        open_dataset(tmp_path, grader=2)


@pytest.mark.parametrize(
    "where", ["../secret.raw", "{}/secret.raw", "LIST", "x%d.raw 1 9 1", "gone.raw"]
)
def test_a_header_does_not_lead_elsewhere(tmp_path, where):
    write(tmp_path / "TRAIN001")
    header = tmp_path / "TRAIN001" / "oct.mhd"
    (tmp_path / "secret.raw").write_bytes(bytes(420))
    header.write_text(header.read_text().replace("oct.raw", where.format(tmp_path)))
    with pytest.raises(ScanError, match=r"oct\.mhd.*(pixel file|ElementDataFile)"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"ObjectType = Image\nNDims = 3\nDimSize = 1000000000 9 9\n", b"x" * 99]
)
def test_damaged_headers(tmp_path, content):
    write(tmp_path / "TRAIN001")
    (tmp_path / "TRAIN001" / "oct.mhd").write_bytes(content)
    with pytest.raises(ScanError, match=r"oct\.mhd"):
        open_dataset(tmp_path)


def test_user_classes_replace_the_fluids(tmp_path):
    _, labels = write(tmp_path / "TRAIN001")
    data = open_dataset(tmp_path, class_map={"PED": 3})
    assert data.classes == ("PED",)
    np.testing.assert_array_equal(data[2].mask, labels[2] == 3)
    assert not data[1].mask.any()


def test_no_other_adapter_takes_it(tmp_path):
    from medream.adapters.listing import Listing

    listing = Listing(tree(tmp_path))
    takers = [name for name, known in ADAPTERS.items() if known.recognise(listing)]
    assert takers == ["retouch", "folder"]
