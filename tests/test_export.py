"""Exported networks, run by other programs than Keras."""

import json
import sys

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import medream as md
from medream.cli import app
from medream.errors import ConfigError, ModelError, OutputError
from medream.export import export_model


@pytest.fixture(scope="module")
def unet() -> keras.Model:
    return md.build_unet(md.UNetConfig(levels=1, base_filters=2))


def test_saved_model_takes_any_size(unet, tmp_path):
    parity = export_model(unet, "saved_model", tmp_path / "unet")
    assert parity.any_size
    assert parity.largest < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["unet"]


@pytest.mark.slow
@pytest.mark.parametrize("up", ["nearest", "transposed"])
def test_onnx_takes_any_size(up, tmp_path):
    import onnxruntime

    unet = md.build_unet(md.UNetConfig(levels=2, base_filters=2, classes=3, up=up))
    parity = export_model(unet, "onnx", tmp_path / "unet.onnx")
    assert parity.largest < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "unet.onnx")
    scan = np.random.default_rng(3).random((1, 36, 44, 1), dtype=np.float32)
    found = session.run(None, {session.get_inputs()[0].name: scan})[0]
    np.testing.assert_allclose(found, unet(scan), atol=1e-5)


def test_bilinear_upsampling_takes_one_size(tmp_path):
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=2, up="bilinear"))
    parity = export_model(unet, "saved_model", tmp_path / "unet", size=(32, 32))
    assert not parity.any_size
    assert parity.largest < 1e-5


@pytest.mark.slow
def test_litert_takes_one_size(unet, tmp_path):
    parity = export_model(unet, "litert", tmp_path / "unet", size=(32, 48))
    assert not parity.any_size
    assert parity.shapes == ((32, 48),)
    assert parity.largest < 1e-5


def test_an_export_that_differs_is_not_written(unet, tmp_path, monkeypatch):
    def wrong(path):
        return lambda image: np.asarray(unet(image)) + 0.01

    monkeypatch.setitem(sys.modules["medream.export"]._OPENERS, "saved_model", wrong)
    with pytest.raises(ModelError, match=r"differ by up to 0\.01"):
        export_model(unet, "saved_model", tmp_path / "unet")
    assert not list(tmp_path.iterdir())


def test_refusals(unet, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="onnx, saved_model, litert"):
        export_model(unet, "tflite", tmp_path / "unet")
    with pytest.raises(ConfigError, match="multiples of"):
        export_model(unet, "litert", tmp_path / "unet", size=(31, 48))
    (tmp_path / "there").touch()
    with pytest.raises(OutputError, match="exists"):
        export_model(unet, "saved_model", tmp_path / "there")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"medream\[export\]"):
        export_model(unet, "onnx", tmp_path / "unet.onnx")


def test_command_and_rerun(unet, tmp_path):
    unet.save(tmp_path / "unet.keras")
    out = tmp_path / "unet"
    arguments = ["--format", "saved_model", "--out"]
    ran = CliRunner().invoke(app, ["export", str(tmp_path / "unet.keras"), *arguments, str(out)])
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[-1] == str(out)
    assert "Largest difference" in ran.output
    again = CliRunner().invoke(app, ["rerun", str(out), "--out", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again" / "run.json").read_text())["command"] == "export"
