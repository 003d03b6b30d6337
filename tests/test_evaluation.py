"""Scores of networks whose answer is known, and of masks against masks."""

import math

import keras
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

import medream as md
from medream.adapters.dataset import Dataset
from medream.agreement import evaluate_masks
from medream.errors import ConfigError, ModelError, ScanError
from medream.evaluation import full_evaluation, pairs
from medream.metrics import score
from medream.segmentation import Segmentation
from medream.store import ModelInfo


def echo(classes=()):
    """Return a network that says the scan's own grey value is the probability of lesion."""
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    object.__setattr__(model, "_medream_info", ModelInfo(classes=classes))
    return model


def scan(likely, mask, index=0, spacing=(0.004, 0.012), subject="a", **more):
    image = np.asarray(likely, np.float32)
    source = md.Source("set", subject, subject, index)
    return md.Scan(image, np.asarray(mask, np.uint8), spacing_mm=spacing, source=source, **more)


LIKELY = np.array([[0.9, 0.6, 0.4, 0.1]] * 4)
MASK = np.array([[1, 1, 1, 0]] * 4)


def test_scores_are_those_of_the_masks_and_the_threshold():
    table = md.evaluate(echo(), [scan(LIKELY, MASK)])
    row = table.iloc[0]
    expected = score(MASK > 0, LIKELY >= 0.5, spacing_mm=(0.004, 0.012))
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, nan_ok=True), name
    assert row.max_probability == pytest.approx(0.9)
    lower = md.evaluate(echo(), [scan(LIKELY, MASK)], threshold=0.4).iloc[0]
    assert lower.dice == 1.0
    inputs = keras.Input((None, None, 1))
    shifted = keras.layers.Cropping2D(((0, 0), (0, 1)))(
        keras.layers.ZeroPadding2D(((0, 0), (1, 0)))(inputs)
    )
    # (0, .9, .6, .4) and, of the mirror image mirrored back, (.6, .4, .1, 0).
    mirrored = md.evaluate(keras.Model(inputs, shifted), [scan(LIKELY, MASK)], tta=True).iloc[0]
    assert mirrored.max_probability == pytest.approx((0.9 + 0.4) / 2)
    tight = md.evaluate(echo(), [scan(LIKELY, MASK)], tolerance_mm=0.011).iloc[0]
    assert tight.surface_dice < row.surface_dice == 1.0  # one column of 0.012 mm apart


def test_the_average_of_networks_is_scored():
    inputs = keras.Input((None, None, 1))
    inverse = keras.Model(inputs, keras.layers.Rescaling(-1.0, 1.0)(inputs))
    row = md.evaluate([echo(), inverse], [scan(LIKELY, MASK)]).iloc[0]
    assert row.max_probability == pytest.approx(0.5)


def test_probabilities_make_curves_and_a_detection_auc():
    scans = [scan(LIKELY, MASK), scan(LIKELY / 3, MASK * 0, 1), scan(LIKELY / 2, MASK, subject="b")]
    found = full_evaluation(echo(), scans)
    pooled = found.pooled().iloc[0]
    assert pooled.detection_auc == 1.0
    assert (pooled.missed, pooled.correct_negatives) == (1, 1)
    assert found.calibration().pixels.sum() == 48
    curve = found.precision_recall().set_index("threshold")
    assert curve.dice[0.5] == pytest.approx(pooled.dice)
    assert list(found.pooled(["subject_id"]).subject_id) == ["a", "b"]


def test_distances_of_b_scans_come_with_a_data_set(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    masks = np.zeros((3, 16, 20), np.uint8)
    masks[:, 4:8, 5:9] = 1
    for k, subject in enumerate(("subject01", "subject02", "subject03")):
        for name, array in (("", masks * (200 + k)), ("_mask", masks)):
            volume = nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([0.012, 0.004, 0.12, 1]))
            volume.header.set_xyzt_units("mm")
            nibabel.save(volume, tmp_path / f"{subject}{name}.nii.gz")
    found = full_evaluation(echo(), md.open_dataset(tmp_path))
    pooled = found.pooled().iloc[0]
    assert pooled.volumes == 3
    assert pooled.reference_mm3 == pytest.approx(3 * 3 * 16 * 0.012 * 0.004 * 0.12, rel=1e-6)
    assert found.volumes.volume_hd95_mm.tolist() == [0.0] * 3
    part = md.open_dataset(tmp_path).only([0, 2])  # a gap
    assert isinstance(part, Dataset)
    assert full_evaluation(echo(), part).pooled().volumes.tolist() == [0]


def segmentation(mask, classes):
    mask = np.asarray(mask, np.uint8)
    likely = np.eye(len(classes) + 1, dtype=np.float32)[mask]
    return Segmentation(mask, likely, classes)


