"""Insert, undo, redo, propose: what the panel's buttons do, for scripts too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth_slicer.seeds import SeedList, Spec
from NoduleSynthLib.Console import ConsoleMixin
from NoduleSynthLib.Insertion import Inserting
from NoduleSynthLib.Outputs import Case, makeSeedList
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode
from NoduleSynthLib.SeedChecks import drawLatentSeed, earlierIn, notesOf, problemsOf
from NoduleSynthLib.Session import Session


class NoduleSynthLogic(ConsoleMixin, Inserting, ScriptedLoadableModuleLogic):
    """Works on the nodes of a ``Case``: the panel's parameter node, or a script's own.

    Args:
        session: The worker; tests hand in their own.
    """

    def __init__(self, session: Session | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        Inserting.__init__(self, session or Session())

    def getParameterNode(self) -> NoduleSynthParameterNode:
        """Return the scene's settings of this module."""
        return NoduleSynthParameterNode(super().getParameterNode())

    def cleanup(self) -> None:
        """Stop what runs and end the worker."""
        self.cancel()
        self.session.close()
        self._histories.clear()

    def problems(self, p: Case) -> dict[str, str]:
        """Return, for each seed that cannot work, its point id and why; see ``problemsOf``."""
        return problemsOf(p)

    def notes(self, p: Case, problems: Mapping[str, str]) -> dict[str, str]:
        """Return, for each seed that is likely not where it is meant, why; see ``notesOf``."""
        return notesOf(p, problems)

    def earlier(self, p: Case) -> list[dict[str, Any]]:
        """Return what the volume's boxes are taken by already, as the worker wants it."""
        return earlierIn(p)

    def propose(
        self,
        p: Case,
        count: int,
        site: str,
        spec: Spec,
        *,
        randomSeed: int,
        behindHeart: bool = False,
        onDone: Callable[[list[str]], None],
        onError: Callable[[str], None],
    ) -> None:
        """Add seeds in the lungs; ``onDone`` gets the ids of their points.

        Args:
            p: With the volume; gets a list of seeds if it has none.
            count: How many.
            site: "parenchyma", "juxta-pleural" or "juxta-vascular"; a radiograph has none.
            spec: Size and kind of the nodules; each gets a latent seed of its own.
            randomSeed: What the places follow from.
            behindHeart: Whether places behind heart and diaphragm count too, in a radiograph.
            onDone: Called when they are in the list.
            onError: Called with one line.
        """
        if p.inputVolume is None:
            onError(_("no volume is chosen; choose a chest CT first"))
            return
        volume, scene = p.inputVolume, p.inputVolume.GetScene()

        def found(answer: dict[str, Any]) -> None:
            if volume.GetScene() is None:
                onError(_("the volume was removed from the scene"))
                return
            if p.inputVolume is not volume:  # whose seeds are shown now
                said = _("another volume was chosen; '{ct}' got no seeds")
                onError(said.format(ct=volume.GetName()))
                return
            if p.seeds is None:
                p.seeds = makeSeedList(scene, volume)
            seeds = SeedList(p.seeds)
            ids = [seeds.add(tuple(place["position_ras_mm"]), spec) for place in answer["seeds"]]
            for pointId in ids:
                latent = drawLatentSeed(pointId, randomSeed)
                seeds.setSpec(pointId, replace(spec, latent_seed=latent))
            onDone(ids)

        def ready() -> None:
            try:
                earlier = earlierIn(p, andNew=True)
            except LungSynthError as error:  # the volume was put under a transform, say
                onError(str(error))
                return
            self.session.request(
                "propose",
                onDone=found,
                onError=onError,
                count=count,
                random_seed=randomSeed,
                earlier=earlier,
                **_proposed(spec, site, behindHeart=behindHeart),
            )

        self.session.prepare(p, ready, onError)


def _proposed(spec: Spec, site: str, *, behindHeart: bool) -> dict[str, Any]:
    """Return what a request for places says of the nodules."""
    if isinstance(spec, CxrNoduleSpec):
        return {
            "diameter_mm": spec.diameter_mm,
            "diameter_px": spec.diameter_px,
            "contrast": spec.contrast,
            "behind": behindHeart,
        }
    return {
        "site": site,
        "diameter_mm": spec.diameter_mm,
        "attenuation": str(spec.attenuation),
    }
