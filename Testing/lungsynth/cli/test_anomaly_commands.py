"""From radiographs to a scan by commands alone: generator, encoder, calibration, studies."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

SIDE = 128


def chest(rng: np.random.Generator, *, abnormal: bool) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE * 2 - 1
    a, b = 0.05 * rng.standard_normal(2)
    lungs = np.exp(-(((rows - a) / 0.5) ** 4) - ((columns + 0.45 + b) / 0.25) ** 4)
    lungs += np.exp(-(((rows - a) / 0.5) ** 4) - ((columns - 0.45 - b) / 0.25) ** 4)
    picture = 180 - 130 * lungs + 10 * rows + rng.normal(0, 4, rows.shape)
    if abnormal:
        picture[70:95, 20:50] += 90
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", name="data")
def radiographs(tmp_path_factory) -> Path:
    """24 training, 16 validation and 16 test images; a third or a quarter shows an effusion."""
    folder = tmp_path_factory.mktemp("cxr")
    rng = np.random.default_rng(0)
    rows = []
    for split, normal, other in (("train", 24, 12), ("val", 12, 4), ("test", 10, 6)):
        for n in range(normal + other):
            name = f"{split}{n}.png"
            sitk.WriteImage(
                sitk.GetImageFromArray(chest(rng, abnormal=n >= normal)), str(folder / name)
            )
            labels = "Effusion" if n >= normal else "No Finding"
            rows.append((name, split, "PA", labels, f"{split}{n}"))
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split", "view", "labels", "patient"))
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module", name="trained")
def trained_networks(data, tmp_path_factory) -> dict[str, Path]:
    """A generator, its encoder and a classifier, each tiny, after a few steps."""
    from lungsynth.cli.app import run

    folder, weights = tmp_path_factory.mktemp("runs"), {}
    for name in ("pggan", "anogan-encoder", "cxr-classifier"):
        command = ["train", name, "--data", str(data), "--output", str(folder / name)]
        command += ["--preset", "tiny", "--progress", "none", "--device", "cpu"]
        if name == "anogan-encoder":
            command += ["--init", str(weights["pggan"])]
        assert run(command) == 0
        weights[name] = folder / name / f"{name}.safetensors"
        assert weights[name].is_file()
    return weights


@pytest.fixture(scope="module", name="calibration")
def calibration_file(data, trained, tmp_path_factory) -> Path:
    from lungsynth.cli.app import run

    path = tmp_path_factory.mktemp("study") / "scan.safetensors"
    command = [
        "evaluate", "anomaly", "--data", data, "--weights", trained["pggan"],
        "--encoder", trained["anogan-encoder"], "--steps", 3, "--calibration", path,
        "--json", path.with_suffix(".json"), "--report", path.with_suffix(".png"),
        "--device", "cpu", "--progress", "none",
    ]  # fmt: skip
    assert run([str(part) for part in command]) == 0
    return path


def test_the_study_reports_all_detectors_on_the_same_images(calibration):
    values = json.loads(calibration.with_suffix(".json").read_text())

    assert list(values["detectors"]) == ["anogan", "mahalanobis", "pca"]
    assert values["image_size"] == 16
    assert (values["test_normals"], values["test_others"]) == (10, 6)
    assert values["detectors"]["pca"]["auroc"]["value"] == 1.0
    assert values["detectors"]["anogan"]["sensitivity_at_10"]["Effusion"]["of"] == 6
    assert set(values["compared"]) == {"mahalanobis", "pca"}
    assert set(values["detectors"]["anogan"]["planted"]) == {"effusion", "pneumothorax"}
    assert calibration.with_suffix(".png").stat().st_size > 20_000


def test_a_scan_with_generator_and_encoder(lungsynth, data, trained, calibration, tmp_path):
    outcome = lungsynth(
        "scan", "--input", data / "test12.png", "--output", tmp_path / "out",
        "--weights", trained["pggan"], "--encoder", trained["anogan-encoder"],
        "--calibration", calibration, "--device", "cpu", "--progress", "json",
    )  # fmt: skip

    assert outcome.status == 0, outcome.err
    searching = [e for e in outcome.events if e.get("stage") == "searching"]
    assert [e["done"] for e in searching] == [1, 2, 3]
    values = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert values["detector"] == "anogan"
    assert len(values["reference_scores"]) == 12
    assert values["files"][0]["status"] == "scanned"


def test_a_scan_refuses_what_does_not_belong_together(
    lungsynth, data, trained, calibration, tmp_path
):
    base = ["scan", "--input", data / "test0.png", "--output", tmp_path / "out", "--device", "cpu"]
    base += ["--calibration", calibration]

    for options, said in (
        (("--weights", trained["pggan"]), "name its weights with --encoder"),
        (("--weights", trained["cxr-classifier"]), "name its weights with --encoder"),
        (
            ("--weights", trained["cxr-classifier"], "--encoder", trained["anogan-encoder"]),
            "weights of 'cxr-classifier'",
        ),
        (
            ("--weights", trained["pggan"], "--encoder", trained["cxr-classifier"]),
            "weights of 'cxr-classifier'",
        ),
    ):
        outcome = lungsynth(*base, *options)
        assert outcome.status == 2
        assert said in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_axes_of_a_generator_are_looked_for(lungsynth, trained, tmp_path):
    outcome = lungsynth(
        "evaluate", "latent-axes", "--weights", trained["pggan"],
        "--classifier", trained["cxr-classifier"], "--drawings", 100,
        "--json", tmp_path / "axes.json", "--output", tmp_path / "axes.safetensors",
        "--device", "cpu",
    )  # fmt: skip

    assert outcome.status == 0, outcome.err
    values = json.loads((tmp_path / "axes.json").read_text())
    assert set(values["counts"]) == {"normal", "Effusion"}
    assert set(values["axes"]) | set(values["not_found"]) == {"Effusion"}
    assert "Effusion" in outcome.out
    assert (tmp_path / "axes.safetensors").is_file()


def test_fidelity_of_a_generator_of_normals(lungsynth, data, trained, tmp_path):
    outcome = lungsynth(
        "evaluate", "fidelity", "--data", data, "--weights", trained["pggan"], "--normals-only",
        "--classifier-preset", "tiny", "--steps", 3, "--drawings", 20,
        "--json", tmp_path / "f.json", "--report", tmp_path / "f.png", "--device", "cpu",
    )  # fmt: skip

    assert outcome.status == 2
    assert "needs 32 training radiographs at least; got 24" in outcome.err


def test_fast_start_is_measured(lungsynth, data, trained, tmp_path):
    outcome = lungsynth(
        "evaluate", "fast-start", "--data", data, "--weights", trained["pggan"],
        "--encoder", trained["anogan-encoder"], "--images", 3, "--steps", 12, "--fast-steps", 4,
        "--json", tmp_path / "f.json", "--report", tmp_path / "f.png", "--device", "cpu",
    )  # fmt: skip

    assert outcome.status == 0, outcome.err
    values = json.loads((tmp_path / "f.json").read_text())
    assert len(values["plain"]["residual"]) == 13
    assert len(values["fast"]["residual"]) == 5
    assert values["plain_residual"] == min(values["plain"]["residual"])
    assert outcome.out.startswith("plain: residual")
    missing = lungsynth(
        "evaluate", "fast-start", "--data", data, "--weights", trained["pggan"], "--device", "cpu"
    )
    assert missing.status == 2
    assert "needs an encoder" in missing.err
