"""The command line: a thin face over the library. Importing it loads no TensorFlow and no NumPy."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from medream.errors import MedreamError


class _Group(TyperGroup):
    """Commands that say what Ctrl-C left behind, which typer would only call aborted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            # What typer quotes of pydantic.
            wrong.message = wrong.message.removeprefix("Value error, ")
            raise
        except KeyboardInterrupt as stop:
            # A command that can be continued says so in the exception.
            print(
                "\n" + (str(stop) or "Stopped by Ctrl-C. No result was completed."), file=sys.stderr
            )
            sys.exit(130)


app = typer.Typer(
    name="medream",
    cls=_Group,
    help="Look inside the networks that segment medical images: train U-Nets on OCT scans, dream their "
    "layers, and draw figures for papers. Research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

from medream.cli import (  # noqa: E402, F401  (the commands register on `app`)
    adapt,
    compare,
    convert,
    data,
    datasets,
    dreams,
    evaluate,
    evidence,
    export,
    layers,
    runs,
    runs_of,
    segment,
    train,
)

__all__ = ["app", "main"]


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from medream import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; known errors become one paragraph on stderr and exit code 1."""
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    try:
        app()
    except MedreamError as error:
        _fail(str(error))
    except MemoryError:
        _fail("There is not enough memory for this. Use a smaller --image-size or --batch-size.")
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        _fail(f"The system refused a file{place}: {error.strerror or error}.")
    except Exception as error:
        # TensorFlow has errors of its own for files that it cannot write and memory it lacks.
        if not type(error).__module__.startswith("tensorflow.python.framework.errors"):
            raise
        _fail(f"TensorFlow gave up: {str(error).splitlines()[0][:300]}")


def _fail(message: str) -> NoReturn:
    print("Error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(1)
