"""The study of controls, against cases whose answer is known."""

import keras
import numpy as np
import pandas as pd
import pytest

import medream as md
from medream.errors import ConfigError, LayerError
from medream.evidence.control import (
    CEILINGS,
    CONTROLS,
    _spread,
    control_study,
    summarize_controls,
)
from medream.evidence.similarity import MEASURES

L = keras.layers


@pytest.fixture(scope="module")
def unet():
    return md.build_unet(md.UNetConfig(levels=1, base_filters=4))


@pytest.fixture(scope="module")
def scans():
    found = md.phantom_scans(2, size=(33, 38), bscans_per_subject=1)
    valid = np.ones((33, 38), bool)
    valid[:5] = False
    return [found[0], md.Scan(found[1].image, valid=valid, source=found[1].source)]


@pytest.fixture(scope="module")
def study(unet, scans):
    dreams = {}

    def keep(scan, kind, stage, result):
        dreams.setdefault(scan.source.name, {})[kind, stage] = result

    table = control_study(
        unet, scans, "dec1_conv1", shuffled=unet, retrained=[unet], steps=4, transforms=["jitter=2"],
        on_dream=keep,
    )  # fmt: skip
    return table, dreams


def test_every_control_is_there_once_for_each_scan(study, scans):
    table, _ = study
    rows = table[table.measure == "ssim"].groupby(["scan", "kind"]).size().unstack("scan")
    assert set(rows.index) == {*CONTROLS, *CEILINGS}
    assert rows.loc["cascade"].tolist() == [6, 6]
    assert set(table.measure) == set(MEASURES)
    assert len(rows.columns) == len(scans)


def test_the_cascade_ends_at_the_control_itself(study):
    table, dreams = study
    for kinds in dreams.values():
        control = kinds["dream", ""].control
        np.testing.assert_allclose(kinds["cascade", "enc1_conv1"].dream, control, atol=1e-6)
        assert np.abs(kinds["cascade", "dec1_conv1"].dream - control).max() > 1e-3
    redrawn = table[table.kind == "redrawn"].value
    np.testing.assert_allclose(redrawn, table[table.stage == "enc1_conv1"].value, atol=1e-5)
    assert table[table.kind == "redrawn"].layers.unique().tolist() == [10]


def test_a_network_is_like_itself(study):
    """Given as if it were trained on shuffled masks, or retrained, it dreams the same."""
    values = study[0].set_index(["kind", "measure"]).value
    assert values["shuffled", "ssim"].to_numpy() == pytest.approx(1)
    assert values["retrained", "spearman"].to_numpy() == pytest.approx(1)
    assert (values["noise", "ssim"] > 0.9).all()
    assert (values["redrawn", "ssim"] < values["noise", "ssim"].to_numpy()).all()


def test_invalid_pixels_are_never_noisy(study, scans):
    _, dreams = study
    result = dreams[scans[1].source.name]["noise", ""]
    np.testing.assert_array_equal(result.original[:5], scans[1].image[:5])
    assert (result.original[5:] != scans[1].image[5:]).any()
    assert np.abs(result.original - scans[1].image).max() < 1e-3


def test_the_dream_of_a_quadratic_hangs_on_the_sign_of_its_weight_alone():
    """d/dx of mean (w x)² is 2 w² x: any other weight gives the same dream."""
    entry = keras.Input((None, None, 1))
    x = L.Conv2D(1, 1, use_bias=False, name="linear")(entry)
    model = keras.Model(entry, L.Multiply(name="square")([x, x]))
    scan = md.phantom_scans(1, size=(32, 32))[0]
    table = control_study(model, [scan], "square", steps=5, noise=0)
    assert table.value.to_numpy() == pytest.approx(1, abs=1e-4)
    assert set(table.kind) == {"redrawn", "cascade"}


def test_fewer_stages_keep_the_first_and_the_last():
    cascade = [(name, tuple(range(k + 1))) for k, name in enumerate("abcdefg")]

    def stages(count):
        return "".join(name for name, _ in _spread(cascade, count))

    assert stages(None) == stages(99) == "abcdefg"
    assert stages(3) == "adg"
    assert stages(2) == "ag"
    assert stages(1) == "g"
    assert stages(0) == ""


def test_a_dead_layer_is_a_row_of_nan_and_no_crash(scans):
    entry = keras.Input((None, None, 1))
    conv = L.Conv2D(2, 3, padding="same", activation="relu", name="conv")
    model = keras.Model(entry, conv(entry))
    conv.set_weights([np.ones((3, 3, 1, 2)), np.full(2, -100.0)])
    with pytest.warns(UserWarning, match="exactly zero"):
        table = control_study(model, scans, "conv", steps=2)
    assert table.value.isna().all()
    summary = summarize_controls(table, resamples=99)
    assert (summary.undefined == 2).all()
    assert (summary.scans == 0).all()


def made_up(values) -> pd.DataFrame:
    """Rows (subject, scan, kind, stage, value), the same for every measure."""
    columns = ["subject", "scan", "kind", "stage", "value"]
    rows = [
        {**dict(zip(columns, row, strict=True)), "measure": m} for row in values for m in MEASURES
    ]
    return pd.DataFrame(rows).assign(layers=0)


def test_subjects_count_alike_and_the_ceiling_is_of_the_same_scans():
    values = []
    for k in range(7):
        for scan in range(3 if k == 0 else 1):
            values.append((f"s{k}", f"s{k}b{scan}", "redrawn", "", 0.1 + 0.01 * k))
            values.append((f"s{k}", f"s{k}b{scan}", "noise", "", 0.5 + 0.02 * k))
    found = summarize_controls(made_up(values), resamples=500)
    row = found[(found.kind == "redrawn") & (found.measure == "ssim")].iloc[0]
    assert row.estimate == pytest.approx(0.13)
    assert row.subjects == 7
    assert row.scans == 9
    assert row.below == pytest.approx(0.43)
    assert 0.4 < row.below_low < 0.43 < row.below_high < 0.46
    assert row.p == pytest.approx(2 / 2**7)
    assert found[found.kind == "noise"].below.isna().all()


def test_scans_of_one_name_are_kept_apart():
    values = [("unknown", "x", "redrawn", "", 0.1), ("unknown", "x", "redrawn", "", 0.3)]
    found = summarize_controls(made_up(values), resamples=99)
    assert found.estimate.tolist() == pytest.approx([0.2] * 4)
    assert found.subjects.tolist() == [1] * 4
    assert found.low.isna().all()
    assert "below" not in found


def test_refusals(unet, scans):
    with pytest.raises(LayerError, match="dec1_conv1"):
        control_study(unet, scans, "dec1_conv")
    with pytest.raises(ConfigError, match="layer"):
        control_study(unet, scans, md.total_variation())
    with pytest.raises(ConfigError, match="scans"):
        control_study(unet, [], "dec1_conv1")
    with pytest.raises(ConfigError, match="stages"):
        control_study(unet, scans, "dec1_conv1", stages=-1)
    with pytest.raises(ConfigError, match="step"):
        control_study(unet, scans, "dec1_conv1", step=3)
