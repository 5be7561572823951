"""Progress as another program reads it."""

import json

from lungsynth.cli.progress import ProgressMode, Reporter, print_error


def test_json_progress_is_one_object_a_line_on_stdout(capsys):
    with Reporter(ProgressMode.JSON) as reporter:
        step = reporter.stage("inserting")
        step(2, 3)
        reporter.info("running on the CPU")
        reporter.done("for people", output="out.nrrd")

    captured = capsys.readouterr()
    assert captured.err == ""
    assert [json.loads(line) for line in captured.out.splitlines()] == [
        {"event": "progress", "stage": "inserting", "done": 0, "total": 1},
        {"event": "progress", "stage": "inserting", "done": 2, "total": 3},
        {"event": "info", "message": "running on the CPU"},
        {"event": "done", "output": "out.nrrd"},
    ]


def test_without_a_terminal_there_is_no_bar(capsys):
    with Reporter(ProgressMode.AUTO) as reporter:
        reporter.stage("inserting")(1, 3)
        reporter.info("running on the CPU")
        reporter.done("written")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("written\n", "running on the CPU\n")


def test_a_bar_is_drawn_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Reporter(ProgressMode.AUTO) as reporter:
        reporter.stage("reading")(0, 1)
        reporter.stage("inserting")(1, 3)
        reporter.done("written")

    captured = capsys.readouterr()
    assert captured.out == "written\n"
    assert "inserting" in captured.err
    assert "1/3" in captured.err


def test_none_is_silent_but_for_the_result(capsys):
    with Reporter(ProgressMode.NONE) as reporter:
        reporter.stage("inserting")(1, 3)
        reporter.info("running on the CPU")
        reporter.done("written")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("written\n", "")


def test_an_error_is_one_line_whatever_it_holds(capsys):
    print_error("first\n  second", as_json=True)

    captured = capsys.readouterr()
    assert captured.err == "lungsynth: first second\n"
    assert json.loads(captured.out) == {"event": "error", "message": "first second"}
