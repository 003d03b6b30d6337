"""What is trained, kept, gone on with and refused; trainings themselves are pretended."""

import json
from dataclasses import replace

import pytest
from pretended import evaluation_of

import medream as md
import medream.comparison
from medream.comparison import compare, running
from medream.comparison import cost as cost_module
from medream.comparison.cohort import Cohort
from medream.comparison.cost import Cost
from medream.comparison.plan import CompareConfig
from medream.errors import ConfigError, MedreamError, OutputError, TrainingError
from medream.figures import STYLES

CONFIG = CompareConfig(
    levels=(1, 2), folds=2, seeds=2, unet={"base_filters": 2},
    train=md.TrainConfig(epochs=1, batch_size=2, image_size=(32, 32)),
)  # fmt: skip


@pytest.fixture
def scans():
    return md.phantom_scans(12, seed=2, size=(48, 64), bscans_per_subject=2)


@pytest.fixture
def trained(monkeypatch):
    """Let trainings only say that they took place; returns their folders."""
    folders = []

    def train(scans, config, train_config, out, *, validation, resume, record):
        assert resume
        people = {s.source.subject_id for s in scans}
        assert people == set(record.settings["fold"]["training"])
        assert not people & {s.source.subject_id for s in validation}
        out.mkdir(parents=True, exist_ok=True)
        (out / "history.csv").write_text("epoch,loss,validation_dice\n1,0.5,0.4\n")
        record.write(out, epochs=1)
        folders.append(f"{out.parent.name}/{out.name}")

    def full_evaluation(models, scans):
        members = models if isinstance(models, list) else [models]
        return evaluation_of(
            list(scans), 3.0 / float(members[0][4]), sum("seed1" in m for m in members)
        )

    monkeypatch.setattr(running, "forget_networks", lambda: None)  # it takes a second
    monkeypatch.setattr(running, "train", train)
    monkeypatch.setattr(running, "load_model", lambda folder: f"{folder.parent.name}/{folder.name}")
    monkeypatch.setattr(running, "full_evaluation", full_evaluation)
    monkeypatch.setattr(
        cost_module, "measure_cost", lambda *_: Cost(100, 10**6, (9, 9), 0.01, 900.0, 800.0)
    )
    return folders


@pytest.fixture
def brief(trained, monkeypatch):
    """As `trained`; the report is a line."""

    def write_report(out, *_):
        (out / "report.html").write_text("brief")
        return out / "report.html", {}

    monkeypatch.setattr(medream.comparison, "write_report", write_report)
    return trained


def files(out):
    return {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}