def test_classes_are_paired_by_name():
    two = scan(LIKELY, [[1, 2, 0, 0]] * 4, classes=("IRF", "SRF"))
    swapped = {f.name: f for f in pairs(two, segmentation([[2, 1, 0, 0]] * 4, ("SRF", "IRF")))}
    for name in ("IRF", "SRF"):
        np.testing.assert_array_equal(swapped[name].reference, swapped[name].prediction)
        np.testing.assert_array_equal(swapped[name].reference, swapped[name].probability == 1)
    counted = pairs(two, segmentation([[1, 2, 0, 0]] * 4, ("class1", "class2")))
    assert [f.name for f in counted] == ["IRF", "SRF"]
    for wrong in (("IRF", "PED"), ("IRF", "SRF", "PED")):
        with pytest.raises(ConfigError, match="--union"):
            pairs(two, segmentation([[1, 2, 0, 0]] * 4, wrong))
    (union,) = pairs(two, segmentation([[2, 1, 3, 0]] * 4, ("IRF", "SRF", "PED")), union=True)
    assert union.name == "lesion"
    assert (union.reference.sum(), union.prediction.sum(), union.probability.sum()) == (8, 12, 12)


def test_outputs_that_are_no_probabilities_are_refused():
    inputs = keras.Input((None, None, 1))
    logits = keras.Model(inputs, keras.layers.Rescaling(8.0, -4.0)(inputs))
    with pytest.raises(ModelError, match="sigmoid or a softmax"):
        md.evaluate(logits, [scan(LIKELY, MASK)])
    with pytest.raises(ConfigError, match="no scans"):
        md.evaluate(echo(), [])


def test_scans_without_mask_are_told_before_anything_is_scored(tmp_path):
    for k in range(4):
        picture(tmp_path / "images" / f"subject{k}.png", BIG)
    picture(tmp_path / "masks" / "subject0.png", BIG)
    seen = []
    with pytest.raises(ConfigError, match=r"subject1\.png has no mask .*3 of 4 .*--split"):
        md.evaluate(echo(), md.open_dataset(tmp_path), lambda scan, found: seen.append(scan))
    assert not seen


# --- masks against masks


def picture(path, mask, value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(mask) * value).astype(np.uint8)).save(path)


BIG = np.zeros((12, 16), int)
BIG[3:7, 4:9] = 1
SHIFTED = np.roll(BIG, 1, axis=1)


def test_masks_of_any_coding_are_paired_by_name(tmp_path):
    names = [f"subject{s:02d}_bscan{k}" for s in (1, 2) for k in (1, 2, 10)]
    for k, name in enumerate(names):
        picture(tmp_path / "gt" / f"{name}_mask.png", BIG, 255)
        ours = tmp_path / "ours" / "deep" / f"{name}_pred"
        if k % 3 == 0:
            picture(ours.with_suffix(".png"), SHIFTED, 1)
        elif k % 3 == 1:
            ours.parent.mkdir(parents=True, exist_ok=True)
            np.save(ours.with_suffix(".npy"), SHIFTED.astype(bool))
        else:
            np.savez(ours.with_suffix(".npz"), mask=SHIFTED.astype(np.uint8),
                     probability=SHIFTED * np.float32(0.75))  # fmt: skip
    found = evaluate_masks(tmp_path / "ours", tmp_path / "gt", spacing_mm=(0.004, 0.012))
    assert found.scans.subject_id.tolist() == ["subject01"] * 3 + ["subject02"] * 3
    assert found.scans.bscan_index.tolist() == [0, 1, 2] * 2
    assert found.scans.file.tolist() == [f"{name}_mask.png" for name in names]
    expected = score(BIG > 0, SHIFTED > 0, spacing_mm=(0.004, 0.012))
    for name, value in expected.items():
        assert found.scans[name].tolist() == [pytest.approx(value)] * 6, name
    # Only every third file brings probabilities.
    assert found.scans.max_probability.notna().tolist() == [False, False, True] * 2
    assert math.isnan(found.pooled().detection_auc[0])
    bare = evaluate_masks(tmp_path / "ours", tmp_path / "gt")
    assert bare.scans.hd95_mm.isna().all()


def test_volumes_have_rows_for_b_scans_and_their_own_spacing(tmp_path):
    # Without spacing the prediction's axes would be taken for others than the reference's.
    volume = np.zeros((20, 12, 16), np.uint8)
    volume[1:3] = BIG
    for place, name in (("ref/TRAIN001", "reference.mhd"), ("ours", "TRAIN001.nii.gz")):
        (tmp_path / place).mkdir(parents=True)
        image = sitk.GetImageFromArray(volume if place != "ours" else np.roll(volume, 1, axis=0))
        image.SetSpacing((0.0117, 0.0039, 0.12) if place != "ours" else (1, 1, 1))
        sitk.WriteImage(image, tmp_path / place / name)
    found = evaluate_masks(tmp_path / "ours", tmp_path / "ref")
    assert found.scans.dice.tolist()[:5] == pytest.approx(
        [math.nan, 0, 1, 0, math.nan], nan_ok=True
    )
    assert len(found.scans) == 20
    assert found.scans.subject_id.unique().tolist() == ["TRAIN001"]
    row = found.pooled().iloc[0]
    assert row.reference_mm3 == pytest.approx(40 * 0.0117 * 0.0039 * 0.12, rel=1e-6)
    assert (row.volumes, row.mean_volume_difference_mm3) == (1, pytest.approx(0))
    assert row.mean_volume_hd95_mm == pytest.approx(0.12)
    with pytest.raises(ConfigError, match="has a spacing of"):
        evaluate_masks(tmp_path / "ours", tmp_path / "ref", spacing_mm=(0.004, 0.02))


