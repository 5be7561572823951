"""Synthetic lung nodules in chest images: insert, train, measure.

Importing the package is cheap: torch is imported only by what needs it.
"""

__version__ = "0.1.0"
