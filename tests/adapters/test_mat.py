"""Data sets as MATLAB files: Duke DME and UMN, of both versions, sound and broken."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
import scipy.io
import trees
from test_public_sets import corners, grey, names
from trees import DEPTH, WIDTH, scan, spots

from medream.adapters import mat, open_dataset
from medream.errors import ConfigError, ScanError
from medream.readers.matlab import cell_shapes, load_variable

# Duke DME


@pytest.mark.parametrize("make", [trees.duke_dme, trees.duke_v73])
def test_duke_axes_order_and_annotated_bscans(tmp_path, make):
    data = open_dataset(make(tmp_path))
    first = data[:2]
    assert [s.bscan_index for s in first.sources] == [1, 3]
    assert corners(first) == [11, 13]
    np.testing.assert_array_equal(grey(first)[1], scan(13))
    assert not first[0].mask.any()
    np.testing.assert_array_equal(first[1].mask, spots(a=1, b=1))  # ids of lesions, any > 0
    assert data.classes == ("fluid",)
    assert first[0].spacing_mm == (0.00387, 0.01133)
    assert first[0].source.laterality is None


def test_duke_subjects_graders_and_all_bscans(tmp_path):
    trees.duke_dme(tmp_path)
    data = open_dataset(tmp_path)
    assert names(data) == ["subject01", "subject02", "subject10"]
    assert len(data) == 6
    np.testing.assert_array_equal(open_dataset(tmp_path, grader=2)[1].mask, spots(b=1))
    np.testing.assert_array_equal(open_dataset(tmp_path, grader="automatic")[1].mask, spots(c=1))
    every = open_dataset(tmp_path, all_bscans=True)
    assert len(every) == 15
    assert [s.mask is not None for s in every[:5]] == [False, True, False, True, False]
    assert corners(every[:5]) == [10, 11, 12, 13, 14]
    with pytest.raises(ConfigError, match="grader 3"):
        open_dataset(tmp_path, grader=3)
    held = [set(names(data.part(split))) for split in ("train", "validation", "test")]
    assert sum(map(len, held)) == 3


def test_duke_grey_values_stored_as_double_and_wrong_shapes(tmp_path):
    content = trees.duke_volume(1)
    content["images"] = content["images"].astype(float)
    scipy.io.savemat(tmp_path / "Subject_01.mat", content)
    np.testing.assert_array_equal(grey(open_dataset(tmp_path))[1], scan(13))
    content["manualFluid1"] = content["manualFluid1"].transpose(1, 0, 2)
    scipy.io.savemat(tmp_path / "Subject_01.mat", content)
    with pytest.raises(ScanError, match=r"Subject_01\.mat holds images .*one shape"):
        open_dataset(tmp_path)


def test_one_bscan_of_a_v73_file_reads_no_other(tmp_path, monkeypatch):
    import h5py

    trees.duke_v73(tmp_path)
    data = open_dataset(tmp_path)
    read = []
    real = h5py.Dataset.__getitem__

    def getitem(self, index):
        found = real(self, index)
        read.append(np.size(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", getitem)
    _ = data[1].image
    assert read == [DEPTH * WIDTH]


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(400), b"rubbish" * 40])
def test_damaged_mat_files(tmp_path, content):
    (tmp_path / "Subject_01.mat").write_bytes(content)
    with pytest.raises(ScanError, match=r"Subject_01\.mat"):
        open_dataset(tmp_path, adapter="duke_dme")


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    import h5py

    trees.duke_v73(tmp_path)
    (tmp_path / "Subject_01.mat").rename(tmp_path / "secret.h5")
    with (
        h5py.File(tmp_path / "Subject_02.mat", "w") as file,
        h5py.File(tmp_path / "secret.h5") as other,
    ):
        for name in ("manualFluid1", "manualFluid2"):
            other.copy(name, file)
        file["images"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "images")
    with pytest.raises(ScanError, match=r"Subject_02\.mat holds images 0"):
        open_dataset(tmp_path, adapter="duke_dme")[0]


# UMN


@pytest.mark.parametrize(("folder", "name"), [("DME", "UMN_Dataset.mat"), (".", "UMNDataset.mat")])
@pytest.mark.parametrize("write", [trees.umn, trees.umn_packed, trees.umn_v73])
def test_umn(tmp_path, folder, name, write):
    data = open_dataset(write(tmp_path, folder, name))
    assert data.adapter == "umn"
    group = "dme" if folder == "DME" else "umn"
    assert names(data) == [f"{group}_000", f"{group}_001"]  # the third has no reference
    assert corners(data) == [0, 1, 2, 20, 21]
    np.testing.assert_array_equal(grey(data)[4], scan(21))
    assert [bool(s.mask.any()) for s in data] == [False, True, False, False, True]
    np.testing.assert_array_equal(data[1].mask, spots(a=1))
    np.testing.assert_array_equal(open_dataset(tmp_path, grader=2)[0].mask, spots(b=1))
    every = open_dataset(tmp_path, all_bscans=True)
    assert len(every) == 7
    assert every[6].mask is None


@pytest.mark.parametrize("write", [trees.umn, trees.umn_packed, trees.umn_v73])
def test_opening_umn_reads_no_scans(tmp_path, write, monkeypatch):
    read = []
    monkeypatch.setattr(
        mat, "load_variable", lambda *a, **k: read.append(a) or load_variable(*a, **k)
    )
    data = open_dataset(write(tmp_path))
    assert not read
    np.testing.assert_array_equal(data[4].image, scan(21) / np.float32(255))
    assert [call[1] for call in read] == ["AllSubjects", "ManualFluid1"]


# Reading by the layout against SciPy, which wrote the files


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "kind", ["f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "bool"]
)
def test_numbers_as_scipy_reads_them(tmp_path, kind, packed):
    array = (
        np.random.default_rng(0).integers(0, 2 if kind == "bool" else 100, (3, 5, 2)).astype(kind)
    )
    content = {"text": "x", "wanted": array, "one": np.array([[7]], kind), "struct": {"a": array}}
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=packed)
    shapes = mat.variables(tmp_path / "a.mat")
    assert shapes == {"wanted": (3, 5, 2), "one": (1, 1)}
    for name in shapes:
        found = load_variable(tmp_path / "a.mat", name)
        np.testing.assert_array_equal(found, scipy.io.loadmat(tmp_path / "a.mat")[name])
        assert found.dtype == (np.uint8 if kind == "bool" else kind)


def test_cells_that_are_no_arrays_of_numbers(tmp_path):
    cells = np.empty((1, 3), object)
    cells[0] = [np.ones((2, 3)), "text", np.array([[1j]])]
    scipy.io.savemat(tmp_path / "a.mat", {"x": cells, "y": np.ones((2, 2))})
    path = tmp_path / "a.mat"
    assert cell_shapes(path, "x") == [(2, 3), (1, 4), (1, 1)]
    np.testing.assert_array_equal(load_variable(path, "x", cell=0), np.ones((2, 3)))
    for cell, words in ((1, "kind 'char'"), (2, "complex"), (3, "without a cell 4")):
        with pytest.raises(ScanError, match=rf"a\.mat.*{words}"):
            load_variable(path, "x", cell=cell)
    with pytest.raises(ScanError, match=r"a\.mat.*kind 'double'"):
        cell_shapes(path, "y")


def test_cell_in_another_file_is_not_read(tmp_path):
    import h5py

    trees.umn_v73(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(DEPTH * WIDTH))
    with h5py.File(tmp_path / "DME" / "UMN_Dataset.mat", "r+") as file:
        inside = file.create_dataset(
            "#refs#/x",
            (1, WIDTH, DEPTH),
            "u1",
            external=[(str(tmp_path / "secret.bin"), 0, DEPTH * WIDTH)],
        )
        file["AllSubjects"][0, 0] = inside.ref
    with pytest.raises(ScanError, match=r"UMN_Dataset\.mat: cell 1 of AllSubjects"):
        open_dataset(tmp_path, adapter="umn")


def test_endless_cells(tmp_path):
    """A few packed bytes that unpack to cells without end."""
    flags = np.array([6, 8, 1, 0, 5, 8, 1, 10**9], "<u4").tobytes()
    name = np.array([1, 11], "<u4").tobytes() + b"AllSubjects".ljust(16, b"\0")
    matrix = flags + name + b"\x0e\0\0\0\0\0\0\0" * 100000
    packed = zlib.compress(np.array([14, len(matrix)], "<u4").tobytes() + matrix)
    start = b"MATLAB 5.0".ljust(124) + b"\0\1IM" + np.array([15, len(packed)], "<u4").tobytes()
    (tmp_path / "a.mat").write_bytes(start + packed)
    with pytest.raises(ScanError, match=r"a\.mat.*1000000000 elements"):
        cell_shapes(tmp_path / "a.mat", "AllSubjects")


_BREAK = """
import sys
from pathlib import Path
import numpy as np
from medream.adapters import mat
from medream.errors import ScanError
from medream.readers.matlab import cell_shapes, load_variable

