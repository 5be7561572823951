"""Panel and logic of the AnomalyScan module.

=============  ==================================================================================
ParameterNode  what the panel shows and the scene saves
Weights        which files a scan works with, and whether they are there
Logic          scans without a panel
Scanning       one radiograph from its node to the maps, in a process beside Slicer
Result         what a scan says, as a value and as text that a scene keeps
Outputs        the nodes that come out, and how they belong together
Overlay        the heatmap in front of the radiograph
Widget         the panel: its life, its parameter node, what can be done now
ScanPanel      Scan, Cancel, the score, the regions
RegionTable    the table of regions
ScorePlot      the score among those of normal radiographs
BatchPanel     a folder in, tables and a page out
LatentPanel    a slider for each axis of a generator, and the image there
=============  ==================================================================================
"""
