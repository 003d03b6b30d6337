"""The synthetic retina: reproducible, exact, plausible, and not to be had by a threshold."""

import numpy as np
import pytest
from scipy import ndimage

from medream.adapters import open_dataset
from medream.errors import ConfigError, OutputError
from medream.phantom import phantom_scans, save_phantom


@pytest.fixture(scope="module")
def scans():
    return phantom_scans(40, seed=5, size=(128, 160))


def test_same_seed_same_bytes(scans):
    again = phantom_scans(8, seed=5, size=(128, 160))
    for one, other in zip(scans, again, strict=False):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.mask.tobytes() == other.mask.tobytes()
        assert one.source == other.source
    assert phantom_scans(1, seed=6, size=(128, 160))[0].image.tobytes() != again[0].image.tobytes()


def test_scans_say_what_they_are(scans):
    first = scans[0]
    assert first.shape == (128, 160)
    assert first.classes == ("fluid",)
    assert first.spacing_mm == (1.5 / 128, 6.0 / 160)
    assert [s.source.name for s in scans[3:5]] == ["phantom001_bscan003", "phantom002_bscan000"]
    assert {s.source.laterality for s in scans} == {"OD", "OS"}
    for subject in {s.source.subject_id for s in scans}:
        eyes = {s.source.laterality for s in scans if s.source.subject_id == subject}
        assert len(eyes) == 1


def test_about_a_quarter_is_without_fluid_and_a_wedge_hides_it():
    scans = phantom_scans(120, seed=1, size=(48, 48))  # in number 91 a wedge cuts through fluid
    assert 0.6 < np.mean([scan.mask.any() for scan in scans]) < 0.88
    assert not any((scan.mask.astype(bool) & (scan.image == 1.0)).any() for scan in scans)


def test_fluid_is_darker_than_the_tissue_around_it(scans):
    darker = []
    for scan in scans:
        fluid = scan.mask > 0
        if fluid.sum() < 50:
            continue
        ring = ndimage.binary_dilation(fluid, iterations=3) & ~fluid
        darker.append(scan.image[fluid].mean() < 0.75 * scan.image[ring].mean())
    assert len(darker) > 15
    assert np.mean(darker) > 0.9


def test_fluid_lies_above_the_rpe(scans):
    for scan in scans:
        for column in np.flatnonzero(scan.mask.any(axis=0)):
            rows = np.flatnonzero(scan.mask[:, column])
            # The bright RPE lies below all fluid.
            assert scan.image[rows.max() + 1 :, column].max() > scan.image[rows, column].mean()


def test_some_scans_have_a_wedge_and_it_is_found(scans):
    with_wedge = [scan for scan in scans if scan.valid is not None]
    assert 0.1 < len(with_wedge) / len(scans) < 0.6
    for scan in with_wedge:
        assert not scan.valid[scan.image == 1.0].any()
        assert scan.valid.mean() > 0.7


def test_no_threshold_finds_the_fluid(scans):
    image = np.stack([s.image for s in scans])
    mask = np.stack([s.mask for s in scans]) > 0
    valid = np.stack([np.ones(s.shape, bool) if s.valid is None else s.valid for s in scans])
    best = 0.0
    for low in np.arange(0, 0.3, 0.03):
        for high in np.arange(low + 0.03, 0.45, 0.03):
            found = valid & (image >= low) & (image < high)
            best = max(best, 2 * (found & mask).sum() / (found.sum() + mask.sum()))
    assert best < 0.35


def test_sizes_show_the_same_field():
    small, large = (phantom_scans(1, seed=2, size=size)[0] for size in ((32, 32), (200, 90)))
    assert small.shape == (32, 32)
    assert small.spacing_mm[0] * 32 == pytest.approx(large.spacing_mm[0] * 200)


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"n": 1, "size": (16, 64)}, {"n": 1, "bscans_per_subject": 0}]
)
def test_refuses(wrong):
    with pytest.raises(ConfigError, match="expected at least"):
        phantom_scans(**wrong)


def test_saved_phantom_reads_back_identical(tmp_path, scans):
    save_phantom(scans[:24], tmp_path)
    data = open_dataset(tmp_path)
    assert len(data) == 24
    by_place = {(s.source.subject_id, s.source.bscan_index): s for s in data}
    for scan in scans[:24]:
        found = by_place[scan.source.subject_id, scan.source.bscan_index]
        assert found.source.name in found.source.path  # files count from 1
        np.testing.assert_array_equal(found.image, scan.image)
        np.testing.assert_array_equal(found.mask, scan.mask)
        assert found.spacing_mm == scan.spacing_mm
        assert (found.valid is None) == (scan.valid is None)
    parts = {s: {x.subject_id for x in data.part(s).sources} for s in ("train", "test")}
    assert parts["test"] == {"phantom005", "phantom006"}
    assert not parts["train"] & parts["test"]
    assert data.warnings == ()


def test_phantom_cannot_be_written_into_a_file(tmp_path, scans):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        save_phantom(scans[:1], tmp_path / "taken")
