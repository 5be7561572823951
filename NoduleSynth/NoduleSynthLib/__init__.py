"""Panel and logic of the NoduleSynth module.

=============  ==================================================================================
ParameterNode  what the panel shows and the scene saves
Logic          insert, undo, redo, propose; without a panel
Insertion      an insertion from its start to its end, or back
UndoRedo       taking nodules out and putting them back
SeedChecks     which seeds cannot work, what place is taken
Session        the worker, with a volume opened and a synthesizer loaded
Outputs        the nodes that come out, and how they belong together
Console        the same in a few lines of Python
Widget         the panel: its life, its parameter node, what can be done now
Choices        what follows from the choice of a CT or an output
Readiness      what can be done now, and why not
Packages       what Python packages a synthesizer needs
SeedsPanel     placing, proposing, editing and removing seeds
SeedTable      the table of seeds
InsertPanel    Insert, Cancel, Undo, Redo, before and after
Spheres        the asked size around each seed
PreviewPanel   when the live preview is shown
LivePreview    one nodule in the slice views before it is inserted
FineTune       training on the user's data
=============  ==================================================================================
"""
