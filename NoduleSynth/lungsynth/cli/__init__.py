"""The ``lungsynth`` command: thin, one file for each command."""
