"""The whole detector on a generator whose normals are known: what is planted is found."""

import json
from pathlib import Path

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors import DETECTORS, bundle
from lungsynth.detectors.anogan import AnoGAN
from lungsynth.detectors.baselines import MeanImage, PrincipalComponents
from lungsynth.detectors.bundle import load_scanner, save_scanner
from lungsynth.detectors.inversion import InversionConfig
from lungsynth.detectors.scanner import Scanner, fit_scanner
from lungsynth.nn.weights import load_weights, save_weights

CONFIG = InversionConfig(steps=60, restarts=1, learning_rate=0.1)


@pytest.fixture(name="scanner")
def anogan_scanner(generator) -> Scanner:
    detector = AnoGAN(generator, config=CONFIG, batch_size=64)
    return fit_scanner(
        detector, generator.normals(40, 1), generator.normals(40, 2), generator.scale
    )


def planted(images: np.ndarray, value: float) -> np.ndarray:
    """A disc of radius 3 around row 17, column 9, in the left lung."""
    rows, columns = np.mgrid[:32, :32]
    disc = (rows - 17) ** 2 + (columns - 9) ** 2 <= 9
    return np.clip(images + value * disc, -1, 1).astype(np.float32)


def test_a_planted_disc_is_found_where_it_is_and_said_to_be_denser(scanner, generator):
    normals = generator.normals(8, 3)

    for scan in scanner.scan(planted(normals, 0.6)):
        first = scan.regions[0]
        assert scan.abnormal
        assert scan.p_value < 0.01
        assert first.denser
        assert abs(first.peak_at[0] - 17) <= 3
        assert abs(first.peak_at[1] - 9) <= 3
        assert scan.labels[17, 9] == 1
        assert scan.deviation[17, 9] > scan.region_threshold


def test_what_is_missing_is_said_to_be_less_dense(scanner, generator):
    holes = generator.normals(3, 5)
    holes[:, 20:25, 14:19] -= 0.8

    for scan in scanner.scan(np.maximum(holes, -1)):
        at = [r for r in scan.regions if abs(r.peak_at[0] - 22) <= 3 and not r.denser]
        assert at
        assert abs(at[0].peak_at[1] - 16) <= 3


def test_normals_are_kept_at_the_rate_that_was_asked(generator):
    normals = generator.normals(80, 1)
    detector = PrincipalComponents.fit(normals)
    scanner = fit_scanner(detector, normals, generator.normals(200, 2), generator.scale)
    scans = scanner.scan(generator.normals(600, 7), 0.05)

    assert np.mean([s.abnormal for s in scans]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([bool(s.regions) for s in scans]) == pytest.approx(0.05, abs=0.03)
    assert [s.abnormal for s in scans] == [s.p_value < 0.05 for s in scans]
    assert np.mean([s.of_known_kind for s in scans]) > 0.97


def test_the_parts_of_a_scan_fit_each_other(scanner, generator):
    scan = scanner.scan(planted(generator.normals(1, 3), 0.5))[0]

    raw = scan.image - scan.normal
    chest = scanner.chest
    inside = raw[chest]
    np.testing.assert_allclose(scan.difference[chest], inside - inside.mean(), atol=1e-5)
    assert (scan.difference[~chest] == 0).all()
    assert (scan.deviation[~chest] == 0).all()
    count = round(0.1 * chest.sum())
    assert scan.score == pytest.approx(
        float(np.sort(np.abs(scan.deviation[chest]))[-count:].mean()), rel=1e-5
    )
    assert len(scan.regions) == scan.labels.max()


def test_another_kind_of_image_is_said_to_be_one(scanner, generator):
    turned = np.rot90(generator.normals(3, 3), axes=(1, 2)).copy()

    assert not any(scan.of_known_kind for scan in scanner.scan(turned))


def test_another_size_is_refused(scanner):
    with pytest.raises(LungSynthError, match="32 pixels a side"):
        scanner.scan(np.zeros((1, 64, 64), np.float32))


def same(first: Scanner, second: Scanner, images: np.ndarray) -> None:
    for one, two in zip(first.scan(images), second.scan(images), strict=True):
        assert one.score == pytest.approx(two.score, rel=0.01)
        assert one.p_value == pytest.approx(two.p_value, rel=0.1, abs=1e-6)
        assert one.kind_p_value == pytest.approx(two.kind_p_value, rel=0.1, abs=1e-6)
        assert one.threshold == two.threshold
        np.testing.assert_allclose(one.deviation, two.deviation, atol=0.05)


@pytest.mark.parametrize("kind", [MeanImage, PrincipalComponents])
def test_a_scanner_without_networks_is_one_file(kind, generator, tmp_path):
    normals = generator.normals(40, 1)
    scanner = fit_scanner(
        kind.fit(normals), normals, generator.normals(20, 2), RadiographScale(low=1.0)
    )
    path = tmp_path / "scan.safetensors"
    save_scanner(path, scanner, {"data": "blobs"})

    found, stored = load_scanner(path, device="cpu")

    same(found, scanner, planted(generator.normals(3, 3), 0.5))
    assert found.scale == RadiographScale(low=1.0)
    assert stored.config["about"] == {"data": "blobs"}
    assert found.detector.name in DETECTORS


@pytest.fixture(name="saved")
def saved_scanner(scanner, generator, tmp_path, monkeypatch) -> Path:
    path = tmp_path / "scan.safetensors"
    save_scanner(path, scanner, {})
    monkeypatch.setattr(bundle, "load_generator", lambda *_: generator)
    return path


def test_a_scanner_on_a_generator_searches_as_it_was_calibrated(saved, scanner, generator):
    found, _ = load_scanner(saved, generator=Path("any"), device="cpu")

    assert isinstance(found.detector, AnoGAN)
    assert found.detector.config == CONFIG
    same(found, scanner, generator.normals(3, 3))


def test_foreign_weights_are_refused(saved, generator, monkeypatch):
    monkeypatch.setattr(type(generator), "weights_sha256", "beef" * 16)

    with pytest.raises(LungSynthError, match=r"generator f00df00df00d, not with beefbeefbeef"):
        load_scanner(saved, generator=Path("any"), device="cpu")


def test_weights_of_another_preprocessing_are_refused(saved, generator, monkeypatch):
    monkeypatch.setattr(type(generator), "scale", RadiographScale("fixed", 0, 255))

    with pytest.raises(LungSynthError, match=r"trained on 32 and RadiographScale\(kind='fixed'"):
        load_scanner(saved, generator=Path("any"), device="cpu")


def test_an_encoder_that_a_calibration_was_made_with_is_asked_for(saved, tmp_path):
    stored = load_weights(saved, "anomaly-scan")
    config = json.loads(json.dumps(stored.config)) | {"encoder_sha256": "ab" * 32}
    path = tmp_path / "with-encoder.safetensors"
    save_weights(path, "anomaly-scan", config, stored.tensors)

    with pytest.raises(LungSynthError, match="name its weights with --encoder"):
        load_scanner(path, generator=Path("any"), device="cpu")


def test_a_calibration_that_is_none_is_refused(tmp_path):
    path = tmp_path / "scan.safetensors"
    path.write_bytes(b"\x80\x04pickle")

    with pytest.raises(LungSynthError, match="not a readable safetensors file"):
        load_scanner(path, device="cpu")
