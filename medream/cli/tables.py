"""Tables in the terminal of which nothing is cut off, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Print a table; where its words do not fit side by side, each row as lines of its own.

    A file or a pipe gets lines as long as they have to be.
    """
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    console = Console()
    needed = Console(width=1_000_000).measure(table)
    if not console.is_terminal:
        console = Console(width=max(needed.maximum, 80))
    elif needed.minimum > console.width:
        if title is not None:
            console.print(title, style="italic", highlight=False, soft_wrap=True)
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for number, row in enumerate(rows):
            if number:
                table.add_row("", "")
            for column, text in zip(columns, row, strict=True):
                table.add_row(column, text)
    console.print(table)
