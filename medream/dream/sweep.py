"""Many dreams into one folder, a batch at a time: what is finished survives a kill."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medream.dream.config import DreamConfig, settle
from medream.dream.result import DreamResult, load_result
from medream.errors import ConfigError, OutputError
from medream.files import RUN_FILE, claim_folder, write_text
from medream.progress import say
from medream.record import RunRecord, read_record
from medream.scan import Scan

if TYPE_CHECKING:
    import keras

    from medream.dream.algebra import Objective

COMMAND = "dream many"
"""What the `run.json` of such a folder calls the command."""
KINDS = ("dream", "channel", "scan", "seed")
_COLUMNS = ("folder", "objective", "start", "end", "gain", "control_gain", "dead")
_Image = np.ndarray | Scan
_Wanted = str | Mapping[str, float] | Any
_Named = tuple[str, _Image, "Objective", int]


def dream_into(
    folder: str | Path,
    model: keras.Model,
    images: Sequence[_Image] | _Image,
    objectives: Sequence[_Wanted] | _Wanted,
    seeds: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    batch: int | None = None,
    control: bool = True,
    config: DreamConfig | None = None,
    kind: str = "dream",
    resume: bool = False,
    overwrite: bool = False,
    record: RunRecord | None = None,
    finish: Callable[[DreamResult, _Image], DreamResult] | None = None,
    **settings: Any,
) -> Path:
    """Dream many scans, objectives or seeds, each into a folder of its own below `folder`.

    Every batch is written when it is done, so that memory holds one and a kill loses one.

    Parameters
    ----------
    folder : path
        Receives a result folder for each dream, the table `<kind>s.csv` and `run.json`.
    model, images, objectives, seeds, batch, control, config, **settings
        As for `dream_many`.
    names : sequence of str, optional
        Of the folders. Default: made of what differs, the objective's label, the scan's name or
        the seed.
    kind : {"dream", "channel", "scan", "seed"}
        What the dreams differ in, for the table. Default "dream".
    resume : bool
        Skip the batches that are finished. Default False.
    overwrite : bool
        Replace an earlier sweep in `folder`. Default False: it is refused.
    record : RunRecord, optional
        The run to be recorded.
    finish : callable, optional
        Takes a result and its image, returns the result to be saved: with predictions, say.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    As `dream_many`; OutputError when the folder holds something else; ConfigError when what
    is to be resumed was dreamt with other settings.

    Examples
    --------
    >>> import tempfile
    >>> import keras
    >>> from medream.dream import channel
    >>> image = keras.Input((None, None, 1))
    >>> model = keras.Model(image, keras.layers.Conv2D(2, 3, name="first")(image))
    >>> scan = np.random.default_rng(0).random((24, 32), dtype="float32")
    >>> wanted = [channel("first", k) for k in range(2)]
    >>> with tempfile.TemporaryDirectory() as out:
    ...     _ = dream_into(out, model, scan, wanted, steps=2, octaves=None, control=False)
    ...     sorted(path.name for path in Path(out).iterdir())
    ['dreams.csv', 'first_0', 'first_1', 'run.json']
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}.")
    config = settle(config, settings)
    size = _batch_size(batch, config)
    dreams = _Dreams.of(images, objectives, seeds, names, config, kind)
    if record is None:
        record = RunRecord("dream many", _from_python(model, dreams, batch, control, config))
    begun = folder.exists()
    _open(folder, record, resume, overwrite)
    try:
        return _dream_each(
            folder, model, dreams, size, control, config, kind, record, finish or _as_it_is
        )
    except Exception:
        # A folder of nothing but the record would only stand in the way of the next attempt.
        if [path.name for path in folder.iterdir()] == [RUN_FILE]:
            (folder / RUN_FILE).unlink()
            if not begun:
                folder.rmdir()
        raise


def _as_it_is(result: DreamResult, image: _Image) -> DreamResult:
    return result


