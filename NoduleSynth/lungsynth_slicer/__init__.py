"""Slicer's nodes on one side, the library's values on the other: shared by the modules.

Nothing here loads torch: networks run in a worker process (``worker``), which gives back one box
of voxels for each nodule (``changes``); the panel's side puts them into the nodes.

=============  ==================================================================================
volumes        volume nodes as ``Volume``, sharing memory; clones
seeds          a fiducial list whose points each carry a spec
segments       one segment for each nodule, coded as such, and which places are taken
layers         the label map that the segments share
table          asked and measured, one row for each nodule
sharing        the voxels of a volume node as a file that the worker maps into memory
steps          long work in steps, between which Qt handles its events
worker         the client of ``lungsynth worker``
changes        what the worker found, as values
history        what can be undone and redone
records        what a saved scene keeps of an insertion for undoing it
dependencies   packages that are asked for on first use
=============  ==================================================================================

Errors that a user can mend are ``LungSynthError``, or one line handed to an ``onError``.
"""
