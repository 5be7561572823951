"""What tests of several recipes look at."""

import pytest


@pytest.fixture
def record_totals(monkeypatch):
    """Make a recipe note each loss that it goes down, in the order of its steps."""

    def record(made):
        totals = []
        descend_over = made.descend_over

        def noting(optimizer, parts, losses_of):
            def noted(part):
                total, named = losses_of(part)
                totals.append(float(total.detach()))
                return total, named

            return descend_over(optimizer, parts, noted)

        monkeypatch.setattr(made, "descend_over", noting)
        return totals

    return record