def _dream_each(
    folder: Path, model: keras.Model, dreams: _Dreams, size: int, control: bool, config: DreamConfig,
    kind: str, record: RunRecord, finish: Callable[[DreamResult, _Image], DreamResult],
) -> Path:  # fmt: skip
    """Dream what is not there yet into the folder, with its table and its record."""
    from medream.dream.engine import dream_many

    rows: list[dict[str, Any]] = []
    fresh, started = 0, time.monotonic()
    for group in dreams.batches(size):
        found = [
            _finished(folder / name, image, o, s, config, control) for name, image, o, s in group
        ]
        if not all(found):
            first, last = len(rows) + 1, len(rows) + len(group)
            left = ""
            if fresh:
                rest = (time.monotonic() - started) / fresh * (dreams.total - len(rows))
                left = f", {_duration(rest)} left"
            which = f"{first}" if first == last else f"{first} to {last}"
            say(f"{kind} {which} of {dreams.total} ({group[0][0]}){left}")
            names_, images_, objectives_, seeds_ = map(list, zip(*group, strict=True))
            with _no_word_of_dead():
                made = list(dream_many(model, images_, objectives_, seeds_, size, control, config))
            for k, (name, image, result) in enumerate(zip(names_, images_, made, strict=True)):
                result = finish(result, image)
                result.save(folder / name, _record_of(record, name, result))
                found[k] = result
            fresh += len(group)
        rows += [
            _row(name, result) for (name, *_), result in zip(group, found, strict=True) if result
        ]
        _write_table(folder, kind, rows)
    dead = [row["folder"] for row in rows if row["dead"]]
    if dead:
        warnings.warn(
            f"{len(dead)} of {len(rows)} dreams are the image itself, since the gradient is exactly "
            f"zero (dead or saturated): {', '.join(dead[:12])}{', ...' if len(dead) > 12 else ''}.",
            stacklevel=3,
        )
    record.write(folder, dreams=len(rows), dead=len(dead), table=_table(kind))
    return folder


def dream_again(
    name: str,
    model: keras.Model,
    images: Sequence[_Image] | _Image,
    objectives: Sequence[_Wanted] | _Wanted,
    seeds: Sequence[int] | None,
    names: Sequence[str],
    batch: int | None,
    control: bool,
    config: DreamConfig,
) -> tuple[DreamResult, _Image]:
    """Return one dream of those that `dream_into` makes, climbed in the same batch, and its image.

    Raises
    ------
    ConfigError
        When there is no dream of that name.
    """
    from medream.dream.engine import dream_many

    dreams = _Dreams.of(images, objectives, seeds, names, config, "dream")
    size = _batch_size(batch, config)
    for group in dreams.batches(size):
        own = [each[0] for each in group]
        if name in own:
            _, *parts = map(list, zip(*group, strict=True))
            images_, objectives_, seeds_ = parts
            made = list(dream_many(model, images_, objectives_, seeds_, size, control, config))
            return made[own.index(name)], group[own.index(name)][1]
    raise ConfigError(f"There is no dream {name!r} among these.")


