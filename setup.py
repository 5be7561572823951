"""Lists the packages; all else is in pyproject.toml.

pyproject.toml can either find packages or name them, not find the library's and add one more:
the weights, which lie beside the library in the source tree.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages("NoduleSynth", include=["lungsynth*"]), "lungsynth.weights"])
