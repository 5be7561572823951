"""Stand-in of Slicer's SampleData module: keeps what is registered, downloads nothing."""

from __future__ import annotations

from types import SimpleNamespace

registered = []


class SampleDataLogic:
    """The logic of SampleData."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, **more
    ):
        """Keep the description of a sample; the names are those of Slicer."""
        known = {
            "customDownloader",
            "thumbnailFileName",
            "loadFileType",
            "loadFiles",
            "loadFileProperties",
            "checksums",
        }
        if unknown := set(more) - known:
            msg = f"registerCustomSampleDataSource has no argument {sorted(unknown)}"
            raise TypeError(msg)
        source = SimpleNamespace(
            category=category,
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            **{name: more.get(name) for name in known},
        )
        if not any(vars(source) == vars(known) for known in registered):  # as in Slicer
            registered.append(source)
