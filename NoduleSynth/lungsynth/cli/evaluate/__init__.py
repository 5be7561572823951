"""``lungsynth evaluate``: measuring what the synthesizers make.

One file holds a group of studies; each study has one line here.
"""

from __future__ import annotations

import typer

from lungsynth.cli.evaluate import anomalies, classes, inserted, nodules, radiographs

app = typer.Typer(
    help="Measure what synthesizers make: size, attenuation, realism, classes, use.",
    invoke_without_command=True,
)
app.command("control")(inserted.control)
app.command("realism")(inserted.realism)
app.command("image-quality")(nodules.image_quality)
app.command("diversity")(nodules.diversity)
app.command("tsne")(nodules.tsne)
app.command("malignancy")(classes.malignancy)
app.command("class-control")(classes.class_control)
app.command("cxr-detection")(radiographs.cxr_detection)
app.command("cxr-image-quality")(radiographs.cxr_image_quality)
app.command("cxr-judge")(radiographs.cxr_judge)
app.command("anomaly")(anomalies.anomaly)
app.command("latent-axes")(anomalies.latent_axes)
app.command("fidelity")(anomalies.fidelity)
app.command("fast-start")(anomalies.fast_start)


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no study is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
