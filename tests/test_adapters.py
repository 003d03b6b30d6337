"""Folders to data sets: layouts, matching, subjects, parts, sidecar."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from medream.adapters import open_dataset
from medream.errors import ConfigError, MedreamError, ScanError
from medream.scan import Scan
from medream.split import LeakWarning

# Two people are enough for most of these tests, but too few to hold some out.
pytestmark = pytest.mark.filterwarnings("ignore:.*too few subjects:medream.split.LeakWarning")

SHAPE = (24, 40)


def put(path, value, spot=None, **options):
    """Write a picture whose top left pixel is `value`, or a mask with `spot` pixels of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(0).integers(5, 200, SHAPE).astype(np.uint8)
    array[0, 0] = value
    if spot is not None:
        array = np.zeros(SHAPE, np.uint8)
        array[3, :spot] = value
    Image.fromarray(array).save(path, **options)


def pair(root, folder, name, number, spot=2, image="Image", mask="GT"):
    put(root / folder / image / f"{name}.png", number)
    put(root / folder / mask / f"{name}.png", 255, spot)


def first_values(dataset):
    return [round(float(scan.image[0, 0]) * 255) for scan in dataset]


def subjects(dataset):
    return {source.subject_id for source in dataset.sources}


def six_people(root, bscans=3, spots=(0, 1, 2, 3, 4, 5)):
    for person, spot in enumerate(spots):
        for k in range(bscans):
            pair(root, "", f"subject{person + 1:02d}_bscan{k + 1}", 10 * person + k, spot)
    return root


# Layouts


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("Image", "GT"),
        ("images", "masks"),
        ("imgs", "labels"),
        ("IMAGES", "Mask"),
        ("img", "label"),
    ],
)
@pytest.mark.parametrize("split", ["", "train"])
def test_layouts(tmp_path, image, mask, split):
    for k in (1, 2, 10):
        pair(tmp_path, split, f"P{k}_scan", 10 * k, spot=k, image=image, mask=mask)
    data = open_dataset(tmp_path)
    assert first_values(data) == [10, 20, 100]
    assert [int(scan.mask.sum()) for scan in data] == [1, 2, 10]
    assert [s.subject_id for s in data.sources] == ["P1", "P2", "P10"]
    assert data.classes == ("fluid",)


def test_scans_are_ordered_naturally_and_masks_follow(tmp_path):
    for k in (10, 9, 1):
        pair(tmp_path, "", f"sub-01_bscan_{k}", k, spot=k)
    with pytest.warns(LeakWarning):
        data = open_dataset(tmp_path)
    assert first_values(data) == [1, 9, 10]
    assert [int(scan.mask.sum()) for scan in data] == [1, 9, 10]
    assert [scan.source.bscan_index for scan in data] == [0, 1, 2]


def test_split_above_or_below_the_role(tmp_path):
    put(tmp_path / "images" / "test" / "P1.png", 7)
    put(tmp_path / "masks" / "test" / "P1_mask.tif", 1, 3)
    put(tmp_path / "images" / "train" / "P1.png", 9)
    put(tmp_path / "masks" / "train" / "P1_mask.tif", 1, 5)
    with pytest.warns(LeakWarning, match="P1"):
        data = open_dataset(tmp_path, split="test")
    assert first_values(data) == [7]
    assert data[0].mask.sum() == 3


@pytest.mark.parametrize("suffix", ["", "_mask", "_label", "_gt", "_seg", "-Mask"])
@pytest.mark.parametrize("ending", ["png", "bmp", "jpg"])
def test_masks_match_by_stem(tmp_path, suffix, ending):
    put(tmp_path / "images" / "P_1.png", 9)
    put(tmp_path / "masks" / f"P_1{suffix}.{ending}", 255, 16)
    put(tmp_path / "images" / "P_2.jpg", 9)
    put(tmp_path / "masks" / f"P_2{suffix}.{ending}", 0, 16)
    masks = [scan.mask for scan in open_dataset(tmp_path)]
    assert masks[0].any()
    assert not masks[1].any()


