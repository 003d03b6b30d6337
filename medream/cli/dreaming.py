"""`run_dream`: what `medream dream` does, from the settings that its record holds."""

from __future__ import annotations

import contextlib
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from medream.cli.wanted import counted, found_in, up_to, with_channel
from medream.progress import say


def run_dream(
    settings: dict[str, Any], out: Path, resume: bool = False, overwrite: bool = False
) -> Path:
    """Run `medream dream` from its record's settings: one dream, or a folder of many."""
    from medream.dream.config import DreamConfig
    from medream.dream.objectives import objective_from_spec
    from medream.errors import ConfigError, ModelError
    from medream.record import RunRecord
    from medream.store import load_model

    out = Path(out)
    if settings["model"] is None or settings["path"] is None:
        raise ModelError(
            "This dream was made in Python of what no file can bring back; of many dreams, the "
            "folders inside may be repeated one by one."
        )
    several = settings.get("channels") is not None or settings.get("seeds") is not None
    check_earlier(out, settings, resume, overwrite)
    scans, many = chosen_scans(settings["path"], settings["bscan"])
    if many and several:
        raise ConfigError(
            f"{settings['path']} holds {len(scans)} scans; --channels and --seeds dream on one. "
            "Choose it with --bscan N, or give a single file."
        )
    starts = _starts(settings, scans)
    model = load_model(settings["model"])
    config = DreamConfig.from_json(settings["dream"])
    make = partial(objective_from_spec, load=cache(load_model))
    skipped = _without_class(model, starts, make(settings["objective"]), settings, many)
    record = RunRecord("dream", settings, seed=config.seed, inputs=_inputs(settings, scans))
    finish = _finisher(model, scans, settings)
    if many or several:
        many_settings = (config, settings, out, record, finish, resume, overwrite)
        return _dream_many(model, starts, skipped, make, *many_settings)
    check_writable(out)
    wanted = make(settings["objective"])
    return _dream_one(model, starts[0], wanted, config, settings, out, record, finish, resume)


def _without_class(
    model: Any, scans: list[Any], objective: Any, settings: dict[str, Any], many: bool
) -> dict[int, str]:
    """Return which scans have no place for a class to be dreamt in, by number, and why.

    Raises
    ------
    ConfigError
        When no scan is left; it names the first.
    LayerError
        When the layer of the logits is missing.
    """
    from medream.dream.graph import find_layers, open_network
    from medream.dream.operands import regions
    from medream.errors import ConfigError, LayerError

    of_classes = found_in(settings["objective"], ("class_score",))
    if not of_classes:
        return {}
    network = open_network(model)
    try:
        find_layers(network, [part["layer"] for part in of_classes])
    except LayerError as error:
        raise LayerError(
            f"{error} --class reads the logits of a layer that --layer chooses (default logits)."
        ) from error
    reasons: dict[int, str] = {}
    for number, scan in enumerate(scans):
        try:
            regions(network, [(objective, scan.image[..., None], scan.mask)])
        except ConfigError as error:
            reasons[number] = str(error)
    if len(reasons) == len(scans):
        which = _called(scans[0], settings)
        none = f"None of the {len(scans)} scans can be dreamt on. The first, " if many else ""
        raise ConfigError(f"{none}{which}: {reasons[0]}")
    return reasons


def _called(scan: Any, settings: dict[str, Any]) -> str:
    """Return what a message calls a scan: its file, or that and its B-scan."""
    path = scan.source.path or settings["path"]
    return str(path) if scan.source.picture else f"{path}, {scan.source.name}"


