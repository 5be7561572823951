"""Reads and writes files as Slicer's IO manager does, through the real logics and storage nodes."""

from __future__ import annotations

from pathlib import Path

import slicer

KINDS = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
    ".fcsv": "MarkupsFile",
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".txt": "TextFile",
    ".json": "TextFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
}
NODES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
    "ModelFile": "vtkMRMLModelNode",
    "TableFile": "vtkMRMLTableNode",
    "TextFile": "vtkMRMLTextNode",
    "TransformFile": "vtkMRMLTransformNode",
}


class IOManager:
    """Stand-in of qSlicerCoreIOManager, for the kinds of file in ``KINDS``."""

    def fileType(self, path):
        """Return the kind of a file, by its ending."""
        name = Path(path).name.lower()
        matching = [ending for ending in KINDS if name.endswith(ending)]
        return KINDS[max(matching, key=len)] if matching else "NoFile"

    def fileWriterFileType(self, node):
        """Return the kind of file a node is written to."""
        for kind, class_name in NODES.items():
            if node.IsA(class_name):
                return kind
        return "VolumeFile"

    def loadNodes(self, kind, properties, loaded, _messages):
        """Load a file into the scene; True when it worked."""
        path = properties["fileName"]
        name = properties.get("name") or Path(path).name.split(".")[0]
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.ReadFromMRB(path, properties.get("clear", False)))
        if kind == "VolumeFile":
            logic = slicer.app.moduleLogic("Volumes")
            node = logic.AddArchetypeVolume(path, name, int(properties.get("labelmap", False)))
        elif kind in NODES:
            node = self._load_into_node(NODES[kind], path, name)
        else:
            return False
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def _load_into_node(self, class_name, path, name):
        node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        slicer.mrmlScene.AddNode(storage)
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if storage.ReadData(node):
            return node
        slicer.mrmlScene.RemoveNode(storage)
        slicer.mrmlScene.RemoveNode(node)
        return None

    def saveNodes(self, kind, properties, _messages):
        """Write a node, or the scene; True when it worked."""
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.WriteToMRB(path, None))
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            slicer.mrmlScene.AddNode(storage)
            node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))
