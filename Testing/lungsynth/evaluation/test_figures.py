"""Tables as the studies print them."""

import numpy as np

from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.statistics import Estimate
from lungsynth.evaluation.yang2019 import SYNTHESIZED_PER_MALIGNANT, TABLE_2


def test_columns_are_even_and_the_first_is_to_the_left():
    table = Table("What", ("name", "AUC"), [("a", "0.5"), ("longer", "0.75")])

    assert table.text() == "What\nname     AUC\na        0.5\nlonger  0.75"
    assert table.to_json()["rows"] == [["a", "0.5"], ["longer", "0.75"]]


def test_figures_show_what_is_known_of_them():
    nan = float("nan")
    assert figured(Estimate(0.8481, 0.81, 0.9)) == "0.848 [0.810, 0.900]"
    assert figured(Estimate(0.8481, nan, nan), 2) == "0.85"
    assert figured(Estimate(nan, nan, nan)) == "-"


def test_the_papers_means_are_those_of_its_rows():
    """So that a digit mistyped here would show; the paper cuts off where we round."""
    for rows in TABLE_2.values():
        networks = [row for name, row in rows.items() if name != "Mean"]
        assert len(networks) == 4
        for column in ("accuracy", "sensitivity", "specificity", "auc"):
            mean = np.mean([getattr(row, column) for row in networks])
            assert abs(mean - getattr(rows["Mean"], column)) < 2e-4, column
    assert 1.98 < SYNTHESIZED_PER_MALIGNANT < 2
