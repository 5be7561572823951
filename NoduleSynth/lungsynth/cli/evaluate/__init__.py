"""``lungsynth evaluate``: measuring what the synthesizers make.

One file holds a group of studies; each study has one line here.
"""

from __future__ import annotations

import typer

from lungsynth.cli.evaluate import inserted

app = typer.Typer(
    help="Measure size, attenuation and realism of what is inserted.", invoke_without_command=True
)
app.command("control")(inserted.control)
app.command("realism")(inserted.realism)


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