def _dream_one(
    model: Any, scan: Any, objective: Any, config: Any, settings: dict[str, Any], out: Path,
    record: Any, finish: Callable[..., Any], resume: bool,
) -> Path:  # fmt: skip
    """Dream on the scan's own scale first, so that a stop keeps it; then octaves and control."""
    from medream.dream import dream

    earlier = _to_go_on(out, record, model, scan) if resume else None
    if earlier is not None and _is_whole(earlier, config, settings, out):
        say(f"{out} holds this dream already, whole.")
        return out
    more = config.octaves is not None or settings["control"]
    first = earlier
    begun = None if earlier is None else replace(earlier, config=_one_scale(earlier.config))
    try:
        with stoppable() as stop:
            first = dream(
                model, scan, objective, config=_one_scale(config), control=False,
                on_step=lambda *_: stop(), resume=begun,
            )  # fmt: skip
        first = replace(first, config=config)
        stopped = stop()
        result = first
        if more and not stopped:
            # What is settled is not settled again.
            exact = replace(config, precision=first.precision)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The gradient of .* is exactly zero")
                result = dream(
                    model, scan, objective, config=exact, control=settings["control"],
                    resume=replace(first, config=exact),
                )  # fmt: skip
            result = replace(result, config=config)
    except KeyboardInterrupt:
        if first is None or first is earlier:
            if earlier is None:
                raise
            raise KeyboardInterrupt(
                f"Stopped by Ctrl-C. What {out} held before is kept as it was."
            ) from None
        stopped = True
    if stopped:
        steps = len(first.history) - 1
        kept = replace(first, config=config, enhanced=None, control=None)
        kept.save(out, replace(record, results={"stopped_after": steps}))
        raise KeyboardInterrupt(
            f"Stopped by Ctrl-C after {steps} of {config.steps} steps. The dream up to there is kept in "
            f"{out}, without what comes after it (octaves, control): run the same command with "
            "--resume to go on."
        )
    finish(result, scan).save(out, record)
    return out


def _one_scale(config: Any) -> Any:
    return replace(config, octaves=None)


def _is_whole(earlier: Any, config: Any, settings: dict[str, Any], out: Path) -> bool:
    from medream.record import read_record

    return (
        "stopped_after" not in read_record(out).results
        and earlier.config == config
        and (earlier.enhanced is not None) == (config.octaves is not None)
        and (earlier.control is not None) == settings["control"]
    )


def _to_go_on(out: Path, record: Any, model: Any, scan: Any) -> Any:
    """Return the dream that --resume goes on from; None when there is none yet."""
    import numpy as np

    from medream.dream import load_result
    from medream.errors import ConfigError
    from medream.record import read_record

    if not (out / "result.json").exists():
        return None
    earlier, before = load_result(out), read_record(out)
    files = {*before.inputs} & {*record.inputs}
    changed = [file for file in sorted(files) if before.inputs[file] != record.inputs[file]]
    if earlier.model != getattr(model, "medream_ref", None):
        changed.append("the model")
    if not np.array_equal(
        np.ones(scan.shape, bool) if scan.valid is None else scan.valid,
        np.ones(scan.shape, bool) if earlier.valid is None else earlier.valid,
    ):
        changed.append("the valid pixels")
    steps, now = earlier.config.steps, record.settings["dream"]["steps"]
    if earlier.config.schedule != "constant" and steps != now:
        changed.append(
            f"the number of steps, on which --schedule {earlier.config.schedule} depends"
        )
    if changed:
        raise ConfigError(
            f"The dream in {out} cannot go on: {', '.join(changed)} changed since. Dream anew with "
            "--overwrite, or into another folder."
        )
    return earlier


def _dream_many(
    model: Any, scans: list[Any], skipped: dict[int, str], make: Callable[..., Any], config: Any,
    settings: dict[str, Any], out: Path, record: Any, finish: Callable[..., Any], resume: bool,
    overwrite: bool,
) -> Path:  # fmt: skip
    """Dream many into a folder; or, of a record that names only one of them, that one."""
    from medream.dream.sweep import COMMAND, dream_again, dream_into

    plan = _plan(model, scans, settings)
    reasons = {plan.names[number]: reason for number, reason in skipped.items()}
    if skipped:
        kept = [number for number in range(len(scans)) if number not in skipped]
        plan = replace(
            plan, images=[plan.images[k] for k in kept], names=[plan.names[k] for k in kept]
        )
    given = (model, plan.images, [make(spec) for spec in plan.specs], plan.seeds, plan.names)
    only = settings.get("only")
    if only is not None:
        check_writable(out)
        result, scan = dream_again(only, *given, settings["batch"], settings["control"], config)
        replaced = replace(record, seed=result.config.seed)
        return finish(result, scan).save(out, replaced)
    for name, reason in reasons.items():
        say(f"scan {name} is left out: {reason}")
    results = {**record.results, **({"skipped": reasons} if reasons else {})}
    try:
        dream_into(
            out, *given, batch=settings["batch"], control=settings["control"], config=config,
            kind=plan.kind, resume=resume, overwrite=overwrite, finish=finish,
            record=replace(record, command=COMMAND, results=results),
        )  # fmt: skip
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped by Ctrl-C. The dreams that were finished are kept in {out}: run the same command "
            "with --resume for the others."
        ) from None
    draw_atlas(out)
    return out


