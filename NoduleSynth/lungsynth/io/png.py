"""What SimpleITK does not keep of a PNG: its texts and the rest of its ancillary chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"sCAL", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT")
"""Chunks that say something of the picture that stays true when some pixels change."""
_BEFORE_THE_PIXELS = b"IDAT"


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of each chunk of a PNG file; ends at damage."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def ancillary(path: Path) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a PNG file that are to be carried on; none of another file."""
    data = path.read_bytes()
    if not data.startswith(SIGNATURE):
        return []
    return [(kind, content) for kind, content in chunks(data) if kind in KEPT]


def texts(path: Path) -> dict[str, str]:
    """Return the plain texts of a PNG file by their keywords."""
    found = {}
    for kind, content in chunks(path.read_bytes()):
        keyword, _, text = content.partition(b"\0")
        if kind == b"tEXt":
            found[keyword.decode("latin-1")] = text.decode("latin-1")
    return found


def add_chunks(
    path: Path, carried: Sequence[tuple[bytes, bytes]], marks: Mapping[str, str]
) -> None:
    """Put chunks and texts into a PNG file that has just been written, before its pixels.

    Args:
        path: The file.
        carried: Chunks of the input; such as the file has itself are passed over.
        marks: Texts by their keywords; they replace those of the same keyword.
    """
    own = list(chunks(path.read_bytes()))
    have = {kind for kind, _ in own}
    added = [
        (kind, content)
        for kind, content in carried
        if kind not in have and content.partition(b"\0")[0].decode("latin-1") not in marks
    ]
    added += [(b"tEXt", f"{key}\0{text}".encode("latin-1")) for key, text in marks.items()]
    first = next(n for n, (kind, _) in enumerate(own) if kind == _BEFORE_THE_PIXELS)
    with path.open("wb") as file:
        file.write(SIGNATURE)
        for kind, content in (*own[:first], *added, *own[first:]):
            checksum = zlib.crc32(kind + content)
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", checksum))
