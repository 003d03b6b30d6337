"""The network diagram: which boxes, which arrows, nothing over anything else."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from medream.errors import ConfigError
from medream.figures import network_diagram, save_figure


def unet(levels):
    """Return the layers of a U-Net with normalisation and dropout, as describe_layers does."""
    layers = []

    def add(name, kind, stride, channels, *inputs):
        layers.append(
            SimpleNamespace(
                name=name, kind=kind, output_shape=(None, None, channels),
                stride=(float(stride), float(stride)), inputs=inputs, parameters=0,
                receptive_field=(1, 1),
            )
        )  # fmt: skip
        return name

    def block(x, name, stride, channels):
        for i in (1, 2):
            x = add(f"{name}_conv{i}", "convolution", stride, channels, x)
            x = add(f"{name}_norm{i}", "normalisation", stride, channels, x)
        return x

    x = add("normalize", "normalisation", 1, 1, add("input", "input", 1, 1))
    skips = []
    for level in range(1, levels + 1):
        x = block(x, f"enc{level}", 2 ** (level - 1), 16 * 2 ** (level - 1))
        skips.append(x)
        x = add(f"enc{level}_pool", "pooling", 2**level, 16 * 2 ** (level - 1), x)
    x = add("mid_dropout", "dropout", 2**levels, 16 * 2**levels, block(x, "mid", 2**levels, 256))
    for level in range(levels, 0, -1):
        stride, channels = 2 ** (level - 1), 16 * 2 ** (level - 1)
        x = add(f"dec{level}_up", "upsampling", stride, channels, x)
        x = add(f"dec{level}_concat", "concatenation", stride, 2 * channels, skips.pop(), x)
        x = block(x, f"dec{level}", stride, channels)
    add("probabilities", "output", 1, 1, add("logits", "convolution", 1, 1, x))
    return layers


def boxes(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def arrows(figure):
    return [
        np.column_stack(line.get_data())
        for line in figure.axes[0].lines
        if line.get_gid() == "connection"
    ]


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_every_layer_that_is_not_folded_has_a_box(levels):
    layers = unet(levels)
    figure = network_diagram(layers)
    kept = [i for i in layers if i.kind not in ("normalisation", "dropout")]
    labels = [text.get_text() for text in figure.texts]
    assert len(boxes(figure)) == len(kept)
    for info in kept:
        assert f"{info.name} · {info.output_shape[-1]}" in labels
    assert [word for word in labels if word.startswith("stride")] == [
        f"stride {2**k}" for k in range(levels + 1)
    ]
    # one arrow into every box but the first, and a skip connection for each level
    assert len(arrows(figure)) == len(kept) - 1 + levels


def test_order_runs_right_and_stride_runs_down():
    figure = network_diagram(unet(4))
    left = [box.get_x() for box in boxes(figure)]
    assert left == sorted(left)
    tops = [box.get_y() for box in boxes(figure)]
    bottom = tops.index(max(tops))
    assert tops[:bottom] == sorted(tops[:bottom])
    assert tops[bottom:] == sorted(tops[bottom:], reverse=True)


@pytest.mark.parametrize("levels", [2, 4])
def test_arrows_cross_no_box_and_text_stays_in_its_box(levels):
    figure = network_diagram(unet(levels), title="U-Net")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for path in arrows(figure):
        for (x0, y0), (x1, y1) in itertools.pairwise(path):
            for box in boxes(figure):
                across = min(max(x0, x1), box.get_x() + box.get_width()) - max(
                    min(x0, x1), box.get_x()
                )
                down = min(max(y0, y1), box.get_y() + box.get_height()) - max(
                    min(y0, y1), box.get_y()
                )
                assert across < 1e-6 or down < 1e-6
    labels = [t for t in figure.texts if t.get_rotation() == 90]
    assert min(t.get_fontsize() for t in figure.texts) >= 5
    for text, box in zip(labels, boxes(figure), strict=True):
        inner, outer = text.get_window_extent(renderer), box.get_window_extent(renderer)
        assert outer.x0 <= inner.x0 < inner.x1 <= outer.x1
        assert outer.y0 <= inner.y0 < inner.y1 <= outer.y1


def test_skip_connections_of_one_row_do_not_share_a_line():
    def layer(name, *inputs):
        return SimpleNamespace(
            name=name, kind="merge", output_shape=(8, 8, 4), stride=(1, 1), inputs=inputs
        )

    rows = [layer("a"), layer("b", "a"), layer("c", "b", "a"), layer("d", "c", "b", "a")]
    skips = [path for path in arrows(network_diagram(rows)) if len(path) == 4]
    assert len(skips) == 3
    for one, two in itertools.combinations(skips, 2):
        if one[1, 1] == two[1, 1]:
            assert one[2, 0] <= two[1, 0] or two[2, 0] <= one[1, 0]


def test_layers_without_positions_and_long_names(tmp_path):
    rows = [
        SimpleNamespace(
            name="input", kind="input", output_shape=(8, 8, 3), stride=(1, 1), inputs=()
        ),
        SimpleNamespace(
            name="n" * 99, kind="dense", output_shape=(7,), stride=None, inputs=("input",)
        ),
        SimpleNamespace(name="odd", kind="other", output_shape=(), stride=None, inputs=("n" * 99,)),
    ]
    figure = network_diagram(rows)
    assert len(boxes(figure)) == 3
    assert save_figure(figure, tmp_path / "a.svg").exists()
    with pytest.raises(ConfigError, match="no layers"):
        network_diagram([])


def test_many_layers_widen_the_page_instead_of_shrinking_the_letters():
    narrow, wide = network_diagram(unet(2)), network_diagram(unet(6))
    assert wide.get_size_inches()[0] > narrow.get_size_inches()[0]
    assert min(t.get_fontsize() for t in wide.texts) >= 5
