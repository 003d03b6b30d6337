"""MATLAB files of version 5 and 7.3: axes, which variable, nothing but numbers, damage."""

import os

import h5py
import numpy as np
import pytest
import scipy.io
from samples import BSCANS, DEPTH, IMAGES, VOLUME, WIDTH, write_mat, write_mat73

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

MATLAB = VOLUME.transpose(1, 2, 0)  # (depth, width, bscan)
WRITERS = pytest.mark.parametrize("write", [write_mat, write_mat73])


def images(scans):
    return np.stack([scan.image for scan in scans])


@WRITERS
def test_volume(tmp_path, write):
    path = write(tmp_path / "a.mat")
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    np.testing.assert_array_equal(images(read_scans(path, only=[4, 1])), IMAGES[[4, 1]])
    assert [s.source.bscan_index for s in read_scans(path, only=[4, 1])] == [4, 1]
    (header,) = read_headers(path)
    assert (header.format, header.bscans, header.size) == ("MATLAB", BSCANS, (DEPTH, WIDTH))
    assert header.spacing_mm is None
    (tmp_path / "b.png").write_bytes(path.read_bytes())
    np.testing.assert_array_equal(images(read_scans(tmp_path / "b.png")), IMAGES)


@WRITERS
def test_layout_of_duke(tmp_path, write):
    """Images beside masks and layers of the same size, in double precision."""
    masks = np.full(MATLAB.shape, np.nan)
    path = write(
        tmp_path / "Subject_01.mat",
        manualFluid1=masks,
        images=MATLAB.astype(float),
        manualFluid2=masks,
        manualLayers1=np.full((8, WIDTH, BSCANS), np.nan),
    )
    scans = read_scans(path)
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert scans[0].source.subject_id == "Subject_01"
    assert read_headers(path)[0].bscans == BSCANS


@WRITERS
def test_first_axis_of_bscans(tmp_path, write):
    path = write(tmp_path / "a.mat", volume=VOLUME)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    np.testing.assert_array_equal(read_scans(path, only=[3])[0].image, IMAGES[3])


@WRITERS
def test_one_bscan(tmp_path, write):
    (scan,) = read_scans(write(tmp_path / "a.mat", I=VOLUME[0].astype(np.uint16)))
    np.testing.assert_allclose(scan.image, VOLUME[0] / 65535, atol=1e-7)


@WRITERS
def test_only_volume_among_tables(tmp_path, write):
    path = write(tmp_path / "a.mat", x=MATLAB, heights=np.ones((8, WIDTH)), age=np.array([[61.0]]))
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)


@WRITERS
def test_several_candidates_are_listed(tmp_path, write):
    path = write(tmp_path / "a.mat", first=MATLAB, second=MATLAB)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.mat.*first \(37 x 24 x 5\), second"):
            read(path)


@pytest.mark.parametrize(
    "content", [{"x": "text"}, {"x": {"a": 1}}, {"x": np.array([1.0])}, {"x": np.zeros((0, 3))}]
)
def test_no_scans(tmp_path, content):
    path = write_mat(tmp_path / "a.mat", **content)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.mat holds"):
            read(path)


@WRITERS
@pytest.mark.parametrize("array", [MATLAB * np.nan, MATLAB * 1e9, -1.0 * MATLAB])
def test_unknown_range(tmp_path, write, array):
    with pytest.raises(ScanError, match=r"a\.mat holds (float64 from|\d+ of \d+ pixels .* not finite)"):
        read_scans(write(tmp_path / "a.mat", images=array))


@WRITERS
def test_names_do_not_come_through(tmp_path, write):
    # Texts are arrays of characters, which nobody asks for.
    path = write(tmp_path / "a.mat", images=MATLAB, x=np.frombuffer(b"Mustermann", np.uint8)[None])
    told = repr([scan.source for scan in read_scans(path)]) + repr(read_headers(path))
    assert "Muster" not in told


def test_one_bscan_of_7_3_reads_no_more(tmp_path, monkeypatch):
    path = write_mat73(tmp_path / "a.mat")
    read = []
    original = h5py.Dataset.__getitem__

    def getitem(self, index):
        found = original(self, index)
        read.append(found.size)
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", getitem)
    read_headers(path)
    assert read == []
    read_scans(path, only=[2])
    assert read == [DEPTH * WIDTH]