def test_everything_is_trained_once_and_written(scans, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(STYLES, "nature", replace(STYLES["nature"], dpi=50))  # it is quicker
    out = tmp_path / "depth"
    report = compare(scans, CONFIG, out)
    assert sorted(trained) == sorted(
        f"unet{n}/fold{k}-seed{s}" for n in (1, 2) for k in (1, 2) for s in (0, 1)
    )
    written = files(out)
    for name in ("subjects", "folds", "pooled", "differences", "costs"):
        assert {f"tables/{name}.{suffix}" for suffix in ("csv", "md", "tex")} <= written
    for name in ("dice", "learning", "precision_recall", "calibration", "lesion_size", "costs"):
        assert {f"figures/{name}.{suffix}" for suffix in ("pdf", "png")} <= written
    assert {"checklist.md", "folds.json", "run.json", "unet2/fold1-ensemble2/scores.csv"} <= written
    page = report.read_text()
    assert page.count("<img") == 6
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("https://doi.org", "").split("</style>")[1]
    record = json.loads((out / "run.json").read_text())
    assert record["command"] == "compare"
    assert record["results"]["pooled_dice"]["unet1"]["fluid"][0] > 0
    assert len(record["inputs"]) == 12


def test_it_goes_on_after_a_failure_and_may_grow(scans, brief, tmp_path, monkeypatch):
    out, train = tmp_path / "depth", running.train

    def failing(*arguments, **settings):
        if len(brief) == 3:
            raise TrainingError("The loss became nan.")
        train(*arguments, **settings)

    monkeypatch.setattr(running, "train", failing)
    with pytest.raises(TrainingError, match="nan"):
        compare(scans, CONFIG, out)
    assert json.loads((out / "run.json").read_text())["results"] == {}
    assert not (out / "report.html").exists()
    monkeypatch.setattr(running, "train", train)
    compare(scans, CONFIG, out)
    assert len(brief) == len(set(brief)) == 8
    folds = (out / "folds.json").read_text()
    more = CompareConfig(**{**CONFIG.to_json(), "levels": (1, 2, 3), "seeds": 3})
    compare(scans, more, out)
    assert len(brief) == len(set(brief)) == 3 * 2 * 3
    assert (out / "folds.json").read_text() == folds
    assert (out / "unet1" / "fold1-ensemble3" / "scores.csv").exists()


def test_a_network_that_was_trained_but_not_scored_is_not_trained_again(scans, brief, tmp_path):
    compare(scans, CONFIG, tmp_path)
    fold = tmp_path / "unet1" / "fold1-seed0"
    before = (fold / "scores.csv").read_text()
    seconds = json.loads((fold / "run.json").read_text())["results"]["training_seconds"]
    assert seconds is not None
    (fold / "scores.csv").unlink()
    compare(scans, CONFIG, tmp_path)
    assert len(brief) == 8
    assert (fold / "scores.csv").read_text() == before
    assert json.loads((fold / "run.json").read_text())["results"]["training_seconds"] == seconds


def test_another_comparison_in_the_folder_is_refused(scans, brief, tmp_path):
    compare(scans, CONFIG, tmp_path)
    longer = CompareConfig(
        **{**CONFIG.to_json(), "folds": 3, "train": {**CONFIG.to_json()["train"], "epochs": 9}}
    )
    with pytest.raises(OutputError, match="folds, train epochs differ"):
        compare(scans, longer, tmp_path)
    with pytest.raises(OutputError, match="other scans"):
        compare(
            md.phantom_scans(12, seed=3, size=(48, 64), bscans_per_subject=2)[:10], CONFIG, tmp_path
        )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"command": "dream"}')
    with pytest.raises(OutputError, match="medream dream"):
        compare(scans, CONFIG, tmp_path / "other")
    assert len(brief) == 8


def test_all_that_is_wrong_in_any_fold_is_said_before_the_first_training(scans, trained, tmp_path):
    config = CompareConfig(
        levels=(1, 6), folds=2, seeds=1, train=md.TrainConfig(image_size=(48, 50), batch_size=500)
    )
    with pytest.raises(ConfigError) as error:
        compare(scans, config, tmp_path / "m")
    said = str(error.value)
    assert "no multiple of 64" in said or "smaller than 64" in said
    assert "batch_size 500" in said
    assert "(unet6 fold1, unet6 fold2)" in said
    assert "every network and fold" in said
    bare = [md.Scan(s.image, None, source=s.source) if k == 3 else s for k, s in enumerate(scans)]
    with pytest.raises(ConfigError, match="no mask"):
        compare(bare, CONFIG, tmp_path / "m")
    alone = [s.with_source(md.Source(subject_id="one", bscan_index=k)) for k, s in enumerate(scans)]
    with pytest.raises(ConfigError, match=r"1 subject;.*data check"):
        compare(alone, CONFIG, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert trained == []


def test_leave_one_out_scores_each_subject_alone(scans, brief, tmp_path):
    config = CompareConfig(**{**CONFIG.to_json(), "folds": None, "seeds": 1, "levels": (1,)})
    compare(scans, config, tmp_path)
    assert len(brief) == 6
    folds = json.loads((tmp_path / "folds.json").read_text())["folds"]
    assert sorted(f["test"][0] for f in folds) == sorted({s.source.subject_id for s in scans})


def test_a_cluster_takes_a_data_set(scans, tmp_path):
    with pytest.raises(MedreamError, match="open_dataset"):
        compare(scans, CONFIG, tmp_path / "m", cluster="local")


def test_parts_of_a_cohort(scans):
    cohort = Cohort(scans)
    part = cohort.with_distances(["phantom002", "phantom004"])
    assert [scan.source.name for scan in part] == [
        scan.source.name for scan in scans if scan.source.subject_id in ("phantom002", "phantom004")
    ]
    assert part.bscan_spacings_mm == [None] * 4
    assert cohort.usual_shape == (48, 64)
    loads = {}
    for scan in scans:
        valid = True if scan.valid is None else scan.valid
        loads[scan.source.subject_id] = loads.get(scan.source.subject_id, 0) + int(
            (scan.mask * valid).sum()
        )
    assert cohort.loads == loads
