"""Progress of all long work: bars on a terminal, plain lines in a log, or nothing.

Bars nest: work that is begun within other work gets a bar below it, and moves the outer bar by its share.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

# "auto": bars on a terminal, else nothing (the library's default);
# "lines": bars on a terminal, else plain lines (the command line); "quiet": nothing.
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


@dataclass
class _Work:
    """Work under way. `inner` is how much of the next step the work within it has done."""

    label: str
    total: int
    first: int
    done: int
    inner: float = 0.0
    text: str = ""
    started: float = field(default_factory=lambda: time.monotonic())

    @property
    def completed(self) -> float:
        return min(self.done + self.inner, self.total)

    @property
    def left(self) -> str:
        """The time left in words, "" before anything is done."""
        made = self.completed - self.first
        if made <= 0 or self.done >= self.total:
            return ""
        return duration((time.monotonic() - self.started) / made * (self.total - self.completed))


_stack: list[_Work] = []
_shown: Any = None  # what all bars of a terminal are drawn with


def duration(seconds: float) -> str:
    """Return a duration in words.

    >>> [duration(s) for s in (0.4, 75, 600, 5000, 200000)]
    ['0 s', '75 s', '10 min', '1 h 23 min', '56 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 24 else f"{round(seconds / 3600)} h"


@contextlib.contextmanager
def progress(label: str, total: int, done: int = 0) -> Iterator[Update]:
    """Show progress of `total` steps; yields `update(advance=1, **values)`.

    The values (loss, Dice, objective) are shown beside the bar with the time left.

    Parameters
    ----------
    label : str
    total : int
    done : int
        Steps that were done before; the time left is worked out from the others.

    Examples
    --------
    >>> with progress("dream", total=3) as update:
    ...     for step in range(3):
    ...         update(objective=0.5 * step)
    """
    if _mode == "quiet" or (_mode == "auto" and not sys.stderr.isatty()):
        yield lambda advance=1, **values: None
        return
    work = _Work(label, total, done, done)
    with _bar(work) if sys.stderr.isatty() else _lines(work) as show:
        outer = list(_stack)
        _stack.append(work)

        def update(advance: int = 1, **values: float) -> None:
            work.done += advance
            work.inner = 0.0
            work.text = _text(values) or work.text
            share = work.completed / work.total if work.total else 1.0
            for around in reversed(outer):
                # Work in several stages, such as training and scoring, never moves it back.
                around.inner = max(around.inner, share)
                share = around.completed / around.total if around.total else 1.0
            show()

        try:
            yield update
        finally:
            _stack.remove(work)


def _text(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


@contextlib.contextmanager
def _bar(work: _Work) -> Iterator[Callable[[], None]]:
    """Draw a bar below those that are there already."""
    global _shown
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if _shown is None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[work].left}"),
            TextColumn("{task.fields[work].text}"),
        )
        owner = _shown = Progress(*columns, console=Console(stderr=True))
        owner.start()
    else:
        owner = None
    shown = _shown
    task = shown.add_task(work.label, total=work.total, completed=work.done, work=work)
    tasks = {id(work): task}
    for other in shown.tasks:
        tasks[id(other.fields["work"])] = other.id

    def show() -> None:
        for each in _stack:
            shown.update(tasks[id(each)], completed=each.completed)

    try:
        yield show
    finally:
        if owner is None:
            shown.remove_task(task)
        else:
            _shown = None
            owner.stop()


@contextlib.contextmanager
def _lines(work: _Work) -> Iterator[Callable[[], None]]:
    last = time.monotonic()

    def show() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S or work.done >= work.total > 0:
            last = now
            left = f", {work.left} left" if work.left else ""
            say(f"{work.label}: {work.done}/{work.total}{left}  {work.text}".rstrip())

    yield show
