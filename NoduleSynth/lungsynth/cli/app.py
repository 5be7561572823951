"""The command line as a whole: what the commands are, and what leaves with which status.

Exit status: 0 done; 2 the user can mend it (one line on stderr); 1 a defect; 130 and 143 ended
by Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from lungsynth import __version__
from lungsynth.cli import data, demo, evaluate, generate, insert, mine, models, scan, train, worker
from lungsynth.cli.interrupt import Interrupted, interruptible
from lungsynth.cli.progress import print_error
from lungsynth.core.errors import LungSynthError

# click's exceptions, by way of typer, which has its own copy of click in newer versions
_UsageError = typer.BadParameter.__bases__[0]
_ClickException = _UsageError.__bases__[0]

app = typer.Typer(
    name="lungsynth",
    help="Put synthetic lung nodules into chest CTs and radiographs, draw radiographs, and find "
    "what does not fit in them. For research only, not for diagnosis.",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("generate")(generate.generate)
app.command("insert")(insert.insert)
app.command("scan")(scan.scan)
app.command("mine")(mine.mine)
app.command("train")(train.train)
app.command("worker", hidden=True)(worker.worker)
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="LUNGSYNTH_DEBUG", help="Show the traceback of a defect."),
    ] = False,
) -> None:
    """Handle what stands before the command; without a command show the help."""
    if debug:
        os.environ["LUNGSYNTH_DEBUG"] = "1"
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name.

    Returns:
        The exit status.
    """
    try:
        with interruptible(as_json=_wants_json(arguments)):
            command = typer.main.get_command(app)
            status = command.main([*arguments], prog_name="lungsynth", standalone_mode=False)
            return status if isinstance(status, int) else 0
    except (Interrupted, Exception) as error:  # noqa: BLE001 - the last place to name a defect
        if isinstance(error, BrokenPipeError):
            # who read stdout has gone; a second error while Python flushes it would say no more
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
            return 1
        status, message = _verdict(error)
        if isinstance(error, _UsageError) and (hint := insert.meant_by_spaces(arguments)):
            message = hint
        print_error(message, as_json=_wants_json(arguments))
        return status


def _verdict(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the one line that an error deserves."""
    if isinstance(error, Interrupted):
        return error.exit_status, error.message
    if isinstance(error, LungSynthError):
        return 2, str(error)
    if isinstance(error, _ClickException):
        return 2, _usage(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own
        return 2, f"out of memory ({error}); free some, or try --device cpu"
    if os.environ.get("LUNGSYNTH_DEBUG"):
        traceback.print_exception(error)
    said = f"{type(error).__name__}: {error}"
    return 1, f"a defect in lungsynth, please report it: {said} (LUNGSYNTH_DEBUG=1 shows where)"


def _wants_json(arguments: Sequence[str]) -> bool:
    """Tell from the bare arguments, since an error may come before they are understood."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)  # there may be no arguments
    return any(a == "--progress=json" or (a, b) == ("--progress", "json") for a, b in pairs)


def _usage(error: BaseException) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace("Value error, ", "")  # pydantic's, by way of typer
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "lungsynth"
    return f"{message.rstrip('.')} (see {command} --help)"