path, packed = Path(sys.argv[1]), sys.argv[2] == "packed"
whole = path.read_bytes()
rng = np.random.default_rng(0)
read = refused = 0
for round in range(int(sys.argv[3])):
    broken = bytearray(whole)
    if packed:  # what is inside of the packed bytes, so that their checksum holds
        import zlib
        length = int.from_bytes(broken[132:136], "little")
        broken = bytearray(zlib.decompress(broken[136 : 136 + length]))
    # heads are small and everything depends on them
    places = min(len(broken), 400) if round % 2 else len(broken)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(places))
        broken[at] = int(rng.choice([0, 1, 5, 14, 15, 127, 128, 255, rng.integers(256)]))
    if packed:
        again = zlib.compress(bytes(broken), 1)
        broken = whole[:128] + (15).to_bytes(4, "little") + len(again).to_bytes(4, "little") + again
        broken += whole[136 + length :]
    path.write_bytes(broken)
    try:
        for name in mat.variables(path):
            for cell in (None, 0, 1):
                try:
                    if cell is not None:
                        cell_shapes(path, name)
                    array = load_variable(path, name, cell=cell)
                    mat.bscan(path, name, 0, cell) if array.ndim == 3 and array.size else None
                    assert array.dtype.kind in "iuf", array.dtype
                    array.sum()
                    read += 1
                except ScanError as error:
                    assert str(path) in str(error), error
                    refused += 1
    except ScanError as error:
        assert str(path) in str(error), error
        refused += 1
print(read, refused)
"""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["numbers", "cells"])
def test_broken_bytes_do_not_end_the_process(tmp_path, kind, packed):
    (trees.umn if kind == "cells" else trees.duke_dme)(tmp_path / "tree")
    source = next((tmp_path / "tree").rglob("*.mat"))
    wanted = {"images", "manualFluid1", "AllSubjects", "ManualFluid1"}
    found = {k: v for k, v in scipy.io.loadmat(source).items() if k in wanted}
    path = tmp_path / "broken.mat"
    scipy.io.savemat(path, found, do_compression=packed)
    words = [sys.executable, "-c", _BREAK, str(path), "packed" if packed else "plain", "600"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    read, refused = map(int, run.stdout.split())
    assert read > 50 < refused
