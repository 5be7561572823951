"""Taking a nodule out by what the scene holds, where two nodules share voxels of their boxes."""

from types import SimpleNamespace

import numpy as np
import pytest

from lungsynth.core.insertion import Measurement
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.insertion import paste

CORNERS = [(4, 5, 6), (7, 9, 12), (2, 12, 3)]
SIZE = (8, 9, 11)


@pytest.fixture(params=[np.int16, np.float32])
def case(scene, oblique_volume, request):
    """Return CT, output and segmentation of three overlapping nodules, and the output's stages."""
    from lungsynth_slicer import records, segments
    from lungsynth_slicer.volumes import cloneVolume, volumeFromNode, voxelsOf

    rng = np.random.default_rng(5)
    voxels = rng.integers(-950, 100, (20, 30, 40)).astype(request.param)
    if request.param is np.float32:
        voxels[9:12, 10:16, 14:20] = np.nan
    ct = oblique_volume(voxels=voxels)
    output = cloneVolume(ct, "Output")
    masks = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Masks")
    volume = volumeFromNode(ct)
    stages, attempts = [voxels.copy()], []
    for number, corner in enumerate(CORNERS, start=1):
        box = (corner, tuple(int(n) for n in np.add(corner, SIZE)))
        part = tuple(slice(low, high) for low, high in zip(*box, strict=True))
        new = voxels[part].copy()
        changed = rng.random(SIZE) < 0.6
        new[changed] += 30
        mask = np.zeros(SIZE, bool)
        mask[2:6, 3:7, 4:9] = True
        attempt = Attempt(box, new, mask, Measurement(8.0, -100.0, 270.0), {})
        seed = Seed((1.5 * number, 2.0, -3.0), NoduleSpec(8.0, latent_seed=number), f"N-{number}")
        insertion = paste(voxelsOf(output), volume, seed, attempt)
        record = records.recordOf(insertion, number, volume.voxels, voxelsOf(output))
        segments.addNodule(masks, output, insertion, number, record)
        records.setNodulesIn(output, number)
        stages.append(voxelsOf(output).copy())
        attempts.append((seed, attempt, insertion))
    return SimpleNamespace(
        ct=ct, output=output, masks=masks, stages=stages, made=attempts, volume=volume
    )


def test_overlapping_nodules_come_out_and_go_back_to_the_voxel(case):
    from lungsynth.imaging.insertion import undo
    from lungsynth_slicer import records, segments
    from lungsynth_slicer.volumes import voxelsOf

    assert (case.made[2][2].before != case.volume.voxels[case.made[2][2].slices]).any()
    for number in (3, 2, 1):
        insertion, attempt, segment_id, said = records.rebuilt(case.ct, case.output, case.masks)
        seed, _, first = case.made[number - 1]
        assert (insertion.seed, insertion.box, said) == (seed, first.box, number)
        np.testing.assert_array_equal(insertion.before, first.before)
        np.testing.assert_array_equal(insertion.mask, first.mask)
        undo(voxelsOf(case.output), insertion)
        np.testing.assert_array_equal(voxelsOf(case.output), case.stages[number - 1])
        again = paste(voxelsOf(case.output), case.volume, seed, attempt)
        np.testing.assert_array_equal(voxelsOf(case.output), case.stages[number])
        assert again.measured == pytest.approx(first.measured, nan_ok=True) or (
            again.measured.diameter_mm == first.measured.diameter_mm
        )
        undo(voxelsOf(case.output), again)
        segments.removeNodule(case.masks, segment_id)
        records.setNodulesIn(case.output, number - 1)


def test_what_is_kept_of_an_earlier_nodule_must_be_whole(case):
    from lungsynth_slicer import records

    segment = case.masks.GetSegmentation().GetNthSegment(2)
    segment.SetTag(records.KEPT_TAG, "nonsense")
    with pytest.raises(records.NotExact, match="tags of its segment were changed"):
        records.rebuilt(case.ct, case.output, case.masks)
    segment.SetTag(records.KEPT_TAG, "")
    with pytest.raises(records.NotExact, match="voxels of the CT or of the output"):
        records.rebuilt(case.ct, case.output, case.masks)


def test_ct_of_another_size_is_refused(case, oblique_volume):
    from lungsynth_slicer import records

    other = oblique_volume(shape=(20, 30, 39))
    with pytest.raises(records.NotExact, match="another size"):
        records.rebuilt(other, case.output, case.masks)
