"""Zeiss Cirrus .img: layout by name, orientation, and that the name stays behind."""

import re

import numpy as np
import pytest

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

NAME = "P4711_{} {}_3-14-2011_9-26-5_{}_sn12345_cube_z.img"
DEPTH = 1024


def cube(bscans, width):
    """No two corners alike, no two B-scans alike."""
    volume = np.zeros((bscans, DEPTH, width), np.uint8)
    volume[:] = np.arange(width) + 1
    volume[:, : DEPTH // 4] += 100
    volume[np.arange(bscans), 5, 0] = np.arange(bscans) + 200
    return volume


def stored(volume):
    return np.ascontiguousarray(volume[:, ::-1, ::-1]).tobytes()


def write(folder, volume, scan="Macular Cube", eye="OD", name=NAME):
    size = f"{volume.shape[2]}x{volume.shape[0]}"
    path = folder / name.format(scan, size, eye)
    path.write_bytes(stored(volume))
    return path


@pytest.mark.parametrize("scan", ["Macular Cube", "Optic Disc Cube"])
def test_cube_is_turned_the_right_way(tmp_path, scan):
    volume = cube(4, 12)
    path = write(tmp_path, volume, scan, eye="OS")
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], volume / 255, atol=1e-6)
    assert scans[0].source.laterality == "OS"
    assert scans[0].spacing_mm == pytest.approx((2 / 1023, 6 / 11))
    assert [s.source.bscan_index for s in scans] == [0, 1, 2, 3]
    (header,) = read_headers(path)
    assert (header.bscans, header.size) == (4, (DEPTH, 12))
    assert header.bscan_spacing_mm == pytest.approx(6 / 3)
    (third,) = read_scans(path, only=[2])
    np.testing.assert_array_equal(third.image, scans[2].image)


def test_square_cube_keeps_its_axes(tmp_path):
    volume = cube(20, 20)
    scans = read_scans(write(tmp_path, volume, "Optic Disc Cube"))
    np.testing.assert_allclose([s.image for s in scans], volume / 255, atol=1e-6)


def test_unknown_field_has_no_spacing(tmp_path):
    path = write(tmp_path, cube(4, 12), "Anterior Segment Cube")
    assert read_scans(path)[0].spacing_mm is None
    assert read_headers(path)[0].bscan_spacing_mm is None


def test_number_and_dates_of_the_name_stay_behind(tmp_path):
    path = write(tmp_path, cube(2, 12))
    scan, (header,) = read_scans(path)[0], read_headers(path)
    source = scan.source
    told = f"{source.subject_id} {source.volume_id} {source.device} {source.name} {header.format}"
    told += f" {header.subject_id} {header.volume_id}"
    assert not re.search("4711|2011|3-14|12345", told)
    again = write(tmp_path, cube(2, 12), eye="OS")
    assert read_headers(again)[0].subject_id == header.subject_id
    assert read_headers(again)[0].volume_id != header.volume_id


@pytest.mark.parametrize("extra", [-1, 1, -12 * DEPTH, -(4 * 12 * DEPTH)])
def test_size_must_match_the_name(tmp_path, extra):
    path = write(tmp_path, cube(4, 12))
    content = path.read_bytes()
    path.write_bytes(content[:extra] if extra < 0 else content + bytes(extra))
    with pytest.raises(ScanError, match="bytes"):
        read_scans(path)


def test_names_that_say_nothing_or_too_much(tmp_path):
    for name in ("P1_Macular Cube 512x128_cube_z.img", "P1_x 0x0_1-1-1_1-1-1_OD_sn1_cube_z.img",
                 "P1_x 9999x9999_1-1-1_1-1-1_OD_sn1_cube_z.img"):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(b"\1" * 1024)
        with pytest.raises(ScanError, match=r"Cirrus cube by its name|bytes"):
            read_scans(path)


def test_zeros_are_refused(tmp_path):
    with pytest.raises(ScanError, match="only zero bytes"):
        read_scans(write(tmp_path, np.zeros((4, DEPTH, 12), np.uint8)))


def test_dark_first_rows_in_a_folder(tmp_path):
    """Told by its name, so that zeros at its beginning are no sign of a broken copy."""
    volume = cube(10, 16)
    volume[-1] = 0
    volume[0] = 0
    path = write(tmp_path, volume)
    path.write_bytes(bytes(2048) + path.read_bytes()[2048:])
    assert [header.bscans for header in read_headers(tmp_path)] == [10]
    path.write_bytes(bytes(100))
    with pytest.raises(ScanError, match="cube_z"):
        read_headers(tmp_path)