# Hostile


def test_other_hdf5_is_refused(tmp_path, shared_data):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = VOLUME
    with pytest.raises(ScanError, match=r"a\.h5 is an HDF5 file, but not"):
        read_scans(tmp_path / "a.h5")
    weights = next((shared_data / "weights").glob("*.h5"))
    with pytest.raises(ScanError, match="not one that MATLAB wrote"):
        read_headers(weights)


def test_links_out_of_the_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["images"] = VOLUME
    path = write_mat73(tmp_path / "a.mat", x=np.ones((2, 2)))
    with h5py.File(path, "r+") as file:
        file["images"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/images")
        file["loop"] = h5py.SoftLink("/loop")
    with pytest.raises(ScanError, match=r"a\.mat holds x"):
        read_scans(path)


def test_external_storage_is_not_read(tmp_path):
    (tmp_path / "secret.bin").write_bytes(VOLUME.tobytes())
    path = write_mat73(tmp_path / "a.mat", x=np.ones((2, 2)))
    with h5py.File(path, "r+") as file:
        dataset = file.create_dataset(
            "images",
            VOLUME.T.shape,
            "u1",
            external=[(str(tmp_path / "secret.bin"), 0, VOLUME.nbytes)],
        )
        dataset.attrs["MATLAB_class"] = np.bytes_("uint8")
    with pytest.raises(ScanError, match=r"a\.mat holds x"):
        read_scans(path)


def test_enormous_claims(tmp_path):
    path = write_mat73(tmp_path / "a.mat", x=np.ones((2, 2)))
    with h5py.File(path, "r+") as file:
        dataset = file.create_dataset("images", (100000, 100000, 100), "u1", chunks=(64, 64, 1))
        dataset.attrs["MATLAB_class"] = np.bytes_("uint8")
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.mat claims to hold"):
            read(path)
    raw = write_mat(tmp_path / "b.mat").read_bytes()
    shape = np.array(MATLAB.shape, "<i4").tobytes()
    assert shape in raw
    (tmp_path / "b.mat").write_bytes(raw.replace(shape, np.array([60000] * 3, "<i4").tobytes()))
    with pytest.raises(ScanError, match=r"b\.mat claims to hold"):
        read_headers(tmp_path / "b.mat")


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Touch(tmp_path / "touched")]), allow_pickle=True)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.npy"):
            read(tmp_path / "a.npy")
    assert not (tmp_path / "touched").exists()


@WRITERS
@pytest.mark.parametrize("packed", [False, True])
def test_cut_short(tmp_path, write, packed):
    path = tmp_path / "cut.mat"
    if packed and write is write_mat:
        scipy.io.savemat(path, {"images": MATLAB}, do_compression=True)
    else:
        write(path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            scans = read_scans(path)
        except ScanError as error:
            assert "cut.mat" in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(images(scans), IMAGES)


@pytest.mark.parametrize("kind", [0, 8, 10, 11, 14, 200, 60000])
@pytest.mark.parametrize("packed", [False, True])
def test_unknown_type_of_numbers_does_not_end_the_process(tmp_path, kind, packed):
    """SciPy's reader takes it as an index into a table and dies."""
    import zlib

    raw = bytearray(write_mat(tmp_path / "a.mat").read_bytes())
    at = raw.index(np.array([2, VOLUME.size], "<u4").tobytes())
    raw[at : at + 4] = kind.to_bytes(4, "little")
    if packed:
        content = zlib.compress(raw[128:])
        raw[128:] = np.array([15, len(content)], "<u4").tobytes() + content
    (tmp_path / "a.mat").write_bytes(raw)
    with pytest.raises(ScanError, match=rf"a\.mat.*type {kind} "):
        read_scans(tmp_path / "a.mat")


def test_complex_numbers(tmp_path):
    with pytest.raises(ScanError, match=r"a\.mat.*complex"):
        read_scans(write_mat(tmp_path / "a.mat", images=MATLAB * 1j))
