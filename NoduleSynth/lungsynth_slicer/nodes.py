"""What becomes of any node that a module makes: its mark, and its end."""

from __future__ import annotations

import slicer

from lungsynth import __version__
from lungsynth.core.mark import SYNTHETIC


def markSynthetic(node: slicer.vtkMRMLNode, what: str = "nodules") -> None:
    """Say in a node that it is no patient's own: in a scene, and in all that shows descriptions.

    Slicer writes attributes into NRRD files only where the storage node is vtkMRMLNRRDStorageNode,
    and never into NIfTI; that is why the output's name says it too, and with it the file's name.

    Args:
        node: The node.
        what: What in it is synthetic.
    """
    for key, value in SYNTHETIC.items():
        node.SetAttribute(key, value)
    node.SetDescription(f"SYNTHETIC {what} (lungsynth {__version__}); not for diagnosis")


def removeWithParts(node: slicer.vtkMRMLDisplayableNode) -> None:
    """Remove a node with what only it uses."""
    scene = node.GetScene()
    if scene is None:
        return
    own = []
    if node.IsA("vtkMRMLDisplayableNode"):
        own += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        own += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for part in own:
        if part is not None and part.GetScene() is not None:
            scene.RemoveNode(part)
