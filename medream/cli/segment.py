"""medream segment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import (
    Out,
    Quiet,
    Threshold,
    Tta,
    absolute,
    begin,
    done,
    load_networks,
    load_tensorflow,
)
from medream.cli.volumes import SkipBad


@app.command()
def segment(
    path: Annotated[Path, typer.Argument(help="A scan, a folder of scans, or a data set.")],
    out: Out,
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            help="A model folder, or a network's folder of 'medream compare'; several are averaged.",
        ),
    ],
    format: Annotated[
        Literal["png", "npz", "nifti", "dicom-seg"],
        typer.Option(help="Of the masks, beside pictures."),
    ] = "png",
    tta: Tta = False,
    threshold: Threshold = None,
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Segment scans of any size: masks, overlays and a table of lesion areas.

    Pictures are called as the scan's own file. A folder may hold several subjects: each is a volume of
    its own. nifti is one label volume for each volume; dicom-seg is masks and probabilities that refer to
    the frames of a DICOM source and, other than all else, carry its patient's attributes for the PACS.

    Example: medream segment scan.png --model runs/mine/unet3 --out out/segmentation
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "path": absolute(path), "model": [absolute(ref) for ref in model], "format": format,
        "tta": tta, "threshold": threshold, "skip_bad": skip_bad,
    }  # fmt: skip
    done(run_segment(settings, out))


def run_segment(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream segment` from its record's settings."""
    import numpy as np
    import pandas as pd

    from medream.cli.pictures import save_pictures
    from medream.cli.volumes import dicom_frames, picture_names, save_masks, scans_at
    from medream.files import result_folder
    from medream.progress import progress
    from medream.record import RunRecord, input_hashes
    from medream.segmentation import as_models, segment, threshold_of

    refs = settings["model"]
    models = as_models(load_networks([refs] if isinstance(refs, str) else refs))
    threshold, tta = settings.get("threshold"), bool(settings.get("tta"))
    scans, distances, left_out = scans_at(settings["path"], bool(settings.get("skip_bad")))
    names = picture_names([scan.source for scan in scans])
    record = RunRecord("segment", settings, inputs=input_hashes(scans))
    of_volumes = settings["format"] in ("nifti", "dicom-seg")
    if settings["format"] == "dicom-seg":
        dicom_frames(scans)  # says now what would be missing in the end
    rows, results = [], []
    with result_folder(out, "segment") as folder, progress("segment", len(scans)) as update:
        for picture, scan in zip(names, scans, strict=True):
            found = segment(models, scan, threshold, tta)
            save_pictures(folder, picture, scan, found)
            if of_volumes:
                results.append((scan, found))
            if settings["format"] == "npz":
                np.savez_compressed(
                    folder / f"{picture}.npz", mask=found.mask, probability=found.probability,
                    classes=np.array(found.classes),
                )  # fmt: skip
            area = None if scan.spacing_mm is None else scan.spacing_mm[0] * scan.spacing_mm[1]
            for label, name in enumerate(found.classes, start=1):
                pixels = int((found.mask == label).sum())
                rows.append({"scan": scan.source.name, "file": scan.source.picture,
                             "picture": f"{picture}.png", "class": name, "pixels": pixels,
                             "area_mm2": None if area is None else pixels * area})  # fmt: skip
            update(1)
        if of_volumes:
            save_masks(folder, distances, settings["format"], results)
        pd.DataFrame(rows).to_csv(folder / "areas.csv", index=False)
        used = threshold_of(models) if threshold is None else threshold
        used = None if models[0].output_shape[-1] > 1 else used  # the largest of several decides
        record.write(folder, left_out=left_out, threshold=used, networks=len(models))
    return Path(out)
