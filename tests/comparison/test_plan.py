"""Who is where, and what is trained with what."""

import pytest

from medream.comparison.plan import (
    CompareConfig,
    Fold,
    make_folds,
    train_config,
    trainings,
)
from medream.errors import ConfigError
from medream.training import TrainConfig

LOADS = {f"s{k:02d}": 0.0 if k % 5 == 4 else 10.0 * (k + 1) for k in range(20)}


def test_settings_survive_json():
    config = CompareConfig(
        levels=(3, 2, 3),
        folds=None,
        unet={"base_filters": 4},
        train=TrainConfig(epochs=3, image_size=(64, 32)),
    )
    assert config.levels == (3, 2)
    again = CompareConfig(**config.to_json())
    assert again == config
    assert again.train.image_size == (64, 32)


def test_everything_wrong_with_settings_is_said_at_once():
    with pytest.raises(ConfigError) as error:
        CompareConfig(
            levels=(9, 2), folds=1, seeds=0, unet={"norm": "layer"}, train={"epochs": 0, "los": 1}
        )
    for part in (
        "folds is 1",
        "seeds is 0",
        "9 levels",
        "norm is 'layer'",
        "no setting 'los'",
        "loss",
    ):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match="levels"):
        CompareConfig(levels=())
    with pytest.raises(ConfigError, match="epochs is 0"):
        train_config({"epochs": 0})
    with pytest.raises(ConfigError, match="unexpected keyword"):
        CompareConfig(unet={"depth": 3})


@pytest.mark.parametrize("count", [5, None])
def test_folds_part_people(count):
    folds = make_folds(LOADS, count, seed=0)
    assert len(folds) == (count or 20)
    assert sorted(s for fold in folds for s in fold.test) == sorted(LOADS)
    for fold in folds:
        parts = [*fold.training, *fold.validation, *fold.test]
        assert sorted(parts) == sorted(LOADS)
        assert any(LOADS[s] for s in fold.training)
        assert any(LOADS[s] for s in fold.validation)
        assert len(fold.validation) in (3, 4)
        assert Fold.from_json(fold.to_json()) == fold
    assert make_folds(dict(reversed(LOADS.items())), count, seed=0) == folds


@pytest.mark.parametrize(
    ("loads", "count", "said"),
    [
        ({"a": 5.0}, None, "there is 1 subject; training"),
        ({"a": 5.0, "b": 1.0}, 2, "there are 2 subjects; training"),
        (
            {"a": 5.0, "b": 1.0, "c": 2.0},
            4,
            "3 subjects for 4 folds.*3 subjects with lesions for 4 folds",
        ),
        ({"a": 5.0, "b": 0.0, "c": 0.0, "d": 1.0}, 3, "2 subjects with lesions for 3 folds"),
        (
            {"a": 5.0, "b": 0.0, "c": 0.0, "d": 1.0},
            2,
            "2 subjects with lesions; training, validation",
        ),
    ],
)
def test_too_few_people_are_refused(loads, count, said):
    with pytest.raises(ConfigError, match=said):
        make_folds(loads, count, seed=0)


def test_all_depths_and_seeds_share_the_folds():
    config = CompareConfig(
        levels=(4, 2), folds=5, seeds=3, train=TrainConfig(seed=7), unet={"base_filters": 2}
    )
    folds = make_folds(LOADS, 5, seed=7)
    plan = list(trainings(config, folds, 1))
    assert len(plan) == len({training.folder for training in plan}) == 2 * 5 * 3
    assert plan[0].folder == "unet4/fold1-seed7"
    assert plan[1].folder == "unet2/fold1-seed7"
    assert {training.train.seed for training in plan} == {7, 8, 9}
    assert {training.fold for training in plan} == set(folds)
    assert plan[0].unet.classes == 1
    assert next(trainings(config, folds, 3)).unet.classes == 4
