"""Checking training data as a command: what it prints, and with which status it ends."""

import pytest


def test_a_folder_is_summed_up_in_text(lungsynth, cubes_folder):
    outcome = lungsynth("data", "check", "--data", cubes_folder)

    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "nodule cubes: 9 of 9 nodules can be used"
    assert "3 solid (33 %), 3 part-solid (33 %), 3 ground-glass (33 %)" in outcome.out


def test_the_same_goes_out_as_json_with_the_lines_to_show(lungsynth, cubes_folder):
    outcome = lungsynth("data", "check", "--data", cubes_folder, "--progress", "json")

    assert outcome.status == 0, outcome.err
    done = outcome.events[-1]
    assert (done["event"], done["format"], done["nodules"], done["usable"]) == (
        *("done", "nodule cubes", 9, 9),
    )
    assert done["patients"] == 5
    assert done["attenuation"] == {"solid": 3, "part-solid": 3, "ground-glass": 3}
    assert done["summary"][0] == "nodule cubes: 9 of 9 nodules can be used"
    assert done["diameter_mm"][0] < done["diameter_mm"][1] < done["diameter_mm"][2]


@pytest.mark.parametrize("mode", ["auto", "json"])
def test_data_that_cannot_be_used_are_one_line_and_status_2(lungsynth, awkward_path, mode):
    outcome = lungsynth("data", "check", "--data", awkward_path, "--progress", mode)

    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "nodule cubes (train.npz and train.csv), LUNA16, LIDC-IDRI with XML" in outcome.err
    if mode == "json":
        assert outcome.events[-1]["event"] == "error"


def test_without_a_command_it_helps(lungsynth):
    outcome = lungsynth("data")

    assert outcome.status == 0
    assert "check" in outcome.out
