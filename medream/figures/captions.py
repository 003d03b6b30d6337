"""Captions of the figures, from their kinds and numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from medream.errors import ConfigError, nearest
from medream.figures.provenance import without_paths
from medream.figures.words import listed
from medream.files import write_text

_INTERVALS = "Lines and bands are intervals of 95 % over subjects, where there are several."

CAPTIONS = {
    "control": (
        "Similarity of dreams of {objective} to their controls. SSIM and Spearman's correlation "
        "of what both changed in the scan, with its sign and by magnitude. {controls} {ceilings} "
        "{intervals} {nothing}"
    ),
    "control_panel": (
        "Dreams of {objective} and their controls. Pictures have one grey scale from 0 to 1. "
        "Below each, its change of the scan; all changes have one scale of colours{beyond}. "
        "Columns: the scan, {columns}."
    ),
    "localization": (
        "Where dreams of {objective} and other maps put their energy. {top} {bottom} Axes of "
        "ratios are logarithmic; broken lines: chance. {below} {intervals}"
    ),
    "response": (
        "What the network sees in dreams of {objective} along the ascent{control}. Area, Dice "
        "with its answer to the scan, and mean probability where it first saw the class. "
        "{intervals} The dream is made for this network: its answer is not that of a reader."
    ),
    "field": (
        "Receptive fields of {objective} over a scan and beside the sizes of lesions. Orange: "
        "effective field (square root of the gradient's magnitude); blue frame: its extent, with "
        "95.45 % of the energy along each axis; white broken frame: theoretical field, where it "
        "leaves the scan drawn at the rim. Bottom: share of lesions no larger than a size; "
        "vertical lines: extents of the effective fields."
    ),
    "dissection": (
        "Number of units of {objective} that bear the name of each concept by network dissection: "
        "of what lies where they are largest. Grey: units without a name, which may detect what "
        "has no mask. An overlap is not a cause."
    ),
    "units": (
        "Units of {objective}: {dreams} the scans on which they are largest. Orange: where the "
        "unit is above its threshold{references}."
    ),
    "activation": (
        "Maps of the units of {objective} on a scan, the strongest first. Each has its own "
        "scale, {colours}; the number is the channel, the percentage its share of the layer's "
        "energy."
    ),
    "curves": (
        "Features of what grows when {objective} is ascended, on the trained network and on re-"
        "drawn weights (broken). {region} Every panel has its own scale, a flat curve one from 0. "
        "{intervals}"
    ),
    "layers": (
        "Dreams of {objective} and other layers, on one grey scale from 0 to 1. {rows} {empty}"
    ),
    "triptych": (
        "Original scan and dream of {objective}, with the enhanced dream of several octaves where "
        "there is one, on one grey scale from 0 to 1. Where there are masks: blue contour, "
        "reference; orange, prediction."
    ),
    "filmstrip": (
        "The ascent of {objective}, with the number of steps above each picture, on one grey "
        "scale from 0 to 1."
    ),
    "history": ("{objective} along the ascent."),
}
"""What is said of each kind of figure; {objective} is what was ascended or looked at,
{intervals} a sentence on them, other names in braces are told in `HELD`."""

HELD: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "control": {
        "controls": (
            "Filled points: networks {}.",
            {
                "redrawn": "with all weights re-drawn",
                "cascade": "with weights re-drawn from this layer down to the named one",
                "shuffled": "trained on shuffled masks",
            },
        ),
        "ceilings": (
            "Open points, ceilings: second dreams {}, with which no control can agree more.",
            {
                "noise": "of the scan with noise (broken line, grey its interval)",
                "seed": "with other random draws",
                "retrained": "of networks trained from other seeds",
            },
        ),
        "nothing": ("{}", {"n/a": "n/a: a dream changed nothing."}),
    },
    "control_panel": {
        "columns": (
            "{}",
            {
                "dream": "the dream of the trained network",
                "redrawn": "that of the network with all weights re-drawn",
                "cascade": "with weights re-drawn from this layer down to the named one",
                "shuffled": "of a network trained on shuffled masks",
                "noise": "of the trained network on the scan with noise",
                "seed": "with other random draws",
                "retrained": "of networks trained from other seeds",
            },
        ),
        "beyond": ("{}", {"beyond": ", pointed where a control goes beyond"}),
    },
    "localization": {
        "top": (
            "Top: energy at the lesions over that at the same lesions shifted elsewhere in the "
            "retina; small points are subjects{}.",
            {"means": ", black ones means"},
        ),
        "bottom": (
            "{}",
            {
                "distances": (
                    "Bottom: density by distance from the lesion's border; 1 is an even map, grey "
                    "the inside of lesions; bins are not of one width."
                )
            },
        ),
        "below": (
            "{}", {"below": "What lies on the lower edge of an axis is 0 or less than its end."}
        ),
    },
    "response": {"control": ("{}", {"control": ", and in those of re-drawn weights (broken)"})},
    "units": {
        "dreams": ("{}", {"dreams": "their dreams beside"}),
        "references": ("{}", {"references": "; blue contour: the reference masks of the scan"}),
    },
    "activation": {
        "colours": (
            "{}",
            {
                "positive": "from 0 (dark) to its maximum",
                "signed": "where it has negative values blue below 0 and red above",
            },
        )
    },
    "curves": {
        "region": (
            "{}",
            {
                "fixed": (
                    "Measured in the region that was ascended, whose shape and place cannot "
                    "change and are left out."
                ),
                "predicted": (
                    "Measured where each network itself sees the class, in and around the "
                    "region that was ascended: as long as it sees nothing its area is 0 and other "
                    "features have no value, so that curves begin at the step from which on a "
                    "subject has one."
                ),
            },
        )
    },
    "layers": {
        "rows": (
            "{}",
            {
                "original": "The scan stands at the left of the first row.",
                "networks": (
                    "Rows: networks; columns: layers in the order of the network with most of them."
                ),
            },
        ),
        "empty": ("{}", {"empty": "A place is empty where a network has no such layer."}),
    },
}  # fmt: skip
"""For the names in braces of `CAPTIONS`, words around and for each thing that a figure may hold."""
_APART = {("curves", "region"), ("layers", "rows")}  # sentences, not parts of a list
_ALWAYS = {("localization", "top")}


def caption(
    kind: str,
    *,
    objective: str,
    scans: int,
    subjects: int,
    steps: int | None = None,
    scale_bar: bool = False,
    holds: Collection[str] | None = None,
    note: str = "",
) -> str:
    """Return the caption of a figure.

    Parameters
    ----------
    kind : str
        A key of `CAPTIONS`.
    objective : str
        What was ascended or looked at, such as "dec1_conv2".
    scans, subjects : int
        That the figure shows or averages.
    steps : int, optional
        Of the ascent; default: not said.
    scale_bar : bool
        Whether the figure has one. Default False.
    holds : collection of str, optional
        `PaperFigure.holds`: of what `HELD` has words for, only these things are spoken of. Default: all.
    note : str
        A sentence to be added. Default none.

    Returns
    -------
    str
        Of paths of this machine only the last part is kept.

    Raises
    ------
    ConfigError
        When there is no such kind.

    Examples
    --------
    >>> caption("history", objective="dec1_conv2", scans=1, subjects=1, steps=100)
    'dec1_conv2 along the ascent. 100 steps. n = 1 scan of 1 subject.'
    """
    if kind not in CAPTIONS:
        raise ConfigError(f"There is no caption of kind {kind!r}. {nearest(kind, CAPTIONS)}")
    held = {slot: _held(kind, slot, holds) for slot in HELD.get(kind, {})}
    text = CAPTIONS[kind].format(objective=objective, intervals=_INTERVALS, **held)
    said = [" ".join(text.split()), *([note] if note else [])]
    if scale_bar:
        said.append("Scale bar in micrometres of tissue; pixels are drawn square.")
    if steps is not None:
        said.append("1 step." if steps == 1 else f"{steps} steps.")
    shown = "1 scan" if scans == 1 else f"{scans} scans"
    people = "1 subject" if subjects == 1 else f"{subjects} subjects"
    said.append(f"n = {shown} of {people}.")
    return without_paths(" ".join(said))


def _held(kind: str, slot: str, holds: Collection[str] | None) -> str:
    around, words = HELD[kind][slot]
    told = [said for name, said in words.items() if holds is None or name in holds]
    if not told and (kind, slot) not in _ALWAYS:
        return ""
    return around.format(" ".join(told) if (kind, slot) in _APART else listed(told))


def write_texts(folder: str | Path, captions: Mapping[str, str], methods: str) -> tuple[Path, Path]:
    """Write `caption.txt`, a paragraph for each figure, and `methods.txt`.

    Parameters
    ----------
    folder : path
    captions : {file name of the figure: caption}
    methods : str
        Of `medream.figures.methods_text`.

    Returns
    -------
    (path, path)

    Raises
    ------
    OutputError
        When a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     caption_path, _ = write_texts(folder, {"control.pdf": "Similarity."}, "Dreams were made.")
    ...     caption_path.read_text()
    'control.pdf: Similarity.\\n'
    """
    paths = Path(folder) / "caption.txt", Path(folder) / "methods.txt"
    write_text(paths[0], "\n".join(f"{name}: {text}\n" for name, text in captions.items()))
    write_text(paths[1], f"{methods}\n")
    return paths
