"""Filmstrips, films and atlases: which pictures they show, and that the files hold them."""

import sys

import numpy as np
import pytest
from PIL import Image
from test_panels import assert_all_fits, images, result, words

import medream.figures as figures
from medream.errors import ConfigError, MissingExtraError, OutputError


def climbed(frames=5, every=10, shape=(30, 47), steps=None, **changes):
    """A dream that kept pictures: its last step is one of them unless `steps` says another."""
    kept = np.random.default_rng(1).random((frames, *shape), dtype=np.float32)
    count = every * (frames - 1) if steps is None else steps
    return result(
        shape, frames=kept, frame_steps=every * np.arange(frames), dream=kept[-1],
        history=np.linspace(0, 1, count + 1), **changes,
    )  # fmt: skip


def test_a_strip_shows_each_picture_under_its_step():
    made = climbed()
    strip = figures.filmstrip(made)
    assert [w for w in words(strip) if "µm" not in w] == ["Step 0", "10", "20", "30", "40"]
    for shown, frame in zip(images(strip), made.frames, strict=True):
        np.testing.assert_array_equal(np.asarray(shown.get_array()), frame)
    assert_all_fits(strip)
    assert_all_fits(figures.figure(climbed(40), "filmstrip"))


def test_a_long_strip_is_thinned_and_ends_with_the_dream():
    made = climbed(101, every=1, shape=(8, 12), steps=103)
    strip = figures.filmstrip(made, most=4)
    assert [w for w in words(strip) if "µm" not in w] == ["Step 0", "34", "67", "103"]
    np.testing.assert_array_equal(np.asarray(images(strip)[-1].get_array()), made.dream)


def test_a_gif_holds_the_greys_and_loops(tmp_path):
    made = climbed()
    with Image.open(figures.write_animation(made, tmp_path / "film.gif", fps=20)) as film:
        assert film.info["loop"] == 0
        for k, frame in enumerate(made.frames):
            film.seek(k)
            np.testing.assert_array_equal(
                np.asarray(film.convert("L")), np.round(255 * frame).astype("uint8")
            )
            assert film.info["duration"] == (50 if k < 4 else 1000)
    again = figures.write_animation(made, tmp_path / "again.gif", fps=20)
    assert again.read_bytes() == (tmp_path / "film.gif").read_bytes()


def test_a_film_in_colour(tmp_path):
    colour = climbed(shape=(20, 24, 3))
    with Image.open(figures.write_animation(colour, tmp_path / "film.gif")) as film:
        assert film.n_frames == 5
        assert np.asarray(film.convert("RGB")).std(2).max() > 0


@pytest.mark.parametrize("shape", [(30, 47), (20, 24, 3)])
def test_an_mp4_holds_every_picture(tmp_path, shape):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    smooth = np.linspace(0, 1, int(np.prod(shape)), dtype="float32").reshape(shape)
    made = climbed(shape=shape)
    made.frames[:] = smooth * np.linspace(0.2, 1, 5).reshape(-1, *[1] * len(shape))
    path = figures.write_animation(made, tmp_path / "film.mp4")
    reader = ffmpeg.read_frames(str(path), pix_fmt="gray", bits_per_pixel=8)
    size = next(reader)["size"]
    shown = [np.frombuffer(frame, "uint8").reshape(size[::-1]) for frame in reader]
    assert len(shown) == 5
    assert size == (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2)
    if len(shape) == 2:
        for frame, kept in zip(shown, made.frames, strict=True):
            assert np.abs(frame[: shape[0], : shape[1]] / 255 - kept).mean() < 0.02


def test_what_a_film_refuses(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="--every"):
        figures.filmstrip(result(frames=None))
    with pytest.raises(ConfigError, match="fps"):
        figures.write_animation(climbed(), tmp_path / "x.gif", fps=0)
    with pytest.raises(OutputError, match=r"\.gif"):
        figures.write_animation(climbed(), tmp_path / "x.avi")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"medream\[video\]"):
        figures.write_animation(climbed(), tmp_path / "x.mp4")
    assert list(tmp_path.iterdir()) == []
    for kind in ("film", "atlas"):
        with pytest.raises(ConfigError, match="call"):
            figures.figure(climbed(), kind)


def channels(count, shape=(30, 47), dead=()):
    first = result(shape)
    for k in range(count):
        changes = {"dream": first.original} if k in dead else {}
        yield str(k), result(shape, objective=f"mid_conv2[{k}]", **changes)


@pytest.mark.parametrize("count", [1, 5, 37, 120])
def test_an_atlas_names_every_channel(count):
    sheet = figures.atlas(channels(count, dead={0}))
    said = words(sheet)
    assert "Original" in said
    assert "0  dead" in said
    for k in range(1, count):
        assert f"{k}  +1" in said
    assert len(images(sheet)) == count + 1
    assert_all_fits(sheet)


def test_an_atlas_is_headed_by_the_channels_it_shows():
    shown = [each for each in channels(7) if each[0] in "0356"]
    assert "channels 0, 3, 5-6 of mid_conv2" in words(figures.atlas(shown))
    assert "channels 0-6 of mid_conv2" in words(figures.atlas(channels(7)))
    odd = [each for each in channels(30) if int(each[0]) % 2]
    assert "15 channels, mid_conv2[1] to mid_conv2[29]" in words(figures.atlas(odd))


def test_an_atlas_of_several_scans_has_no_common_original():
    one, two = result((30, 47)), result((40, 47))
    sheet = figures.atlas([("a", one), ("b", two)])
    assert "Original" not in words(sheet)
    assert_all_fits(sheet)
    with pytest.raises(ConfigError, match="no dream"):
        figures.atlas([])


def test_a_large_atlas_stays_a_picture_that_opens(tmp_path):
    sheet = figures.atlas(channels(120, (60, 700)))
    assert max(image.get_array().shape[1] for image in images(sheet)) == 512
    figures.save_figure(sheet, tmp_path / "atlas.png")
    with Image.open(tmp_path / "atlas.png") as picture:
        assert picture.width * picture.height < 5e7


def test_the_history_shows_the_control():
    made = result(control_history=np.linspace(0, 0.5, 11))
    figure = figures.figure(made, "history")
    assert [len(line.get_ydata()) for line in figure.axes[0].lines] == [11, 11]
    assert "Control (re-drawn weights)" in words(figure)
    assert_all_fits(figure)
