"""Each public data set in its own layout: axes, order, labels, subjects, parts, recognition."""

import json
import warnings

import numpy as np
import pytest
import trees
from PIL import Image
from trees import scan, spots

from medream.adapters import check_dataset, open_dataset
from medream.adapters.listing import Listing
from medream.adapters.opening import ADAPTERS
from medream.errors import ConfigError, ScanError
from medream.split import LeakWarning

pytestmark = pytest.mark.filterwarnings("ignore::medream.split.LeakWarning")


def grey(dataset):
    return [np.round(s.image * 255).astype(int) for s in dataset]


def corners(dataset):
    """What `trees.scan` was called with."""
    return [int(image[0, 0]) - 40 for image in grey(dataset)]


def names(dataset):
    return list(dict.fromkeys(source.subject_id for source in dataset.sources))


# Recognition


@pytest.mark.parametrize("name", trees.TREES)
def test_each_tree_is_taken_by_its_own_adapter_and_no_other(tmp_path, name):
    root = trees.TREES[name](tmp_path)
    takers = {known for known, how in ADAPTERS.items() if how.recognise(Listing(root))}
    assert takers == {name, "folder"}
    assert open_dataset(root).adapter == name


@pytest.mark.parametrize("name", [name for name in trees.TREES if name != "folder"])
def test_the_folder_s_own_name_does_not_matter(tmp_path, name):
    root = (
        trees.TREES[name](tmp_path / "x")
        if name == "mirage"
        else trees.TREES[name](_made(tmp_path))
    )
    moved = root.rename(tmp_path / "Some download (1)")
    data = open_dataset(moved)
    assert data.adapter == name
    assert len(data) == len(list(data))


def _made(tmp_path):
    (tmp_path / "x").mkdir()
    return tmp_path / "x"


@pytest.mark.parametrize("name", [name for name in trees.TREES if name not in ("folder", "optima")])
def test_adapters_are_forced_by_name(tmp_path, name):
    root = trees.TREES[name](tmp_path)
    assert open_dataset(root, adapter=name).adapter == name
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ScanError):
        open_dataset(empty, adapter=name)


def test_unknown_names_and_options(tmp_path):
    trees.amd_sd(tmp_path)
    with pytest.raises(ConfigError, match="retouch"):
        open_dataset(tmp_path, adapter="retuch")
    with pytest.raises(ConfigError, match="no option 'grader'"):
        open_dataset(tmp_path, grader=1)
    with pytest.raises(ConfigError, match="no option 'gradr'"):
        open_dataset(tmp_path, gradr=1)


@pytest.mark.parametrize("name", trees.TREES)
def test_cyclic_links_end(tmp_path, name):
    root = trees.TREES[name](tmp_path)
    count = len(open_dataset(root))
    (root / "zzz").symlink_to(root)
    assert len(open_dataset(root)) == count


@pytest.mark.parametrize("name", trees.TREES)
def test_every_scan_is_sound_and_lazy(tmp_path, name, monkeypatch):
    root = trees.TREES[name](tmp_path)
    data = open_dataset(root)
    read = []
    real = type(data)._read
    monkeypatch.setattr(
        type(data), "_read", lambda self, item: read.append(item) or real(self, item)
    )
    first = data[0]
    assert len(read) == 1
    assert first.source.path.startswith(str(root))
    assert first.classes == data.classes
    errors = [p.what for p in check_dataset(root) if p.severity == "error"]
    assert not [what for what in errors if "the same picture" not in what]


# AROI


def test_aroi(tmp_path):
    data = open_dataset(trees.aroi(tmp_path))
    assert data.classes == ("IRF", "SRF", "PED")
    assert names(data) == ["patient1", "patient3"]
    assert corners(data) == [12, 20, 37]
    np.testing.assert_array_equal(data[0].mask, spots(a=3, b=2, c=1))
    assert open_dataset(tmp_path / "24 patient" / "patient3").adapter == "aroi"


def test_aroi_of_another_release(tmp_path):
    trees.aroi(tmp_path, values=(23, 46, 161), top=69)
    with pytest.raises(ScanError, match=r"values 23, 46, 69, 161.*another release"):
        open_dataset(tmp_path)[0]
    labels = {"Background": 0, "Pigment epithelial detachment": 46, "Intraretinal fluid": 23,
              "SRF": 161, "Layer": 69}  # fmt: skip
    (tmp_path / "INFO.json").write_text(
        json.dumps({str(k): {"label": n, "value": v} for k, (n, v) in enumerate(labels.items())})
    )
    data = open_dataset(tmp_path)
    assert data.classes == ("IRF", "SRF", "PED")
    np.testing.assert_array_equal(data[0].mask, spots(a=1, b=3, c=2))


