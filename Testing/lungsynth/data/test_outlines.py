"""Outlines of LIDC's readers: filled, smoothed, all of one diameter, each in its split."""

import tarfile

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.lidc_xml import Outline
from lungsynth.data.outlines import (
    NoduleOutlines,
    draw_shapes,
    fill_polygon,
    normalised_shape,
    smoothed,
)
from lungsynth.data.patient_split import split_of
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter


def ring(across, down, centre=(200, 310)):
    """Pixels of an ellipse with these full axes, as a reader would draw it."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    x = np.rint(centre[0] + across / 2 * np.cos(angle)).astype(int)
    y = np.rint(centre[1] + down / 2 * np.sin(angle)).astype(int)
    points = list(dict.fromkeys(zip(x.tolist(), y.tolist(), strict=True)))
    return tuple(points)


def outline(points, *, inclusion=True, z_mm=0.0):
    return Outline("1.2", z_mm, inclusion, points)


def xml_of(series, rings):
    rois = "".join(
        "<roi><imageZposition>1</imageZposition><imageSOP_UID>1.2</imageSOP_UID>"
        "<inclusion>TRUE</inclusion>"
        + "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
        + "</roi>"
        for points in rings
    )
    return (
        '<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>'
        f"{series}</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule>"
        "<noduleID>1</noduleID><characteristics><texture>5</texture></characteristics>"
        f"{rois}</unblindedReadNodule></readingSession></LidcReadMessage>"
    )


def test_a_polygon_holds_the_pixels_whose_centres_are_inside():
    """A triangle by hand: (column, row) corners (0.5, 0.5), (4.5, 0.5), (0.5, 4.5)."""
    found = fill_polygon(np.array([[0.5, 0.5], [4.5, 0.5], [0.5, 4.5]]), 6)

    expected = np.zeros((6, 6), bool)
    expected[1, 1:4] = expected[2, 1:3] = expected[3, 1:2] = True
    np.testing.assert_array_equal(found, expected)


def test_a_ring_leaves_its_hole_out():
    """Even-odd: a square of 8 joined to one of 4 inside it."""
    square = np.array([[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]]) + 0.5
    hole = np.array([[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]) + 0.5

    assert fill_polygon(np.vstack([square, hole]), 10).sum() == 64 - 16


def test_smoothing_takes_the_steps_off_and_keeps_the_place_and_the_size():
    line = np.array(ring(40, 24), float)
    smooth = smoothed(line)

    np.testing.assert_allclose(smooth.mean(axis=0), (200, 310), atol=0.2)
    np.testing.assert_allclose(np.ptp(smooth, axis=0), (40, 24), atol=1.0)
    turns = np.diff(np.unwrap(np.arctan2(*np.diff(smooth, axis=0).T)))
    assert np.abs(turns).max() < np.pi / 8  # between pixels a line turns by 45 degrees or more


def test_a_shape_has_the_diameter_and_the_proportions_of_all():
    """50 pixels of 128, the mean of the axes: 36 to 20 becomes 64.3 to 35.7, along columns."""
    shape = normalised_shape([outline(ring(36, 20))]) / 255

    assert ellipse_diameter(shape) == pytest.approx(50, rel=0.005)
    major, minor = ellipse_axes(shape)
    assert major / minor == pytest.approx(36 / 20, rel=0.05)
    columns, rows = np.ptp(np.nonzero(shape.T > 0.5), axis=1)
    assert columns > 1.5 * rows
    place = np.array(np.nonzero(shape > 0.5)).mean(axis=1)
    np.testing.assert_allclose(place, 63.5, atol=0.5)


def test_the_largest_outline_that_is_no_hole_is_taken():
    outlines = [
        outline(ring(20, 20)),
        outline(ring(60, 60), inclusion=False),
        outline(ring(40, 20)),
    ]
    major, minor = ellipse_axes(normalised_shape(outlines))

    assert major / minor == pytest.approx(2, rel=0.06)


@pytest.mark.parametrize("points", [ring(8, 8), ((5, 5),), ((5, 5), (9, 5), (12, 5), (20, 5))])
def test_what_is_too_small_is_of_no_use(points):
    assert normalised_shape([outline(points)]) is None
    assert normalised_shape([]) is None


def test_drawn_shapes_are_turned_and_mirrored_but_keep_their_size():
    shape = normalised_shape([outline(ring(36, 20))])
    outlines = NoduleOutlines(shape[None], np.array([0]))
    drawn = draw_shapes(outlines, 12, np.random.default_rng(5))

    assert drawn.shape == (12, 128, 128)
    assert [ellipse_diameter(s) for s in drawn] == pytest.approx([50] * 12, rel=0.01)
    upright = [np.ptp(np.nonzero(s > 0.5), axis=1)[0] > 50 for s in drawn]
    assert 0 < sum(upright) < 12


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_gives_the_outlines_of_a_split_and_keeps_them(tmp_path, packed):
    """The tables of cubes decide the split; a series in none of them goes by its name."""
    train = next(uid for uid in (f"1.5.{n}" for n in range(99)) if split_of(uid) == "train")
    other = next(uid for uid in (f"1.6.{n}" for n in range(99)) if split_of(uid) != "train")
    (tmp_path / "xml").mkdir()
    for name, text in (
        ("a", xml_of("1.2.3", [ring(30, 20), ring(12, 12)])),
        ("b", xml_of("1.2.4", [ring(30, 20)])),
        ("c", xml_of(train, [ring(8, 8)])),
        ("d", xml_of(other, [ring(30, 30)])),
        ("e", xml_of(train, [ring(24, 24)])),
    ):
        (tmp_path / "xml" / f"{name}.xml").write_text(text)
    if packed:
        with tarfile.open(tmp_path / "all.tar.xz", "w:xz") as archive:
            archive.add(tmp_path / "xml", "xml")
        for path in (tmp_path / "xml").iterdir():
            path.unlink()
    for split, uid in (("train", "1.2.3"), ("test", "1.2.4")):
        (tmp_path / f"{split}.csv").write_text(f"series_uid,patient\n{uid},P\n")
    cache = tmp_path / "kept" / "train.npz"
    found = NoduleOutlines.load(tmp_path, "train", cache)

    assert (len(found), found.left_out) == (2, 1)
    assert len(np.unique(found.series)) == 2
    major, minor = ellipse_axes(found.shapes[0])
    assert major / minor == pytest.approx(1.5, rel=0.06)
    again = NoduleOutlines.load(tmp_path / "gone", "train", cache)
    np.testing.assert_array_equal(again.shapes, found.shapes)
    assert again.left_out == 1
    with pytest.raises(LungSynthError, match="no cache of outlines of the test split"):
        NoduleOutlines.load(tmp_path, "test", cache)


def test_a_folder_without_outlines_is_refused(tmp_path):
    with pytest.raises(LungSynthError, match=r"no outline of 10 pixels or more in the train split"):
        NoduleOutlines.load(tmp_path, "train")
    (tmp_path / "broken.tar").write_text("no tar")
    with pytest.raises(LungSynthError, match=r"broken.tar: not a readable tar file"):
        NoduleOutlines.load(tmp_path, "train")
