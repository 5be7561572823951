"""The main job on real CTs, where they are at hand."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

CASES = ("LIDC-IDRI-0063", "QIN-LSC-0014", "LCTSC_Case_003")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "synthesizer", ["procedural", pytest.param("mcgan", marks=pytest.mark.weights)]
)
def test_ten_automatic_nodules_change_nothing_but_their_boxes(
    lungsynth, shared_data, tmp_path, fingerprint, case, synthesizer
):
    source = shared_data / "ct" / case / "ct.nii.gz"
    before = fingerprint(source)
    outcome = lungsynth(
        *("insert", "--input", source, "--output", tmp_path / "ct.nii.gz", "--auto", "10"),
        *("--synthesizer", synthesizer, "--mask", tmp_path / "mask.nii.gz"),
        *("--report", tmp_path / "r.json", "--preview", tmp_path / "p.png"),
    )

    assert outcome.status == 0, outcome.err
    assert fingerprint(source) == before
    old, new = sitk.ReadImage(str(source)), sitk.ReadImage(str(tmp_path / "ct.nii.gz"))
    assert (new.GetSize(), new.GetPixelID()) == (old.GetSize(), old.GetPixelID())
    for read in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(new, read)(), getattr(old, read)(), atol=1e-4)
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert len(report["insertions"]) == 10
    assert sum(insertion["within_tolerance"] for insertion in report["insertions"]) >= 9
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.nii.gz")))
    assert sorted(np.unique(labels)) == list(range(11))
    changed = sitk.GetArrayFromImage(old) != sitk.GetArrayFromImage(new)
    for insertion in report["insertions"]:
        (k0, j0, i0), (k1, j1, i1) = insertion["box_ijk"]
        changed[k0:k1, j0:j1, i0:i1] = False
    assert not changed.any()
