"""Slicer's nodes on one side, the library's values on the other: shared by the modules.

Nothing here loads torch: networks run in a worker process (``worker``), which gives back one box
of voxels for each nodule (``changes``); the panel's side puts them into the nodes.

=============  ==================================================================================
volumes        volume nodes as ``Volume``, sharing memory; clones
seeds          a fiducial list whose points each carry a spec
segments       masks as segments, each nodule coded as such, and which places are taken
layers         the label map that the segments share
table          asked and measured, one row for each nodule
sharing        the voxels of a volume node as a file that the worker maps into memory
steps          long work in steps, between which Qt handles its events
worker         the client of ``lungsynth worker``
changes        what the worker found, as values
nodes          the mark of what is synthetic, and removing nodes
views          what the slice views show
process        a Python program in a process of its own, heard line by line
sessionfolder  files between here and the worker, and those of crashed sessions
checks         whether a volume can be worked on
nrrd           volumes as .nrrd files, written and read in steps
panels         what the panels have in common
parameterpanel what the widgets of modules do alike
plots          plots within a panel
history        what can be undone and redone
records        what a saved scene keeps of an insertion for undoing it
dependencies   packages that are asked for on first use
=============  ==================================================================================

Errors that a user can mend are ``LungSynthError``, or one line handed to an ``onError``.
"""