# nnU-Net raw, OCTAVE


def test_octave(tmp_path):
    data = open_dataset(trees.nnunet(tmp_path))
    assert (data.name, data.classes) == ("Dataset001_OCTAVE", ("fluid",))
    assert names(data) == ["OCTAVE_AMD_002", "OCTAVE_DME_010", "OCTAVE_NOR_001"]
    assert corners(data) == [10, 11, 12, 20, 21, 22, 20, 21]
    assert [s.bscan_index for s in data.sources] == [0, 1, 2, 0, 1, 2, 0, 1]
    np.testing.assert_array_equal(data[1].mask, spots(a=1))  # 3 is fluid, 6 retina
    assert [bool(s.mask.any()) for s in data[:6]] == [False, True, False, False, False, True]
    assert names(data.part("test")) == ["OCTAVE_NOR_001"]
    assert data.part("test")[0].mask is None
    retina = open_dataset(tmp_path, class_map={"fluid": 3, "retina": 6})
    np.testing.assert_array_equal(retina[1].mask, spots(a=1, b=2))


def test_nnunet_volumes_by_simpleitk(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    volume = np.stack([scan(10 * k) for k in range(3)])
    marks = np.stack([spots(a=2 * (k == 1), b=1) for k in range(3)])
    for folder, name, array in (
        ("imagesTr", "patient7_0000", volume),
        ("labelsTr", "patient7", marks),
    ):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.011, 0.0039, 0.12))
        (tmp_path / folder).mkdir()
        sitk.WriteImage(image, str(tmp_path / folder / f"{name}.nii.gz"))
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "SRF", "2": "IRF"}})
    )
    data = open_dataset(tmp_path)
    assert data.classes == ("IRF", "SRF")
    assert corners(data) == [0, 10, 20]
    np.testing.assert_array_equal(data[1].mask, spots(a=1, b=2))
    assert data[1].spacing_mm == pytest.approx((0.0039, 0.011))
    assert data[1].source.subject_id == "patient7"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"background": 0, "RPE": 1}, "names no fluid"),
        ({"background": 0, "lesion": [1, 2]}, "regions"),
        ({"background": 0, "fluid": -1}, "one number for each"),
        ({"background": 0, "fluid": True}, "one number for each"),
    ],
)
def test_nnunet_labels_that_cannot_be_used(tmp_path, labels, words):
    with pytest.raises(ScanError, match=words):
        open_dataset(trees.nnunet(tmp_path, labels))


def test_nnunet_with_two_channels_or_two_data_sets(tmp_path):
    base = trees.nnunet(tmp_path) / "nnUNet_raw" / "Dataset001_OCTAVE"
    second = base.parent / "Dataset002"
    second.mkdir()
    (second / "dataset.json").write_text("{}")
    trees.save(second / "imagesTr" / "a_0000.png", scan())
    with pytest.raises(ScanError, match=r"Dataset001_OCTAVE, .*Dataset002"):
        open_dataset(tmp_path)
    trees.save(base / "imagesTr" / "OCTAVE_AMD_002_0001.png", scan())
    with pytest.raises(ScanError, match="several channels"):
        open_dataset(base)


# AMD-DME-3D


def test_amd_dme_3d(tmp_path):
    data = open_dataset(trees.amd_dme_3d(tmp_path))
    assert data.classes == ("IRF", "PED")
    assert names(data) == ["00012", "00345"]
    assert corners(data) == [0, 10, 20, 30] * 2
    np.testing.assert_array_equal(data[2].mask, spots(a=2))
    np.testing.assert_array_equal(data[6].mask, spots(b=1))
    assert not data[1].mask.any()
    assert data.sources[0].volume_id == "00012L01"


# Side by side


def test_amd_sd(tmp_path):
    data = open_dataset(trees.amd_sd(tmp_path))
    assert data.classes == ("IRF", "SRF", "PED")
    assert data[0].shape == (trees.DEPTH, trees.WIDTH)
    assert corners(data) == [1, 3, 11, 4, 5]
    np.testing.assert_array_equal(grey(data)[2], scan(11))
    np.testing.assert_array_equal(data[2].mask, spots(a=2, b=1, c=3))
    assert names(data.part("validation")) == ["30"]
    assert data[0].source.sha256


