"""medream evaluate as a user runs it: a model, two graders, anybody's masks, and every mixture."""

import json

import numpy as np
import pandas as pd
import pytest
from adapters.trees import duke_dme
from PIL import Image
from test_cli import run

import medream as md
from medream.phantom import save_phantom
from medream.store import ModelInfo, save_info, save_keras

TABLES = {"metrics.csv", "volumes.csv", "subjects.csv", "pooled.csv", "intervals.csv", "lesions.csv",
          "lesion_sizes.csv"}  # fmt: skip
CURVES = {"calibration.csv", "precision_recall.csv"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "unet1"
    for seed in (0, 1):
        fold = folder / f"fold{seed}-seed0"
        fold.mkdir(parents=True)
        save_keras(
            md.build_unet(md.UNetConfig(levels=1, base_filters=2), seed=seed), fold / "model.keras"
        )
        save_info(ModelInfo(classes=("fluid",), threshold=0.3), fold)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(md.phantom_scans(12, seed=3, size=(48, 64)), folder)
    return folder


def test_an_ensemble_with_every_table(model, data, tmp_path):
    out = tmp_path / "out"
    run("evaluate", model, data, "--with", model / "fold0-seed0", "--tta", "--out", out)
    record = json.loads((out / "run.json").read_text())
    assert record["results"]["networks"] == 3
    assert record["results"]["threshold"] == pytest.approx(0.3)
    assert {p.name for p in out.glob("*.csv")} == TABLES | CURVES
    metrics = pd.read_csv(out / "metrics.csv")
    assert list(metrics.rater.unique()) == ["model"]
    for row in metrics.itertuples():
        drawn = np.array(Image.open(out / "predictions" / row.picture)) > 0
        assert row.tp + row.fp <= drawn.sum()  # wedges are background in both
    pooled = pd.read_csv(out / "pooled.csv").iloc[0]
    assert pooled.detection_auc == pytest.approx(_auc(metrics))
    curve = pd.read_csv(out / "precision_recall.csv").set_index("threshold")
    assert curve.dice[0.3] == pytest.approx(pooled.dice)
    lesions = pd.read_csv(out / "lesions.csv")
    assert (lesions["of"] == "reference").sum() == pooled.lesions
    run("rerun", out / "run.json", "--out", tmp_path / "again")
    for name in TABLES | CURVES:
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def _auc(metrics):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(metrics.tp + metrics.fn > 0, metrics.max_probability)


def test_json_holds_what_the_tables_hold(model, data, tmp_path):
    printed = json.loads(
        run("evaluate", model, data, "--json", "--quiet", "--out", tmp_path / "out")
    )
    pooled = pd.read_csv(tmp_path / "out" / "pooled.csv").iloc[0]
    assert printed["pooled"][0]["dice"] == pytest.approx(pooled.dice)
    assert {row["subject_id"] for row in printed["subjects"]} == set(
        pd.read_csv(tmp_path / "out" / "subjects.csv").subject_id
    )
    assert printed["lesion_sizes"][0]["size"] == "below 0.01 mm2"
    assert any("Surface Dice within 0.02 mm" in note for note in printed["notes"])


def test_subjects_that_were_trained_on_are_told(model, data, tmp_path):
    scan = md.open_dataset(data, split="test")[0]
    person = scan.source.subject_id
    for told in (
        {"inputs": {"x": scan.source.sha256}},  # the same bytes
        {"settings": {"dataset": str(data.resolve())}, "results": {"subjects": {"training": [person]}}},
    ):  # fmt: skip
        (model / "run.json").write_text(json.dumps({"command": "train", "settings": {}, **told}))
        try:
            printed = run("evaluate", model, data, "--out", tmp_path / "out")
        finally:
            (model / "run.json").unlink()
        assert f"1 took part in training or chose the epoch ({person})" in printed


def test_two_graders_stand_beside_each_other(model, tmp_path):
    duke_dme(tmp_path / "duke")
    out = tmp_path / "out"
    printed = run("evaluate", model, tmp_path / "duke", "--split", "all", "--out", out)
    assert "grader 2" in printed
    metrics = pd.read_csv(out / "metrics.csv")
    scans = {rater: list(part.scan) for rater, part in metrics.groupby("rater")}
    assert scans["model"] == scans["grader 2"]
    # Grader 1 drew regions a and b, grader 2 only b, in the last B-scan of each subject.
    graded = metrics[metrics.rater == "grader 2"]
    assert set(zip(graded.tp, graded.fp, graded.fn, strict=True)) == {(0, 0, 0), (5, 0, 8)}
    assert graded.max_probability.isna().all()
    assert metrics.picture.notna().tolist() == (metrics.rater == "model").tolist()
    alone = run("evaluate", model, tmp_path / "duke", "--split", "all", "--no-second-grader",
                "--out", tmp_path / "alone")  # fmt: skip
    assert "grader 2" not in alone


def test_scans_of_one_grader_only_are_left_out(model, tmp_path):
    import scipy.io

    duke_dme(tmp_path / "duke")
    file = tmp_path / "duke" / "Subject_01.mat"
    content = {k: v for k, v in scipy.io.loadmat(file).items() if not k.startswith("__")}
    content["manualFluid2"][:, :, 1] = np.nan
    scipy.io.savemat(file, content)
    out = tmp_path / "out"
    printed = run("evaluate", model, tmp_path / "duke", "--split", "all", "--out", out)
    assert "1 of 6 scans are left out" in printed
    assert pd.read_csv(out / "metrics.csv").rater.value_counts().to_dict() == {
        "model": 5, "grader 2": 5,
    }  # fmt: skip


@pytest.fixture
def masks(tmp_path):
    mask = np.zeros((20, 24), np.uint8)
    mask[5:9, 6:12] = 255
    for side, shift in (("gt", 0), ("ours", 1), ("theirs", 2)):
        (tmp_path / side).mkdir()
        for subject in (1, 2):
            shifted = np.roll(mask, shift, axis=1)
            Image.fromarray(shifted).save(tmp_path / side / f"subject{subject:02d}.png")
    return tmp_path


def test_masks_of_anybody_and_of_a_second_grader(masks, tmp_path):
    out = tmp_path / "out"
    printed = run("evaluate", "--predictions", masks / "ours", "--references", masks / "gt",
                  "--second-references", masks / "theirs", "--spacing", 0.004, 0.012, "--out", out)  # fmt: skip
    assert printed.splitlines()[-1] == str(out)
    pooled = pd.read_csv(out / "pooled.csv").set_index("rater")
    assert pooled.dice.to_dict() == {
        "prediction": pytest.approx(5 / 6), "grader 2": pytest.approx(4 / 6),
    }  # fmt: skip
    assert pooled.mean_hd95_mm["grader 2"] == pytest.approx(0.024)
    assert {p.name for p in out.glob("*.csv")} == TABLES
    assert set(pd.read_csv(out / "subjects.csv").subject_id) == {"subject01", "subject02"}
    run("rerun", out / "run.json", "--out", tmp_path / "again")
    for name in TABLES:
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_without_spacing_it_says_so(masks, tmp_path):
    printed = run("evaluate", "--predictions", masks / "ours", "--references", masks / "gt",
                  "--out", tmp_path / "out")  # fmt: skip
    assert "No pixel spacing is known for 2 of 2 scans" in printed
    assert "hd95" not in printed.split("Per subject")[1].split("95 %")[0]


def test_mixtures_are_refused(masks, tmp_path):
    sides = (
        "--predictions",
        masks / "ours",
        "--references",
        masks / "gt",
        "--out",
        tmp_path / "out",
    )
    for wrong in (
        ("--out", tmp_path / "out"), ("model", "--out", tmp_path / "out"), ("model", "data", *sides),
        (*sides, "--tta"), (*sides, "--threshold", 0.4), (*sides, "--with", "m"),
        (*sides, "--split", "all"), (*sides, "--no-second-grader"), (*sides[:2], *sides[4:]),
        (*sides[2:],), ("model", "data", "--spacing", 1, 1, "--out", tmp_path / "out"),
        ("model", "data", "--class", "IRF", "--out", tmp_path / "out"),
    ):  # fmt: skip
        run("evaluate", *wrong, code=2)
    (masks / "ours" / "subject02.png").unlink()
    assert "subject02.png has no prediction" in run("evaluate", *sides, code=1)
    assert "--tolerance-mm" in run("evaluate", *sides, "--tolerance-mm", -1, code=1)
    assert not (tmp_path / "out").exists()


def test_segment_with_several_models(model, data, tmp_path):
    scan = sorted((data / "test" / "Image").iterdir())[0]
    out = tmp_path / "out"
    run("segment", scan, "--model", model, "--model", model / "fold1-seed0", "--tta", "--threshold", 0.4,
        "--format", "npz", "--out", out)  # fmt: skip
    (stored,) = out.glob("*.npz")
    with np.load(stored) as file:
        valid = md.read_scans(scan)[0].valid
        lesion = file["probability"] >= 0.4
        np.testing.assert_array_equal(file["mask"], lesion if valid is None else lesion & valid)
    assert json.loads((out / "run.json").read_text())["results"]["networks"] == 3
    run("rerun", out / "run.json", "--out", tmp_path / "again")
    assert (out / "areas.csv").read_bytes() == (tmp_path / "again" / "areas.csv").read_bytes()
    assert "different classes" in _refused(model, scan, tmp_path)


def _refused(model, scan, tmp_path):
    other = tmp_path / "layers"
    other.mkdir()
    save_keras(
        md.build_unet(md.UNetConfig(levels=1, base_filters=2, classes=3)), other / "model.keras"
    )
    save_info(ModelInfo(classes=("IRF", "SRF")), other)
    return run(
        "segment", scan, "--model", model, "--model", other, "--out", tmp_path / "no", code=1
    )
