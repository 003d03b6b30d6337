"""The ascent as a row of pictures and as a film."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medream.errors import ConfigError, MissingExtraError, OutputError
from medream.figures.layout import Panel, aspect_of, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import PaperFigure, Style, get_style, save_figure
from medream.files import atomic_file

_LAST_S = 1.0  # the last picture of a loop stands so long


def filmstrip(
    result: Any,
    most: int = 12,
    columns: int | None = None,
    *,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw the dream at several steps, side by side, each with the number of its step.

    Parameters
    ----------
    result : DreamResult
        Of a dream with `every` (on the command line --every).
    most : int
        Of more pictures so many are shown, evenly spaced, with the first and the last.
    columns : int, optional
        Pictures in a row. Default: at most 6, rows of nearly one length.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When the dream kept no pictures.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grey = np.full((8, 12), 0.5, "float32")
    >>> result = SimpleNamespace(
    ...     frames=np.stack([grey] * 3), frame_steps=np.array([0, 5, 10]), dream=grey,
    ...     history=np.zeros(11), objective="mid", config="", spacing_mm=None)
    >>> len(filmstrip(result).axes)
    3
    """
    if most < 2:
        raise ConfigError(f"most is {most!r}, expected at least 2 pictures.")
    style = get_style(style)
    frames, steps = _frames(result)
    chosen = range(len(frames))
    if len(frames) > most:
        chosen = np.unique(np.round(np.linspace(0, len(frames) - 1, most)).astype(int))  # type: ignore[assignment]
    panels: list[Panel | None] = [
        Panel(
            partial(show_image, image=frames[k]), aspect_of(frames[k]),
            f"Step {steps[k]}" if n == 0 else str(steps[k]),
        )
        for n, k in enumerate(chosen)
    ]  # fmt: skip
    if columns is None:
        columns = math.ceil(len(panels) / math.ceil(len(panels) / 6))
    panels += [None] * (-len(panels) % columns)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    figure = panel_figure(rows, style, title=title, spacing_mm=result.spacing_mm)
    figure.provenance = (
        f"medream {version('medream')}; objective {result.objective}; {result.config}"
    )
    return figure


def write_animation(
    result: Any, path: str | Path, fps: float = 10, *, style: str | Style = "nature"
) -> Path:
    """Write the ascent as a film, or as a strip of pictures, by the suffix of `path`.

    Parameters
    ----------
    result : DreamResult
        Of a dream with `every` (on the command line --every).
    path : path
        .gif loops for ever, in the greys of the dream; its last picture stands for a second.
        .mp4 (H.264) needs the extra `video`. .png, .pdf, .svg and .tif are `filmstrip`.
    fps : float
        Pictures a second, above 0 to 50. Default 10.
    style : str or Style
        Of the strip.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ConfigError
        When the dream kept no pictures, or fps is out of range.
    MissingExtraError
        When a .mp4 is asked for without the extra.
    OutputError
        When the suffix is another one, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> frames = np.linspace(0, 1, 3 * 8 * 12, dtype="float32").reshape(3, 8, 12)
    >>> result = SimpleNamespace(
    ...     frames=frames, frame_steps=np.array([0, 5, 10]), dream=frames[2], history=np.zeros(11))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Image.open(write_animation(result, f"{folder}/film.gif")) as film:
    ...         film.n_frames, film.size
    (3, (12, 8))
    """
    path = Path(path)
    kinds: dict[str, Callable[..., None]] = {".gif": _write_gif, ".mp4": _write_mp4}
    suffix = path.suffix.lower()
    if suffix not in kinds:
        if suffix in (".png", ".pdf", ".svg", ".tif", ".tiff"):
            return save_figure(filmstrip(result, style=style), path, style=style)
        raise OutputError(
            f"A film cannot be written as {path.name!r}: expected a name that ends in .gif, .mp4, or "
            "for a strip of pictures .png or .pdf."
        )
    if isinstance(fps, bool) or not (0 < fps <= 50):
        raise ConfigError(f"fps is {fps!r}, expected pictures a second above 0 and up to 50.")
    frames = [_bytes(frame) for frame in _frames(result)[0]]
    with atomic_file(path) as temporary:
        kinds[suffix](temporary, frames, float(fps))
    return path


def _frames(result: Any) -> tuple[list[np.ndarray], list[int]]:
    """Return the pictures that were kept and their steps, and the dream itself as the last."""
    if result.frames is None or not len(result.frames):
        raise ConfigError(
            "This dream kept no pictures of its ascent. Dream again with every=10 (on the command "
            "line --every 10)."
        )
    frames, steps = list(result.frames), [int(step) for step in result.frame_steps]
    last = len(result.history) - 1
    if steps[-1] < last:
        frames.append(result.dream)
        steps.append(last)
    return frames, steps


def _bytes(frame: np.ndarray) -> np.ndarray:
    """Return a picture as uint8, (depth, width) or (depth, width, 3)."""
    shown = frame[..., 0] if frame.ndim == 3 and frame.shape[2] == 1 else frame
    if shown.ndim == 3 and shown.shape[2] != 3:
        raise ConfigError(f"A film shows grey or colour; this dream has {shown.shape[2]} channels.")
    return np.round(255 * shown).astype(np.uint8)


def _write_gif(path: Path, frames: list[np.ndarray], fps: float) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    # Times in GIF are hundredths of a second.
    times = [10 * round(100 / fps)] * len(pictures)
    times[-1] = max(times[-1], round(1000 * _LAST_S))
    pictures[0].save(
        path, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0,
        optimize=False, disposal=1,
    )  # fmt: skip


def _write_mp4(path: Path, frames: list[np.ndarray], fps: float) -> None:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError(
            "A .mp4 needs ffmpeg, which the extra 'video' brings: pip install medream[video]. Or write "
            "a .gif, which needs nothing."
        ) from error
    depth, width = frames[0].shape[:2]
    even = [(0, depth % 2), (0, width % 2), (0, 0)][: frames[0].ndim]  # H.264 halves the colours
    padded = [np.ascontiguousarray(np.pad(frame, even, mode="edge")) for frame in frames]
    size = (width + width % 2, depth + depth % 2)
    writer = imageio_ffmpeg.write_frames(
        str(path), size, pix_fmt_in="gray" if frames[0].ndim == 2 else "rgb24", fps=fps,
        codec="libx264", macro_block_size=1, ffmpeg_log_level="error",
        output_params=["-crf", "14", "-movflags", "+faststart", "-fflags", "+bitexact"],
    )  # fmt: skip
    try:
        writer.send(None)
        for frame in padded:
            writer.send(frame)
        writer.close()
    except OSError as error:
        raise OutputError(f"ffmpeg could not write the film: {str(error)[:300]}") from error
