"""The losses of a run: cut back at a resume, and drawn."""

from lungsynth.training.losses_log import LossesLog, draw_curves, read_losses


def test_steps_come_back_in_order(tmp_path):
    log = LossesLog(tmp_path / "losses.jsonl", 0)
    log.append(1, {"l1": 0.5, "critic": -1.0})
    log.append(2, {"l1": 0.25, "critic": 2.0})

    assert read_losses(tmp_path / "losses.jsonl") == [
        {"step": 1, "l1": 0.5, "critic": -1.0},
        {"step": 2, "l1": 0.25, "critic": 2.0},
    ]


def test_steps_that_will_be_done_again_are_taken_out(tmp_path):
    path = tmp_path / "losses.jsonl"
    log = LossesLog(path, 0)
    for step in range(1, 6):
        log.append(step, {"l1": step / 10})
    with path.open("a", encoding="utf-8") as lines:
        lines.write('{"step": 6, "l')  # killed while writing
    LossesLog(path, 3).append(4, {"l1": 9.0})

    assert [(row["step"], row["l1"]) for row in read_losses(path)] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
        (4, 9.0),
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["losses.jsonl"]


def test_a_new_run_begins_with_nothing(tmp_path):
    path = tmp_path / "losses.jsonl"
    LossesLog(path, 0).append(1, {"l1": 1.0})
    LossesLog(path, 0)

    assert read_losses(path) == []
    assert read_losses(tmp_path / "none.jsonl") == []


def test_curves_are_a_png(tmp_path):
    path, picture = tmp_path / "losses.jsonl", tmp_path / "losses.png"
    draw_curves(path, picture)
    assert not picture.exists()
    log = LossesLog(path, 0)
    for step in range(1, 4):
        log.append(step, dict.fromkeys("abcd", step * 0.1))
    draw_curves(path, picture)

    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert abs(width - 3 * 4.2 * 110) < 3  # four curves: three and one
    assert abs(height - 2 * 2.6 * 110) < 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["losses.jsonl", "losses.png"]