def test_lists_that_divide_people_are_not_used(tmp_path):
    trees.amd_sd(tmp_path)
    (tmp_path / "validation.txt").write_text("images/30/30_5.png\n2_3.png\n../../etc/passwd\n")
    (tmp_path / "training.txt").write_text("2_1.png\n2_11.png\n10_4.png\n")
    with pytest.warns(LeakWarning, match=r"training\.txt and validation\.txt.*1 people: 2\)"):
        data = open_dataset(tmp_path)
    parts = [set(names(data.part(split))) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 3
    assert any("not used" in str(problem) for problem in check_dataset(tmp_path))


def test_oimhs(tmp_path):
    trees.oimhs(tmp_path)
    with pytest.warns(LeakWarning, match="eyes, not people"):
        data = open_dataset(tmp_path)
    assert data.classes == ("IRF",)
    assert names(data) == ["eye1", "eye7"]
    assert corners(data) == [2, 10, 3]
    np.testing.assert_array_equal(data[0].mask, spots(a=1))
    hole = open_dataset(tmp_path, class_map={"hole": (255, 0, 0), "IRF": (0, 0, 255)})
    np.testing.assert_array_equal(hole[0].mask, spots(a=2, b=1))
    with pytest.raises(ScanError, match="colours"):
        open_dataset(tmp_path, class_map={"hole": 3})


def test_other_colours_and_odd_widths_are_refused(tmp_path):
    trees.oimhs(tmp_path)
    path = tmp_path / "Images" / "7" / "3.png"
    trees.pair(path, 3, trees.paint(a=(0, 255, 255)))
    data = open_dataset(tmp_path)
    with pytest.raises(ScanError, match=r"7/3\.png.*colours.*\(0, 255, 255\)"):
        data[2]
    Image.open(path).crop((0, 0, 27, 10)).save(path)
    with pytest.raises(ScanError, match="even width"):
        data[2]


def test_grey_pictures_in_numbered_folders_are_no_pairs(tmp_path):
    for k in range(3):
        trees.save(tmp_path / "images" / "12" / f"12_{k}.png", scan(k))
        trees.save(tmp_path / "GT" / "12" / f"12_{k}.png", spots(a=255))
    assert open_dataset(tmp_path).adapter == "folder"


# RVO-Lesion


def test_rvo_lesion(tmp_path):
    data = open_dataset(trees.rvo_lesion(tmp_path))
    assert data.classes == ("IRF", "SRF")
    assert names(data.part("test")) == ["22"]
    assert names(data) == ["1", "22"]
    np.testing.assert_allclose(np.array(corners(data)), [2, 10, 3], atol=2)  # JPEG
    np.testing.assert_array_equal(data[0].mask, spots(a=2, b=1))
    assert open_dataset(tmp_path / "Image_Seg").adapter == "rvo_lesion"


def test_rvo_volume_on_both_sides(tmp_path):
    trees.rvo_lesion(tmp_path, train=("1_2",), test=("1_10", "22_3"))
    with pytest.warns(LeakWarning, match=r"both sides \(1 people: 1\)"):
        data = open_dataset(tmp_path)
    assert not {"train", "test"} & {item.split for item in data._contents.items}


# MIRAGE


def test_mirage(tmp_path):
    data = open_dataset(trees.mirage(tmp_path))
    assert data.classes == ("IRF", "SRF", "PED")
    assert [names(data.part(s)) for s in ("train", "validation", "test")] == [
        ["TRAIN001"], ["TRAIN026"], ["TEST003"]]  # fmt: skip
    assert corners(data) == [2, 10, 1, 0]
    np.testing.assert_array_equal(data[1].mask, spots(a=1, b=2, c=3))
    assert data[3].mask is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "does not say"),
        ('{"0": {"value": 0.5, "label": "IRF"}}', "does not say"),
        ('{"0": {"value": 80, "label": "RNFL"}}', "names no fluid"),
        ("[" * 100000, "no JSON"),
    ],
)
def test_wrong_info(tmp_path, text, words):
    trees.mirage(tmp_path)
    (tmp_path / "INFO.json").write_text(text)
    with pytest.raises(ScanError, match=words):
        open_dataset(tmp_path)


# Unlabelled