def load_results(folder: str | Path) -> Iterator[tuple[str, DreamResult]]:
    """Open the dreams that `dream_into` wrote, one after the other.

    Parameters
    ----------
    folder : path

    Yields
    ------
    (str, DreamResult)
        What the table's first column calls it (a channel's number, a seed, a scan's name).

    Raises
    ------
    OutputError
        When the folder holds no such dreams, or one of them is damaged.
    """
    folder = Path(folder)
    tables = [folder / _table(kind) for kind in KINDS if (folder / _table(kind)).exists()]
    if _command(folder) != COMMAND or not tables:
        raise OutputError(
            f"{folder} does not hold many dreams. Give a folder that 'medream dream --channels all' "
            "or medream.dream_into wrote."
        )
    with open(tables[0], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kind = tables[0].stem[:-1]
    for row in rows:
        yield row.get(kind) or row["folder"], load_result(folder / row["folder"])


def _batch_size(batch: int | None, config: DreamConfig) -> int:
    """Return how many climb together where nothing is said; what is shared needs several."""
    from medream.dream.precision import gains_from_batches

    if batch is not None:
        return batch
    kind = config.parametrization
    shared = config.diversity > 0 or (kind if isinstance(kind, str) else kind["kind"]) == "lowrank"
    return 4 if shared or gains_from_batches(config.precision) else 1


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between the settings of two records.

    Examples
    --------
    >>> changed_settings({"control": True, "dream": {"steps": 3}}, {"dream": {"steps": 4}})
    ['control', 'steps (3, now 4)']
    """
    old, new = (json.loads(json.dumps(each)) for each in (old, new))
    found = []
    for key in sorted({*old, *new}):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if key == "dream" and isinstance(before, dict) and isinstance(now, dict):
            usual = DreamConfig().to_json()
            for name in dict.fromkeys([*before, *now]):
                a, b = (each.get(name, usual.get(name)) for each in (before, now))
                if a != b:
                    found.append(f"{name} ({a}, now {b})")
        elif key == "objective":
            labels = _label(before), _label(now)
            told = None not in labels and labels[0] != labels[1]
            found.append(f"objective ({labels[0]}, now {labels[1]})" if told else key)
        else:
            plain = isinstance(before, (int, str)) and isinstance(now, (int, str))
            found.append(f"{key} ({before}, now {now})" if plain and key != "control" else key)
    return found


def _label(spec: Any) -> str | None:
    """Return the label of an objective's spec; None where that needs another model."""
    from medream.dream.objectives import objective_from_spec

    try:
        return objective_from_spec(spec).label
    except ConfigError:
        return None


class _Dreams:
    """Images, objectives and seeds that go together one by one, under their names."""

    def __init__(
        self, images: Any, objectives: list[Objective], seeds: list[int], names: list[str]
    ) -> None:
        self.images, self.objectives, self.seeds, self.names = images, objectives, seeds, names
        self.total = len(names)

    @classmethod
    def of(
        cls, images: Any, objectives: Any, seeds: Sequence[int] | None, names: Sequence[str] | None,
        config: DreamConfig, kind: str,
    ) -> _Dreams:  # fmt: skip
        from medream.dream.algebra import Objective
        from medream.dream.objectives import as_objective

        many = [images] if isinstance(images, (np.ndarray, Scan)) else images
        if isinstance(objectives, (str, Mapping, Objective)):
            objectives = [objectives]
        wanted = [as_objective(each) for each in objectives]
        numbers = [config.seed] if seeds is None else [int(seed) for seed in seeds]
        counts = {"images": len(many), "objectives": len(wanted), "seeds": len(numbers)}
        total = 0 if 0 in counts.values() else max(counts.values())
        if not total or any(count not in (1, total) for count in counts.values()):
            told = ", ".join(f"{count} {what}" for what, count in counts.items())
            raise ConfigError(f"{told}: expected equally many of each, or one for all.")
        if names is None:
            names = _names(many, wanted, numbers, total)
        _check_names(names, total, kind)
        return cls(many, wanted, numbers, list(names))

    def __iter__(self) -> Iterator[_Named]:
        def take(several: Any, number: int) -> Any:
            return several[number if len(several) > 1 else 0]

        for number, name in enumerate(self.names):
            yield (
                name, take(self.images, number), take(self.objectives, number),
                take(self.seeds, number),
            )  # fmt: skip

    def batches(self, size: int) -> Iterator[list[_Named]]:
        """Yield what climbs together: the same whatever is finished already."""
        from medream.dream.algebra import form_of

        if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
            raise ConfigError(f"batch is {size!r}, expected a whole number of at least 1.")
        group: list[_Named] = []
        key: Any = None
        for each in self:
            own = np.shape(_pixels(each[1])), form_of(each[2])
            if group and (len(group) == size or own != key):
                yield group
                group = []
            group.append(each)
            key = own
        yield group


def _pixels(image: _Image) -> np.ndarray:
    return image.image if isinstance(image, Scan) else image


def _names(
    images: Sequence[_Image], objectives: list[Objective], seeds: list[int], total: int
) -> list[str]:
    taken: set[str] = set()
    names = []
    for k in range(total):
        parts = []
        if len(images) > 1:
            image = images[k]
            source = image.source if isinstance(image, Scan) else None
            picture = source.picture.rpartition(".")[0] if source and source.picture else ""
            parts.append(picture or (source.name if source else f"image_{k}"))
        if len(objectives) > 1 or total == 1:
            parts.append(objectives[k if len(objectives) > 1 else 0].label)
        if len(seeds) > 1:
            parts.append(f"seed_{seeds[k]}")
        names.append(free_name("_".join(parts), taken))
    return names


def free_name(text: str, taken: set[str]) -> str:
    """Return a folder's name for a text that is not `taken` yet, and take it.

    >>> taken = set()
    >>> [free_name(text, taken) for text in ("dec1_conv2[3]", "dec1/conv2[3]", "DEC1_conv2_3")]
    ['dec1_conv2_3', 'dec1_conv2_3-2', 'DEC1_conv2_3-3']
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:100] or "dream"
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _check_names(names: Sequence[str], total: int, kind: str) -> None:
    if len(names) != total:
        raise ConfigError(f"{len(names)} names for {total} dreams; expected one for each.")
    reserved = {RUN_FILE, _table(kind), "atlas.png", "atlas.pdf"}
    seen: set[str] = set()
    for name in names:
        plain = isinstance(name, str) and name not in ("", ".", "..")
        if not plain or re.search(r'[/\\:*?"<>|\x00-\x1f]', name) or name.startswith("."):
            raise ConfigError(f"A dream cannot be called {name!r}: expected a folder's plain name.")
        if name.casefold() in seen or name in reserved:
            raise ConfigError(f"The name {name!r} is taken; every dream needs one of its own.")
        seen.add(name.casefold())


def _from_python(
    model: keras.Model, dreams: _Dreams, batch: int | None, control: bool, config: DreamConfig
) -> dict[str, Any]:
    return {
        "model": getattr(model, "medream_ref", None),
        "path": None,
        "objectives": [objective.label for objective in dreams.objectives],
        "seeds": dreams.seeds,
        "names": dreams.names,
        "dream": config.to_json(),
        "control": control,
        "batch": batch,
    }


def _record_of(record: RunRecord, name: str, result: DreamResult) -> RunRecord | None:
    """Return the record of one dream; None lets the result write its own."""
    if record.settings.get("path") is None:
        return None
    settings = {**record.settings, "only": name}
    return replace(record, command="dream", settings=settings, seed=result.config.seed, results={})


def _command(folder: Path) -> str | None:
    return read_record(folder).command if (folder / RUN_FILE).exists() else None


def _open(folder: Path, record: RunRecord, resume: bool, overwrite: bool) -> None:
    """Make the folder ready: empty, or with what an equal run left there."""
    if overwrite or _command(folder) != COMMAND:
        claim_folder(folder, COMMAND)
        record.write(folder)
        return
    if not resume:
        raise OutputError(
            f"{folder} holds earlier dreams, finished or not. Go on with --resume (resume=True), "
            "replace them with --overwrite (overwrite=True), or choose another folder."
        )
    earlier = read_record(folder)
    changed = changed_settings(earlier.settings, record.settings)
    files = {*earlier.inputs} & {*record.inputs}
    changed += [path for path in sorted(files) if earlier.inputs[path] != record.inputs[path]]
    if changed:
        raise ConfigError(
            f"{folder} was begun with other settings or files and cannot be resumed: "
            f"{', '.join(changed)}. Choose another folder, or replace it with --overwrite."
        )
    for rest in folder.glob(".*partial-*"):  # of a run that was killed while it wrote
        with contextlib.suppress(OSError):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


def _finished(
    folder: Path, image: _Image, objective: Objective, seed: int, config: DreamConfig, control: bool
) -> DreamResult | None:
    """Return the dream that lies there already, when it is the one asked for."""
    if not (folder / "result.json").exists():
        return None
    found = load_result(folder)
    wanted = replace(config, seed=seed)
    original = _pixels(image)
    same = {
        "the image": found.original.shape == original.shape
        and np.array_equal(found.original, original),
        "the objective": found.objective == objective.label
        and (objective.spec is None or found.objective_spec == _json(objective.spec)),
        "the control": (found.control is not None) == control,
    }
    differ = [what for what, equal in same.items() if not equal]
    differ += [
        f.name for f in fields(wanted) if getattr(found.config, f.name) != getattr(wanted, f.name)
    ]
    if differ:
        raise ConfigError(
            f"{folder} holds another dream than the one asked for: {', '.join(differ)} differ. "
            "Choose another folder, or replace it with --overwrite."
        )
    return found


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@contextlib.contextmanager
def _no_word_of_dead() -> Iterator[None]:
    """Leave out the warning for each dead dream; the table says it, and one warning in the end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The gradient of .* is exactly zero", UserWarning)
        yield


def is_dead(result: DreamResult) -> bool:
    """Tell whether a dream with steps is the image itself, its gradient being zero."""
    return result.config.steps > 0 and np.array_equal(result.dream, result.original)


def gain_of(history: np.ndarray | None) -> float | None:
    """Return by how much an objective rose; None without a history."""
    return None if history is None else float(history[-1]) - float(history[0])


def _row(name: str, result: DreamResult) -> dict[str, Any]:
    return {
        "folder": name,
        "objective": result.objective,
        "start": float(result.history[0]),
        "end": float(result.history[-1]),
        "gain": gain_of(result.history),
        "control_gain": gain_of(result.control_history),
        "dead": is_dead(result),
    }


def _table(kind: str) -> str:
    return f"{kind}s.csv"


def _write_table(folder: Path, kind: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write the table; channels and seeds come first by their number, which ends the folder's name."""
    columns = [*([kind] if kind in ("channel", "seed") else []), *_COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = {k: _cell(value) for k, value in row.items()}
        if kind in columns:
            shown[kind] = row["folder"].rpartition("_")[2]
        writer.writerow(shown)
    write_text(folder / _table(kind), text.getvalue())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