@dataclass(frozen=True)
class _Plan:
    """What differs from dream to dream, and how each is called."""

    kind: str
    images: list[Any]
    specs: list[Any]
    seeds: list[int] | None
    names: list[str]


def _plan(model: Any, scans: list[Any], settings: dict[str, Any]) -> _Plan:
    from medream.cli.volumes import picture_names
    from medream.dream.sweep import free_name

    spec, seeds, taken = settings["objective"], settings.get("seeds"), set[str]()
    if settings.get("channels") is not None:
        layer = found_in(spec, ("channel", "neuron"))[0]["layer"]
        channels = _channels(model, layer, settings["channels"])
        specs = [with_channel(spec, index) for index in channels]
        stem = free_name(layer, taken)
        return _Plan("channel", scans, specs, None, [f"{stem}_{index}" for index in channels])
    if seeds is not None:
        return _Plan("seed", scans, [spec], seeds, [f"seed_{seed}" for seed in seeds])
    names = [free_name(name, taken) for name in picture_names([scan.source for scan in scans])]
    return _Plan("scan", scans, [spec], None, names)


def _channels(model: Any, layer: str, asked: str | Sequence[int]) -> list[int]:
    from medream.dream.graph import find_layers, open_network
    from medream.errors import ConfigError, LayerError

    count = find_layers(open_network(model), [layer])[layer].output_shape[-1]
    if count is None:
        raise LayerError(f"Layer {layer!r} does not say how many channels it has: name them.")
    if asked == "all":
        return list(range(count))
    wrong = [index for index in asked if int(index) >= count]
    if wrong:
        raise ConfigError(
            f"Layer {layer!r} has no channel {wrong[0]}: here it has {count}, so 0 to {count - 1}."
        )
    return [int(index) for index in asked]


def draw_atlas(out: Path) -> None:
    """Draw the dreams of a folder side by side: atlas.png and atlas.pdf."""
    from medream.dream.sweep import load_results
    from medream.figures import atlas, save_figure

    drawn = atlas(load_results(out))
    for suffix in ("png", "pdf"):
        save_figure(drawn, out / f"atlas.{suffix}")


def _finisher(model: Any, scans: list[Any], settings: dict[str, Any]) -> Callable[..., Any]:
    """Return what adds the predictions to a dream."""
    from medream.segmentation import is_segmentation, segment

    segments = settings["predictions"] and is_segmentation(model)
    whole = {id(scan.image): scan for scan in scans}
    known: dict[int, Any] = {}

    def predicted(scan: Any, picture: Any) -> Any:
        return segment(model, replace(scan, image=picture)).mask

    def finish(result: Any, start: Any) -> Any:
        scan = whole[id(start.image)]  # without the region, which says nothing of the segmentation
        predictions = {}
        if segments:
            if id(scan.image) not in known:
                known.clear()
                known[id(scan.image)] = predicted(scan, result.original)
            predictions["original"] = known[id(scan.image)]
            for name in ("dream", "enhanced"):
                if getattr(result, name) is not None:
                    predictions[name] = predicted(scan, getattr(result, name))
        return replace(result, predictions=predictions)

    return finish


def _starts(settings: dict[str, Any], scans: list[Any]) -> list[Any]:
    """Return the scans with the reference and the region that were given."""
    from medream.errors import ConfigError, ScanError

    if settings["reference"] is not None and len(scans) > 1:
        raise ConfigError(f"--reference is the mask of one scan; there are {len(scans)}.")
    starts = []
    for scan in scans:
        reference, region = (_mask(settings, what, scan) for what in ("reference", "region"))
        if reference is not None:
            names = tuple(f"class{k}" for k in range(1, max(int(reference.max()), 1) + 1))
            same = len(scan.classes) >= len(names)
            scan = replace(scan, mask=reference, classes=scan.classes if same else names)
        if region is not None:
            if not region.any():
                raise ScanError(f"The region {settings['region']} is black everywhere.")
            inside = region > 0
            scan = replace(scan, valid=inside if scan.valid is None else scan.valid & inside)
        starts.append(scan)
    return starts


