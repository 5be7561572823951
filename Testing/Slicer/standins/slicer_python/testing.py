"""Stand-in of slicer.testing."""

from __future__ import annotations

import unittest


def runUnitTest(path, testname):
    """Run one test module found in a list of folders."""
    suite = unittest.TestLoader().discover(path[0], pattern=f"{testname}.py")
    return unittest.TextTestRunner().run(suite).wasSuccessful()