def test_oct5k(tmp_path):
    data = open_dataset(trees.oct5k(tmp_path))
    assert names(data) == ["AMD1", "AMD12"]
    assert corners(data) == [9, 10, 2]
    assert all(s.mask is None for s in data)
    assert not any("2017" in source.volume_id for source in data.sources)


def test_octdl(tmp_path):
    data = open_dataset(trees.octdl(tmp_path))
    assert [(s.subject_id, s.laterality) for s in data.sources] == [
        ("5", "OD"),
        ("5", "OS"),
        ("12", None),
    ]
    np.testing.assert_allclose(corners(data), [2, 1, 1], atol=2)
    assert all(s.mask is None for s in data)
    (tmp_path / "OCTDL_labels.csv").write_text("picture,person\na,b\n")
    with pytest.raises(ScanError, match="file_name"):
        open_dataset(tmp_path)


def test_kermany(tmp_path):
    data = open_dataset(trees.kermany(tmp_path))
    assert [names(data.part(s)) for s in ("train", "validation", "test")] == [
        ["1016042"], ["9053621"], ["30521"]]  # fmt: skip
    np.testing.assert_allclose(corners(data), [2, 11, 1, 1], atol=2)
    assert names(open_dataset(tmp_path / "OCT2017 " / "train")) == ["1016042"]


def test_kermany_warns_of_a_person_on_both_sides(tmp_path):
    trees.kermany(tmp_path, test="CNV-1016042-7")
    with pytest.warns(LeakWarning, match="1016042"):
        open_dataset(tmp_path)


def test_octid(tmp_path):
    trees.octid(tmp_path)
    with pytest.warns(LeakWarning, match="share a person"):
        data = open_dataset(tmp_path)
    assert names(data) == ["OCTID"]
    np.testing.assert_allclose(corners(data), [2, 10, 1, 3], atol=2)


# OPTIMA


def test_optima_reads_no_reference_by_itself(tmp_path):
    trees.optima(tmp_path)
    with pytest.warns(LeakWarning, match="XML references are not read"):
        data = open_dataset(tmp_path)
    assert [s.device for s in data.sources] == ["Cirrus"] * 3 + ["Nidek"] * 3
    assert corners(data) == [10, 11, 12, 20, 21, 22]
    assert all(s.mask is None for s in data)


def test_optima_with_a_parser(tmp_path):
    trees.optima(tmp_path)
    calls = []

    def parse(files, shape):
        calls.append([file.name for file in files])
        assert files[0].read_text() == "<unknown/>"
        return np.stack([spots(a=int(k == 1)) for k in range(shape[0])])

    data = open_dataset(tmp_path, reference=parse)
    assert data.classes == ("IRF",)
    np.testing.assert_array_equal(data[1].mask, spots(a=1))
    assert not data[2].mask.any()
    assert calls == [["P1_grader1.xml", "P1_grader2.xml"]]
    with pytest.raises(ScanError, match=r"P1_grader1\.xml.*returned the shape \(1, 1\)"):
        open_dataset(tmp_path, reference=lambda files, shape: np.zeros((1, 1)))[0]
    with pytest.raises(ScanError, match=r"P1_grader1\.xml.*failed \(division by zero\)"):
        open_dataset(tmp_path, reference=lambda files, shape: 1 / 0)[0]


# The original project's folders, and others that the folder adapter takes


def test_the_original_project_s_folders(tmp_path):
    root = trees.original(tmp_path)
    with pytest.warns(LeakWarning) as caught:
        data = open_dataset(root / "Data")
    for device in ("cirrus_3", "nidek_1"):
        assert any(f"all of {device} counts as one" in str(w.message) for w in caught)
    assert {s.device for s in data.sources} == {"cirrus_3", "nidek_1"}
    assert len(data.part("test")) == 11
    one = open_dataset(root / "Data" / "cirrus_3", split="test")
    np.testing.assert_allclose(corners(one), [13, 14, 15, 16, 17], atol=2)
    np.testing.assert_array_equal(one[0].mask, spots(a=1))


def test_bids_like_folders(tmp_path):
    for subject, session in (("sub-01", "ses-1"), ("sub-01", "ses-2"), ("sub-02", "ses-1")):
        trees.save(tmp_path / subject / session / f"{subject}_{session}_oct.png", scan())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(tmp_path)
    assert names(data) == ["sub-01", "sub-02"]
    assert len({s.volume_id for s in data.sources}) == 3