def _mask(settings: dict[str, Any], what: str, scan: Any) -> Any:
    """Return a mask that is given by its file, of the scan's size; None when there is none."""
    from medream.errors import ScanError
    from medream.readers import read_labels

    if settings.get(what) is None:
        return None
    mask = read_labels(settings[what])
    if mask.shape != scan.shape:
        raise ScanError(
            f"The mask {settings[what]} has size {mask.shape}, the scan {scan.shape}; they must be "
            "the same."
        )
    return mask


def _inputs(settings: dict[str, Any], scans: list[Any]) -> dict[str, str]:
    """Return the SHA-256 of every file that goes into the dream."""
    from medream.files import sha256_of
    from medream.record import input_hashes
    from medream.store import MODEL_FILE

    inputs: dict[str, str] = {}
    for scan in scans:
        path = scan.source.path or settings["path"]
        if path not in inputs:
            inputs[path] = next(iter(input_hashes([scan]).values()))
    others = [part["model"] for part in found_in(settings["objective"], ("on_model",))]
    for model in [settings["model"], *others]:
        file = Path(model)
        file = file / MODEL_FILE if file.is_dir() else file
        if file.is_file():
            inputs[str(file)] = sha256_of(file)
    for what in ("reference", "region"):
        if settings.get(what) is not None:
            inputs[settings[what]] = sha256_of(settings[what])
    return inputs


def chosen_scans(path: str, bscan: int | str | list[int] | None) -> tuple[list[Any], bool]:
    """Return the scans to dream on, and whether they are many: a folder's, or several B-scans.

    The folder of a saved dream stands for its original.
    """
    from medream.cli.volumes import scans_at
    from medream.errors import ScanError
    from medream.readers import read_scans

    if (Path(path) / "result.json").exists():
        return [_saved_original(path)], False
    folder = Path(path).is_dir()
    scans = scans_at(path)[0] if folder else read_scans(path)
    if bscan is None:
        if len(scans) > 1 and not folder:
            raise ScanError(
                f"{path} holds {len(scans)} B-scans. Choose one with --bscan {up_to(len(scans))}, or "
                "take them all with --bscan all."
            )
        return scans, len(scans) > 1
    numbers = range(len(scans)) if bscan == "all" else [bscan] if isinstance(bscan, int) else bscan
    for number in numbers:
        if int(number) >= len(scans):
            raise ScanError(
                f"{path} holds {counted(len(scans), 'B-scan')}; --bscan {int(number)} is none of "
                f"them: give {up_to(len(scans))}."
            )
    return [scans[int(number)] for number in numbers], not isinstance(bscan, int)


def _saved_original(path: str) -> Any:
    from medream.dream import load_result
    from medream.scan import Scan

    saved = load_result(path)
    labels = 1 if saved.reference is None else max(int(saved.reference.max()), 1)
    return Scan(
        saved.original,
        saved.reference,
        classes=tuple(f"class{k}" for k in range(1, labels + 1)),
        valid=saved.valid,
        spacing_mm=saved.spacing_mm,
    )


def check_earlier(out: Path, settings: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Refuse to replace an earlier dream of other settings, or to go on from one."""
    from medream.dream.sweep import changed_settings
    from medream.errors import ConfigError, OutputError
    from medream.files import RUN_FILE
    from medream.record import read_record

    if overwrite or not (out / "result.json").exists() or not (out / RUN_FILE).exists():
        return
    before = read_record(out).settings
    again = settings
    if resume:
        again = {**settings, "dream": {**settings["dream"], "steps": before["dream"]["steps"]}}
        again |= {key: before.get(key) for key in ("path", "predictions") if before["path"] == "."}
    changed = changed_settings(before, again)
    if changed and resume:
        raise ConfigError(
            f"The dream in {out} cannot go on, since more than the number of steps is new: "
            f"{', '.join(changed)}. Dream anew with --overwrite, or into another folder."
        )
    if changed:
        raise OutputError(
            f"{out} holds an earlier dream of other settings: {', '.join(changed)}. Replace it with "
            "--overwrite, go on from it with --resume (more steps only), or choose another folder."
        )


def check_writable(out: Path) -> None:
    """Fail before the long work when the result could not be written after it."""
    from medream.files import result_folder

    class _Enough(Exception):
        pass

    with contextlib.suppress(_Enough), result_folder(out, "dream"):
        raise _Enough


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into an answer of what is yielded; the second stops at once."""
    asked: list[int] = []

    def handler(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("Stopping after this step, to keep what is there; Ctrl-C once more stops at once.")

    try:
        before = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not the main thread, to which Ctrl-C does not come
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
