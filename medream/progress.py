"""One progress bar for all long work: a bar on a terminal, plain lines in a log, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

# "auto": a bar on a terminal, else nothing (the library's default);
# "lines": a bar on a terminal, else plain lines (the command line); "quiet": nothing.
_mode = "auto"
_LINE_EVERY_S = 10.0

Update = Callable[..., None]


def set_mode(mode: str) -> None:
    """Choose how progress is shown: "auto", "lines" or "quiet"."""
    global _mode
    _mode = mode


def say(message: str) -> None:
    """Print a line for people on stderr, unless progress is quiet."""
    if _mode == "lines":
        print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Update]:
    """Show progress of `total` steps; yields `update(advance=1, **values)`.

    The values (loss, Dice, objective) are shown beside the bar with the time left.

    >>> with progress("dream", total=3) as update:
    ...     for step in range(3):
    ...         update(objective=0.5 * step)
    """
    if _mode == "quiet" or (_mode == "auto" and not sys.stderr.isatty()):
        yield lambda advance=1, **values: None
    elif sys.stderr.isatty():
        with _bar(label, total) as update:
            yield update
    else:
        yield _lines(label, total)


def _text(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


@contextlib.contextmanager
def _bar(label: str, total: int) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, values="")

        def update(advance: int = 1, **values: float) -> None:
            bar.advance(task, advance)
            if values:
                bar.update(task, values=_text(values))

        yield update


def _lines(label: str, total: int) -> Update:
    started = last = time.monotonic()
    done = 0

    def update(advance: int = 1, **values: float) -> None:
        nonlocal done, last
        done += advance
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S or done >= total > 0:
            last = now
            left = (now - started) / max(done, 1) * max(total - done, 0)
            say(f"{label}: {done}/{total}, {left:.0f} s left  {_text(values)}".rstrip())

    return update
