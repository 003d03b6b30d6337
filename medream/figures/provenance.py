"""Where a figure comes from, in a line for its file; without names of people or of this machine's folders."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from medream.record import RunRecord

# Of C:\a\b, /a/b and ~/a/b; "mid/conv" is the name of a layer, and a single "/x" no path.
_PATH = re.compile(
    r"(?:(?<![\w.:/\\~])~?/|(?<!\w)[A-Za-z]:[/\\]|(?<![\w\\])\\\\)(?:[^\s/\\'\",;]+[/\\])+([^\s/\\'\",;]*)"
)


def without_paths(text: str) -> str:
    r"""Return a text in which of each absolute path only the last part is left.

    >>> without_paths("dec1/conv2 of /home/maria/nets/unet3.keras, 1/2 as large")
    'dec1/conv2 of unet3.keras, 1/2 as large'
    >>> without_paths(r"C:\Users\maria\unet3.keras")
    'unet3.keras'
    """
    return _PATH.sub(r"\1", text)


def run_id(record: RunRecord) -> str:
    """Return a short name of a run: twelve hexadecimal digits.

    Runs of the same command with the same settings, inputs and versions have the same name; neither
    time nor device count, and the names of the inputs do not either.

    Examples
    --------
    >>> record = RunRecord("dream", {"steps": 20}, versions={"medream": "1.0"}, git=None)
    >>> run_id(record) == run_id(RunRecord("dream", {"steps": 20}, versions={"medream": "1.0"}, git=None))
    True
    """
    told = [
        record.command, record.settings, record.seed, sorted(record.inputs.values()), record.versions,
        record.git,
    ]  # fmt: skip
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def provenance_line(
    record: RunRecord, objective: str = "", settings: Mapping[str, Any] | None = None
) -> str:
    """Return the run, the versions and the dream's settings as a line for a file's metadata.

    Parameters
    ----------
    record : RunRecord
        Its settings and inputs, which hold paths, are only part of the run's name.
    objective : str
    settings : mapping, optional
        `DreamConfig.to_json()`.

    Returns
    -------
    str
        For `PaperFigure.provenance` or `save_figure(..., provenance=...)`. It has no time, so that files are
        the same from run to run.

    Examples
    --------
    >>> record = RunRecord("dream", {}, versions={"medream": "1.0", "numpy": "2.0"}, git=None)
    >>> provenance_line(record, "dec1_conv2", {"steps": 20}).split("; ")[1:]
    ['objective dec1_conv2', 'steps 20', 'medream 1.0', 'numpy 2.0']
    """
    parts = [f"medream {record.command}, run {run_id(record)}"]
    if objective:
        parts.append(f"objective {objective}")
    parts += [f"{name} {json.dumps(value)}" for name, value in sorted((settings or {}).items())]
    parts += [f"{name} {number}" for name, number in record.versions.items()]
    if record.git:
        parts.append(f"commit {record.git}")
    return without_paths("; ".join(parts))
