"""``lungsynth train retinanet|faster-rcnn`` on radiographs whose nodules are boxed."""

import numpy as np
import pytest

from lungsynth.detectors.nodules import load_nodule_detector

pytest.importorskip("lightning_fabric", reason="needs the extra [train]")


@pytest.fixture
def boxed_folder(tmp_path):
    """Two radiographs with a boxed mass (boxes in the 1,024 pixels of ChestX-ray14), one normal."""
    import SimpleITK as sitk

    rng = np.random.default_rng(2)
    folder = tmp_path / "boxed"
    folder.mkdir()
    lines = ["image,labels,bbox,patient,split"]
    for n, (finding, box) in enumerate(
        [("Mass", "Mass:256,512,128,96"), ("Nodule", "Nodule:600,300,80,80"), ("No Finding", "")]
    ):
        pixels = rng.integers(40, 200, (160, 160)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(folder / f"{n}.png"))
        lines.append(f"{n}.png,{finding},{box and chr(34) + box + chr(34)},P{n},train")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("kind", ["retinanet", "faster-rcnn"])
def test_a_detector_is_trained_and_trained_on(lungsynth, boxed_folder, tmp_path, kind):
    def train(name, *options):
        outcome = lungsynth(
            *("train", kind, "--data", boxed_folder, "--output", tmp_path / name),
            *("--preset", "tiny", "--steps", "2", "--device", "cpu", *options),
        )
        assert outcome.status == 0, outcome.err
        [weights] = (tmp_path / name).glob("*.safetensors")
        return weights

    first = train("first")
    second = train("second", "--init", first)
    one, other = (load_nodule_detector(path, kind, "cpu") for path in (first, second))

    assert one.config.kind == kind
    assert one.config.image_side == other.config.image_side == 128
    assert one.sha256 != other.sha256
    [found] = other.detect([np.zeros((90, 70), np.uint8) + np.arange(70, dtype=np.uint8)])
    assert (found.boxes[:, [0, 2]] <= 70).all()
    assert (found.boxes[:, [1, 3]] <= 90).all()


def test_a_folder_without_boxes_is_refused(lungsynth, boxed_folder, tmp_path):
    table = boxed_folder / "labels.csv"
    table.write_text("image,labels,patient,split\n0.png,Mass,P0,train\n")
    outcome = lungsynth(
        *("train", "retinanet", "--data", boxed_folder, "--output", tmp_path / "run"),
        *("--preset", "tiny", "--device", "cpu"),
    )

    assert outcome.status == 2
    assert "no nodule or mass of its train split has a box to learn from" in outcome.err
