"""Scan and Source refuse what does not fit together."""

import numpy as np
import pytest

from medream.errors import ScanError
from medream.scan import Scan, Source


def image(depth=4, width=6):
    return np.linspace(0, 1, depth * width, dtype=np.float32).reshape(depth, width)


def test_scan_keeps_what_it_is_given():
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 5] = 2
    scan = Scan(image(), mask=mask, classes=["IRF", "SRF"], spacing_mm=[0.004, 0.011])
    assert scan.shape == (4, 6)
    assert scan.classes == ("IRF", "SRF")
    assert scan.spacing_mm == (0.004, 0.011)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": image().astype(np.float64)}, "float64"),
        ({"image": image() * 255}, "[0, 1]"),
        ({"image": image() * np.nan}, "finite"),
        ({"image": image()[None]}, "(depth, width)"),
        ({"image": np.zeros((0, 5), np.float32)}, "(depth, width)"),
        ({"image": [[0.5]]}, "list"),
        ({"mask": np.zeros((6, 4), np.uint8)}, "same size"),
        ({"mask": np.zeros((4, 6), bool)}, "uint8"),
        ({"mask": np.full((4, 6), 2, np.uint8)}, "only 1 classes"),
        ({"valid": np.ones((4, 5), bool)}, "same size"),
        ({"valid": np.ones((4, 6), np.uint8)}, "bool"),
        ({"spacing_mm": (0.004, 0.0)}, "positive"),
        ({"spacing_mm": (0.004,)}, "axial, lateral"),
    ],
)
def test_scan_refuses(changes, words):
    arguments = {"image": image(), "source": Source(path="/data/eye7.png"), **changes}
    with pytest.raises(ScanError) as caught:
        Scan(**arguments)
    assert words in str(caught.value)
    assert "/data/eye7.png" in str(caught.value)


def test_source_refuses_unknown_laterality():
    with pytest.raises(ScanError, match="OD"):
        Source(subject_id="s1", laterality="left")


def test_source_name_tells_volumes_apart():
    assert Source(subject_id="s1", volume_id="s1", bscan_index=3).name == "s1_bscan003"
    assert Source(subject_id="s1", volume_id="v2", bscan_index=3).name == "s1_v2_bscan003"
    named = {"subject_id": "s1", "bscan_index": 0}
    assert Source(path="/scans/s1_04.png", **named).name == "s1_04"
    assert Source(path="/scans/s1_04.png", volume_id="v2", **named).name == "s1_v2_04"
    assert Source(path="/scans/0007.PNG", **named).name == "s1_0007"
    assert Source(path="/scans/s1.tif", **named).name == "s1_bscan000"  # or a stack
