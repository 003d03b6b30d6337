"""Fields over scans, units and their scans, maps, grids of layers."""

import numpy as np
import pandas as pd
import pytest
from legible import PRESETS, assert_for_print
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from test_panels import images, words

import medream.figures as figures
from medream.errors import ConfigError
from medream.figures.style import ORANGE, SKY_BLUE

SPACING = (0.004, 0.012)
SCAN = np.random.default_rng(0).random((40, 64), dtype=np.float32)


def field(label="2 levels", effective=(10.0, 12.0), theoretical=(20.0, 20.0), **settings):
    return figures.Field(label, np.ones((16, 16)), effective, theoretical, **settings)


def lesions():
    depth = np.array([4.0, 8.0, 9.0, 30.0])
    return pd.DataFrame(
        {"depth_px": depth, "width_px": depth, "depth_um": 4 * depth, "width_um": 12 * depth}
    )


def named():
    first = pd.DataFrame({"unit": range(5), "concept": ["fluid", "", "fluid", "vitreous", ""]})
    second = pd.DataFrame({"unit": range(4), "concept": ["vitreous", "vitreous", "choroid", ""]})
    return {"2 levels, dec1_conv2": first, "3 levels, dec1_conv2": second}


def unit(number=3, **changes):
    mask = np.zeros(SCAN.shape, "uint8")
    mask[10:20, 10:20] = 2
    values = {
        "dream": SCAN,
        "scans": [SCAN] * 2,
        "areas": [SCAN > 0.9] * 2,
        "references": [mask, None],
    }
    return figures.UnitRow(f"Unit {number}: fluid", spacing_mm=SPACING, **{**values, **changes})


@pytest.mark.parametrize("preset", PRESETS)
def test_all_are_made_for_print(preset):
    shown = {"style": preset, "spacing_mm": SPACING}
    fields = [field(), field("3 levels", (20.0, 24.0), (40.0, 40.0))]
    maps = np.random.default_rng(0).random((4, 5, 8))
    dreams = {"2 levels": {"mid_conv2": SCAN}, "3 levels": {"mid_conv2": SCAN, "dec3_conv2": SCAN}}
    drawn = [
        figures.field_figure(fields, SCAN, lesions(), **shown),
        figures.dissection_figure(named(), style=preset),
        figures.unit_figure([unit(), unit(4, dream=None)], style=preset),
        figures.activation_figure(SCAN, maps, range(4), range(4, 0, -1), columns=3, **shown),
        figures.layer_grid(dreams, SCAN, **shown),
    ]
    assert_for_print(drawn, preset)


def frames(ax):
    found = {}
    for patch in ax.patches:
        if isinstance(patch, Rectangle):
            box = patch.get_bbox()
            found[patch.get_gid()] = (box.x0, box.x1, box.y0, box.y1)
    return found


def test_frames_have_the_extents_of_the_fields_and_end_at_the_rim():
    drawn = figures.field_figure(
        [field(), field("all", (np.nan, np.nan), (np.inf, 20.0)), field("half", scale=(2.0, 0.5))],
        SCAN, lesions(), at=(20, 30), spacing_mm=SPACING,
    )  # fmt: skip
    assert frames(drawn.axes[0])["effective"] == (24, 36, 15, 25)
    assert frames(drawn.axes[0])["theoretical"] == (20, 40, 10, 30)
    assert frames(drawn.axes[1]) == {"theoretical": (20, 40, -0.5, 39.5)}
    assert frames(drawn.axes[2])["effective"] == (27, 33, 10, 30)
    cloud = drawn.axes[2].images[1].get_extent()
    assert cloud == pytest.approx([26, 34, 36, 4])
    assert drawn.axes[0].get_xlim() == (-0.5, 63.5)


def test_extents_stand_beside_the_sizes_of_lesions():
    drawn = figures.field_figure([field()], SCAN, lesions(), spacing_mm=SPACING)
    depth, width = drawn.axes[1:]
    assert depth.lines[1].get_xdata() == pytest.approx([40, 40])  # 10 pixels of 4 µm
    assert width.lines[1].get_xdata() == pytest.approx([144, 144])
    curve = depth.lines[0].get_xydata()
    assert curve[curve[:, 0] <= 40][-1, 1] == 0.75  # three of four lesions are no deeper
    assert depth.get_xlabel() == "Depth (µm)"
    assert "a" in words(drawn)
    assert "c" in words(drawn)
    picture = {to_hex(patch.get_edgecolor()) for patch in drawn.axes[0].patches}
    assert to_hex(depth.lines[1].get_color()) not in picture | {ORANGE.lower(), SKY_BLUE.lower()}
    (legend,) = drawn.legends
    white = [each for each in legend.findobj(Line2D) if to_hex(each.get_color()) == "#ffffff"]
    dark = [each for each in legend.findobj(Patch) if to_hex(each.get_facecolor()) == "#404040"]
    assert len(white) == len(dark) == 1
    assert "Theoretical field" in words(drawn)
    assert figures.field_figure([field()], SCAN, lesions()).axes[1].get_xlabel() == "Depth (pixels)"


