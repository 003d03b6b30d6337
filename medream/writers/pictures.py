"""A folder of PNG pictures: `images/`, `masks/`, `valid/`, told by `scans.json`.

A `dataset.toml` beside lets `open_dataset` take the same folder as a data set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medream.files import result_folder
from medream.scan import Scan
from medream.writers.stack import quantised

LIST = "scans.json"


def write(scans: Sequence[Scan], out: Path, described: dict[str, Any], bits: int) -> None:
    """Write the folder `out`, which must be empty or new."""
    with result_folder(out, "") as folder:
        listed = [_one(scan, number, folder, bits) for number, scan in enumerate(scans)]
        content = {**described, "bits": bits, "bscans": listed}
        (folder / LIST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (folder / "dataset.toml").write_text(_toml(described), encoding="utf-8")


def _one(scan: Scan, number: int, folder: Path, bits: int) -> dict[str, str | None]:
    name = f"{_safe(scan.source.subject_id)}_bscan{number:04d}.png"
    # One class is drawn in white, as most tools show and read masks; several keep their numbers.
    white = np.uint8(255 if len(scan.classes) == 1 else 1)
    kinds = {
        "image": ("images", quantised(scan.image, bits)),
        "mask": ("masks", None if scan.mask is None else scan.mask * white),
        "valid": ("valid", scan.valid),
    }
    files: dict[str, str | None] = {}
    for kind, (place, array) in kinds.items():
        files[kind] = None if array is None else f"{place}/{name}"
        if array is not None:
            (folder / place).mkdir(exist_ok=True)
            Image.fromarray(array).save(folder / place / name)
    return files


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-") or "scan"


def _toml(described: dict[str, Any]) -> str:
    # JSON's texts, numbers and lists are TOML's as well.
    subject = re.escape(_safe(described["subject_id"]))
    lines = {
        "name": described["dataset"],
        "subject_pattern": f"(?P<subject>{subject})",
        "device": described["device"],
        "laterality": described["laterality"],
        "spacing_mm": described["spacing_mm"],
    }
    text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items() if v is not None)
    classes = described["classes"]
    values = [255] if len(classes) == 1 else range(1, len(classes) + 1)
    return text + "\n[classes]\n" + "".join(
        f"{json.dumps(name)} = {value}\n" for name, value in zip(classes, values, strict=True)
    )  # fmt: skip