def test_equal_names_in_folders_and_scans_beside_their_masks(tmp_path):
    for k, subject in enumerate(("P1", "P2")):
        picture(tmp_path / "gt" / subject / "1_mask.png", np.roll(BIG, k))
        picture(tmp_path / "gt" / subject / "1.png", np.arange(192).reshape(12, 16), 1)  # the scan
        picture(tmp_path / "ours" / subject / "1.png", np.roll(BIG, k))
    found = evaluate_masks(tmp_path / "ours", tmp_path / "gt")
    assert found.scans.dice.tolist() == [1.0, 1.0]
    assert found.scans.subject_id.tolist() == ["P1", "P2"]


def test_what_does_not_fit_is_listed_at_once(tmp_path):
    for k in range(3):
        picture(tmp_path / "gt" / f"s{k}.png", BIG)
        picture(tmp_path / "ours" / f"s{k}.png", BIG[: 12 - (k > 0)])
        if k:
            picture(tmp_path / "few" / f"s{k}.png", BIG)
    picture(tmp_path / "few" / "other.png", BIG)
    with pytest.raises(ScanError, match=r"2 of 3 .*s1\.png \(1 x 11 x 16\).*s2\.png"):
        evaluate_masks(tmp_path / "ours", tmp_path / "gt")
    with pytest.raises(ScanError, match=r"s0\.png has no prediction.*other\.png has no reference"):
        evaluate_masks(tmp_path / "few", tmp_path / "gt")
    picture(tmp_path / "few" / "s1_seg.png", BIG)
    with pytest.raises(ScanError, match=r"go by one name: .*s1\.png and .*s1_seg\.png"):
        evaluate_masks(tmp_path / "few", tmp_path / "gt")
    (tmp_path / "none").mkdir()
    with pytest.raises(ScanError, match="holds no masks"):
        evaluate_masks(tmp_path / "none", tmp_path / "gt")
    with pytest.raises(ConfigError, match="both positive"):
        evaluate_masks(tmp_path / "gt", tmp_path / "gt", spacing_mm=(0.0, 1.0))


def test_one_class_against_several_is_refused_until_it_is_said_which(tmp_path):
    several = BIG.copy()
    several[8:10, 2:6] = 2
    several[8:10, 10:14] = 3
    picture(tmp_path / "one" / "s.png", BIG)
    picture(tmp_path / "three" / "s.png", several, 1)
    for sides in (("one", "three"), ("three", "one")):
        with pytest.raises(ConfigError, match=r"class ids up to 3, .*only 1.*--union"):
            evaluate_masks(*(tmp_path / side for side in sides))
    union = evaluate_masks(tmp_path / "three", tmp_path / "one", union=True).scans
    assert (union["class"][0], union.tp[0], union.fp[0]) == ("lesion", 20, 16)
    named = evaluate_masks(
        tmp_path / "three", tmp_path / "one", classes=("IRF", "SRF", "PED")
    ).scans
    assert named.set_index("class").fp.to_dict() == {"IRF": 0, "SRF": 8, "PED": 8}
    with pytest.raises(ConfigError, match="2 classes are named"):
        evaluate_masks(tmp_path / "three", tmp_path / "one", classes=("IRF", "SRF"))
    both = evaluate_masks(tmp_path / "three", tmp_path / "three").scans
    assert both["class"].tolist() == ["class1", "class2", "class3"]
    assert both.dice.tolist() == [1.0] * 3


def test_greys_that_may_be_classes_are_refused(tmp_path):
    for name, value in (("a", 127), ("b", 255)):
        picture(tmp_path / "grey" / f"{name}.png", BIG, value)
        picture(tmp_path / "gt" / f"{name}.png", BIG)
    with pytest.raises(ScanError, match=r"127.*two classes"):
        evaluate_masks(tmp_path / "grey", tmp_path / "gt")


def test_damaged_npz_files_are_refused(tmp_path):
    mask = BIG.astype(np.uint8)
    picture(tmp_path / "gt" / "s.png", BIG)
    wrong = {
        "expected an .npz": {"labels": mask}, "class ids up to 31": {"mask": mask * 100},
        "probability has shape": {"mask": mask, "probability": mask[1:] * 0.5},
        "runs from 0 to 3": {"mask": mask, "probability": mask * 3.0},
        "class ids": {"mask": mask * 0.5},
    }  # fmt: skip
    for message, content in wrong.items():
        np.savez(tmp_path / "s.npz", **content)
        with pytest.raises(ScanError, match=message):
            evaluate_masks(tmp_path / "s.npz", tmp_path / "gt" / "s.png")


def test_no_lesion_anywhere(tmp_path):
    picture(tmp_path / "a" / "s.png", BIG * 0)
    found = evaluate_masks(tmp_path / "a", tmp_path / "a")
    assert found.pooled().correct_negatives.tolist() == [1]
    assert math.isnan(found.pooled().dice[0])