def test_bars_count_units_by_concept():
    drawn = figures.dissection_figure(named())
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == ["vitreous", "fluid", "choroid", "No name"]
    assert [[bar.get_width() for bar in ax.patches] for ax in drawn.axes] == [
        [1, 2, 0, 2],
        [2, 0, 1, 1],
    ]
    assert {"2 levels, dec1_conv2", "Units (of 5)", "Units (of 4)"} <= set(words(drawn))
    assert drawn.axes[0].get_xticks().tolist() == [0, 1, 2]
    alone = figures.dissection_figure({"x": named()["2 levels, dec1_conv2"]})
    assert [bar.get_width() for bar in alone.axes[0].patches] == [2, 1, 2]


def test_units_stand_beside_their_scans():
    drawn = figures.unit_figure([unit(), unit(4, dream=None, references=None)])
    assert {"Dream", "Top scan 1", "Unit 3: fluid", "Unit's area", "Reference mask"} <= set(
        words(drawn)
    )
    assert len(images(drawn)) == 5
    fills = [image for ax in drawn.axes for image in ax.images if image.get_gid() == "prediction"]
    np.testing.assert_array_equal(np.asarray(fills[0].get_array())[..., 3] > 0, SCAN > 0.9)
    outlines = [c for ax in drawn.axes for c in ax.collections if c.get_gid() == "reference"]
    assert len(outlines) == 1
    left, right = (ax.get_position() for ax in figures.unit_figure([unit()] * 5).axes[:2])
    assert right.x0 - left.x1 < 0.1 * left.width  # no gaps though there is room
    bare = figures.unit_figure([unit(scans=[], areas=[], references=None)])
    assert len(bare.axes) == 1


def test_maps_are_capped_and_bear_their_channels():
    maps = np.ones((30, 4, 6)) * np.linspace(3, 1, 30)[:, None, None]
    maps[1, 0, 0] = -9
    drawn = figures.activation_figure(
        SCAN, maps, range(30, 60), [3.0, *[1.0] * 27, 0.0, 0.0], most=4
    )
    assert words(drawn) == [
        "The 4 strongest of 30 units",
        "Scan",
        "Unit 30  10 %",
        *(f"{k}  3.3 %" for k in (31, 32, 33)),
    ]
    first, second = (ax.images[0] for ax in drawn.axes[1:3])
    assert first.get_clim() == (0, 3)
    assert (second.get_cmap().name, second.get_clim()) == ("RdBu_r", (-9, 9))
    assert drawn.holds == ("positive", "signed")
    assert figures.activation_figure(SCAN, maps[2:], range(28), [1.0] * 28).holds == ("positive",)


def test_layers_that_a_network_lacks_stay_empty():
    dreams = {
        "2": {"mid": SCAN},
        "3": {"mid": SCAN, "dec": SCAN},
        "4": {"mid": SCAN, "top": SCAN, "dec": SCAN},
    }
    drawn = figures.layer_grid(dreams, SCAN, spacing_mm=SPACING)
    heads = [word for word in words(drawn) if "µm" not in word]
    assert heads == ["2", "Original", "mid", "top", "dec", "3", "4"]
    assert len(images(drawn)) == 7
    assert drawn.holds == ("original", "networks", "empty")
    assert figures.layer_grid({"2": {"mid": SCAN}}).holds == ()
    chosen = figures.layer_grid(dreams, layers=["dec"], spacing_mm=SPACING)
    assert len(images(chosen)) == 2
    assert not [word for word in words(chosen) if "µm" in word]  # the first place has no picture


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: figures.field_figure([], SCAN, lesions()), "0 fields"),
        (lambda: figures.field_figure([field()], SCAN, lesions(), at=(40, 0)), "not in the scan"),
        (lambda: figures.field_figure([field()], SCAN, lesions().iloc[:0]), "no lesions"),
        (lambda: figures.dissection_figure({}), "no dissection"),
        (lambda: figures.unit_figure([]), "no units"),
        (lambda: figures.unit_figure([unit(areas=[])]), "0 areas"),
        (lambda: figures.activation_figure(SCAN, np.ones((0, 2, 2)), [], []), "cannot be drawn"),
        (lambda: figures.activation_figure(SCAN, np.ones((2, 2, 2)), [1], [1.0]), "one of each"),
        (lambda: figures.layer_grid({"2": {}}), "no dream"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, said):
    with pytest.raises(ConfigError, match=said):
        draw()