def test_mask_beside_its_image(tmp_path):
    for person in ("P1", "P2"):
        put(tmp_path / f"{person}.png", 5)
        put(tmp_path / f"{person}_mask.png", 1, 4)
    data = open_dataset(tmp_path)
    assert [scan.mask.sum() for scan in data] == [4, 4]


def test_images_alone(tmp_path):
    for k in range(3):
        put(tmp_path / f"patient{k}.png", k)
    data = open_dataset(tmp_path)
    assert all(scan.mask is None for scan in data)
    assert first_values(data) == [0, 1, 2]


def test_devices_and_their_folders(tmp_path):
    for device in ("cirrus_3", "nidek_1"):
        for split, numbers in (("train", range(1, 11)), ("test", range(11, 14))):
            for k in numbers:
                pair(tmp_path / device, split, f"bscan_{k}", k)
    with pytest.warns(LeakWarning) as caught:
        every = open_dataset(tmp_path)
    for device in ("cirrus_3", "nidek_1"):
        assert any(f"all of {device} counts as one" in str(w.message) for w in caught)
    assert {s.device for s in every.sources} == subjects(every) == {"cirrus_3", "nidek_1"}
    with pytest.warns(LeakWarning, match="share a person"):
        one = open_dataset(tmp_path / "cirrus_3", split="test")
    assert first_values(one) == [11, 12, 13]
    assert [s.bscan_index for s in one.sources] == [10, 11, 12]
    assert subjects(one) == {"cirrus_3"}
    train, validation = one.part("train"), one.part("validation")
    assert sorted(first_values(train) + first_values(validation)) == list(range(1, 11))
    held = first_values(validation)
    assert held == list(range(held[0], held[0] + 2))


def test_a_folder_for_each_subject(tmp_path):
    for person in ("Ada", "Ben", "Cleo"):
        for k in (1, 2):
            put(tmp_path / person / f"{k}.png", k)
    data = open_dataset(tmp_path)
    assert subjects(data) == {"Ada", "Ben", "Cleo"}
    assert data.warnings == ()
    assert [s.bscan_index for s in data.sources] == [0, 1] * 3


def test_pattern_of_the_user(tmp_path):
    for name in ("x-A7-1", "x-A7-2", "x-B9-1", "x-C3-1"):
        put(tmp_path / f"{name}.png", 1)
    data = open_dataset(tmp_path, subject_pattern=r"-(?P<subject>[A-Z]\d)-")
    assert subjects(data) == {"A7", "B9", "C3"}
    with pytest.raises(ConfigError, match="regular expression"):
        open_dataset(tmp_path, subject_pattern="(")


# Parts


def test_no_split_on_disk_is_60_20_20_by_subject(tmp_path):
    data = open_dataset(six_people(tmp_path))
    parts = {split: data.part(split) for split in ("train", "validation", "test")}
    assert [len(subjects(p)) for p in parts.values()] == [4, 1, 1]
    assert sum(len(p) for p in parts.values()) == len(data) == 18
    for part in parts.values():
        assert any(scan.mask.any() for scan in part)
    assert data.warnings == ()
    again = open_dataset(tmp_path, split="test")
    assert again.sources == parts["test"].sources


def test_validation_is_held_out_of_train_only(tmp_path):
    six_people(tmp_path / "train")
    six_people(tmp_path / "elsewhere", spots=(3,))
    for k in range(2):
        pair(tmp_path, "TEST", f"subject77_bscan{k}", 200 + k)
    (tmp_path / "elsewhere").rename(tmp_path / "notes")
    data = open_dataset(tmp_path / "train", split="train")
    assert "subject77" not in subjects(data)
    whole = open_dataset(tmp_path)
    assert subjects(whole.part("test")) == {"subject77"}
    assert len(subjects(whole.part("validation"))) == 1
    assert not subjects(whole.part("validation")) & subjects(whole.part("train"))


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_validation_on_disk_is_kept(tmp_path, name):
    pair(tmp_path, "train", "P1", 1)
    pair(tmp_path, name, "P2", 2)
    pair(tmp_path, "test", "P3", 3)
    data = open_dataset(tmp_path)
    assert [first_values(data.part(s)) for s in ("train", "validation", "test")] == [[1], [2], [3]]
    assert first_values(data) == [1, 2, 3]


