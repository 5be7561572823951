"""Which split a patient belongs to: decided by the name alone, so that it never changes."""

from __future__ import annotations

import hashlib

from lungsynth.data.nodule_cubes import SPLITS

PARTS = (0.8, 0.1, 0.1)
"""(ours) Parts of the patients for train, val and test."""


def split_of(patient: str) -> str:
    """Return "train", "val" or "test".

    The same patient gets the same split in every source and on every machine, whatever else is
    there; data added later move nobody.
    """
    digest = hashlib.sha256(patient.strip().encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return (
        SPLITS[0] if place < PARTS[0] else SPLITS[1] if place < PARTS[0] + PARTS[1] else SPLITS[2]
    )
