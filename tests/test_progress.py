"""Progress: nested bars on a terminal, lines in a log, nothing when quiet."""

import os
import pty
import re
import subprocess
import sys

import pytest

from medream import progress as module
from medream.progress import duration, progress, say, set_mode

NESTED = """
import time
from medream.progress import progress, say, set_mode
set_mode("lines")
with progress("compare", 6, done=2) as update:
    for fold in range(2):
        with progress(f"fold{fold}", 2) as epochs:
            for epoch in range(2):
                with progress(f"epoch{epoch}", 3) as steps:
                    for step in range(3):
                        time.sleep(0.06)
                        steps(loss=0.5 - 0.1 * step)
                epochs(validation_dice=0.25 * epoch)
                say(f"said {fold} {epoch}")
        update()
"""


def on_a_terminal(code):
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=other,
        stdout=other,
        env={**os.environ, "COLUMNS": "120"},
    )
    os.close(other)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_bars_nest_on_a_terminal():
    shown = on_a_terminal(NESTED)
    frame = re.search(
        r"compare +\S+ +(\d)/6.*\n.*fold1 +\S+ +\d/2 .*\n.*epoch1 +\S+ +\d/3 .*loss", shown
    )
    assert frame, shown[-2000:]
    # Lines do not tear the bars apart.
    assert re.search(r"[\r\n]said 1 1 *\r?\n", shown)
    assert re.search(r"fold\d +\S+ +\d/2 .*validation_dice 0", shown)
    assert re.search(r"compare .* 4/6", shown)
    assert re.search(r"compare .* 3/6 +\d+ s", shown)


@pytest.fixture
def mode():
    yield set_mode
    set_mode("auto")


def test_lines_in_a_log(mode, capsys, monkeypatch):
    monkeypatch.setattr(module, "_LINE_EVERY_S", 0.0)
    mode("lines")
    with progress("compare", 3, done=1) as update:
        with progress("fold1", 2) as epochs:
            epochs(loss=0.25)
            epochs(loss=0.125)
        say("fold 1 is done")
        update()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fold1: 1/2, 0 s left  loss 0.25"
    assert lines[1:3] == ["fold1: 2/2  loss 0.125", "fold 1 is done"]
    assert lines[3].startswith("compare: 2/3, 0 s left")


def test_the_time_left_counts_only_what_was_done_now(mode, monkeypatch):
    mode("lines")
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress("compare", 10, done=6) as update, progress("fold", 4) as inner:
        now[0] = 5.0
        inner(2)
        # Half a training in 5 s; three and a half are left.
        assert module._stack[0].left == "35 s"
        inner(2)
        update()
        assert module._stack[0].left == "15 s"


@pytest.mark.parametrize("chosen", ["quiet", "auto"])
def test_nothing_when_quiet_or_without_a_terminal(mode, capsys, chosen):
    mode(chosen)
    with progress("compare", 2) as update:
        update(loss=1.0)
        say("words")
    assert capsys.readouterr().err == ""


def test_work_that_fails_leaves_no_bar(mode):
    mode("lines")
    with pytest.raises(ZeroDivisionError), progress("compare", 2) as update:
        update()
        1 / 0  # noqa: B018
    assert module._stack == []


def test_durations_in_words():
    assert [duration(s) for s in (99.4, 3599, 3600, 90000)] == [
        "99 s",
        "1 h 0 min",
        "1 h 0 min",
        "25 h",
    ]
