"""Stand-in that Slicer's own parameterNodeWrapper imports; none of our panels has the widget."""

import qt


class qMRMLSubjectHierarchyTreeView(qt.QTreeView):
    """Holds no items."""

    isStandIn = True