@given(
    people=st.integers(1, 9),
    bscans=st.integers(1, 4),
    splits=st.sets(st.sampled_from(["train", "test", "val"])),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_parts_are_disjoint_and_together_everything(tmp_path_factory, people, bscans, splits):
    root = tmp_path_factory.mktemp("law")
    names = sorted(splits) or [""]
    for person in range(people):
        for k in range(bscans):
            put(root / names[person % len(names)] / f"P{person}_{k}.png", 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        data = open_dataset(root)
    parts = data._contents.parts
    paths = [item.source.path for items in parts.values() for item in items]
    assert sorted(paths) == sorted(s.path for s in data.sources)
    assert len(set(paths)) == len(paths)
    if not data.warnings:
        owners = [{item.source.subject_id for item in items} for items in parts.values()]
        assert sum(map(len, owners)) == len(set.union(*owners))


def test_one_subject_is_split_into_blocks_with_a_warning(tmp_path):
    for k in range(10):
        pair(tmp_path, "", f"bscan_{k}", k, spot=1)
    with pytest.warns(LeakWarning, match="share a person"):
        data = open_dataset(tmp_path)
    assert any("share a person" in text for text in data.warnings)
    for split in ("validation", "test"):
        held = first_values(data.part(split))
        assert len(held) == 2
    assert len(data.part("train")) == 6


@pytest.mark.filterwarnings("ignore::medream.split.LeakWarning")
def test_wrong_arguments(tmp_path):
    six_people(tmp_path)
    with pytest.raises(ConfigError, match="'train', 'validation', 'test'"):
        open_dataset(tmp_path, split="tset")
    with pytest.raises(ConfigError, match="folder"):
        open_dataset(tmp_path, adapter="foldr")
    with pytest.raises(ScanError, match="does not exist"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ScanError, match="read_scans"):
        open_dataset(tmp_path / "Image" / "subject01_bscan1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="no B-scans"):
        open_dataset(tmp_path / "empty")
    pair(tmp_path / "only", "test", "P1", 1)
    pair(tmp_path / "single", "", "P1", 1)
    with pytest.raises(ScanError, match=r"no train part.*it has: test"):
        open_dataset(tmp_path / "only", split="train")
    assert len(open_dataset(tmp_path / "single", split="train")) == 1
    with pytest.raises(ScanError, match=r"too few B-scans.*it has: train"):
        open_dataset(tmp_path / "single", split="validation")


# Behaviour of the sequence


def test_dataset_is_a_lazy_sequence(tmp_path, monkeypatch):
    data = open_dataset(six_people(tmp_path))
    assert data[0].classes == ("fluid",)
    read = []
    whole = type(data)._read
    monkeypatch.setattr(type(data), "_read", lambda self, item: read.append(1) or whole(self, item))
    assert len(data.sources) == 18
    assert not read
    few = data[3:9:2]
    assert (len(few), type(few), few.split) == (3, type(data), None)
    assert not read
    assert isinstance(data[-1], Scan)
    assert len(read) == 1
    assert data[-1].source.name == data.sources[-1].name
    assert data[0].source.sha256
    assert data.sources[0].sha256 is None
    assert few[1].source.name == data[5].source.name
    with pytest.raises(IndexError):
        data[18]
    assert len(list(data)) == 18


def test_class_ids_get_names(tmp_path):
    pair(tmp_path, "", "P1", 1)
    put(tmp_path / "GT" / "P1.png", 3, 4)
    pair(tmp_path, "", "P2", 2)
    put(tmp_path / "GT" / "P2.png", 1, 4)
    data = open_dataset(tmp_path)
    assert data.classes == ("class1", "class2", "class3")
    assert data[1].classes == data.classes
    named = open_dataset(tmp_path, class_map={"SRF": 3, "IRF": 1})
    assert named.classes == ("SRF", "IRF")
    assert [int(scan.mask.max()) for scan in named] == [1, 2]


def test_sidecar(tmp_path):
    for number, person in enumerate("ABC"):
        pair(tmp_path, "", f"{person}__1", number)
    (tmp_path / "dataset.toml").write_text(
        'name = "Mine"\nspacing_mm = [0.004, 0.012]\ndevice = "Cirrus"\n'
        "subject_pattern = '^(?P<subject>[A-C])__'\n[classes]\ncyst = 255\n"
    )
    data = open_dataset(tmp_path)
    assert data.name == "Mine"
    assert subjects(data) == {"A", "B", "C"}
    scan = data[0]
    assert scan.spacing_mm == (0.004, 0.012)
    assert (scan.source.device, scan.source.dataset, scan.classes) == ("Cirrus", "Mine", ("cyst",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spacing_mm = 0.1", "axial, lateral"),
        ("spacing_mm = [0.1, -1]", "axial, lateral"),
        ("spacing = [1, 2]", "spacing_mm"),
        ("name = 3", "text in quotes"),
        ("[classes]\nfluid = 'red'", "red"),
        ("classes = 3", "[classes]"),
        ("name = ", "TOML"),
    ],
)
def test_wrong_sidecar(tmp_path, text, words):
    pair(tmp_path, "", "P1", 1)
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(ScanError) as caught:
        open_dataset(tmp_path)
    assert words in str(caught.value)
    assert "dataset.toml" in str(caught.value)


def test_without_sidecar_no_spacing_is_invented(tmp_path):
    assert open_dataset(six_people(tmp_path))[0].spacing_mm is None


# What does not fit


def test_mask_of_another_size_is_named_when_read(tmp_path):
    pair(tmp_path, "", "P1", 1)
    Image.fromarray(np.zeros((40, 24), np.uint8)).save(tmp_path / "GT" / "P1.png")
    pair(tmp_path, "", "P2", 1)
    data = open_dataset(tmp_path)
    assert data[1].mask is not None
    with pytest.raises(ScanError, match=r"GT/P1\.png.*40 x 24.*24 x 40"):
        data[0]


def test_two_masks_for_one_image_are_refused(tmp_path):
    pair(tmp_path, "", "P1", 1)
    put(tmp_path / "GT" / "P1_mask.png", 255, 3)
    with pytest.raises(ScanError, match=r"P1\.png.*P1_mask\.png|P1_mask\.png.*P1\.png"):
        open_dataset(tmp_path)


def test_link_cycles_end(tmp_path):
    six_people(tmp_path)
    (tmp_path / "Image" / "again").symlink_to(tmp_path)
    assert len(open_dataset(tmp_path)) == 18


def test_damaged_scan_is_named_and_the_others_are_read(tmp_path):
    six_people(tmp_path)
    (tmp_path / "Image" / "subject01_bscan1.png").write_bytes(b"")
    data = open_dataset(tmp_path)
    assert data[1].mask is not None
    with pytest.raises(MedreamError, match=r"subject01_bscan1\.png is empty"):
        data[0]


# Real scans


def test_duke(shared_data):
    data = open_dataset(shared_data / "duke_dme")
    assert len(data) == 66
    assert data.warnings == ()
    parts = {split: data.part(split) for split in ("train", "validation", "test")}
    assert subjects(parts["test"]) == {"subject07", "subject09"}
    assert subjects(parts["validation"]) == {"subject01"}
    assert subjects(parts["train"]) == {"subject02", "subject03", "subject05"}
    scan = parts["test"][4]  # subject 7, B-scan 5 of the manifest
    assert int(scan.mask.sum()) == 864
    assert scan.shape == (496, 768)
    assert scan.source.bscan_index == 4
    assert not scan.mask[~scan.valid].any()


def test_layers_in_colours(shared_data):
    colours = [(0, 0, 255), (0, 128, 0), (0, 255, 0), (0, 255, 255), (128, 128, 0), (255, 0, 0),
               (255, 0, 255), (255, 255, 0)]  # fmt: skip
    with pytest.warns(LeakWarning):
        data = open_dataset(
            shared_data / "nr206_layers", class_map={f"layer{c}": c for c in colours}
        )
    assert set(np.unique(data[0].mask)) == set(range(9))
