"""Text in pictures without a drawing library: a font of 5 x 7 dots."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 6, 9
"""Cell of a character in dots, its gaps included."""

# Each glyph: seven rows from the top, two hexadecimal digits each, 10 the leftmost dot and 01
# the rightmost. An eighth and ninth row take the tails of g, j, p, q, y and the comma.
_GLYPHS = {
    " ": "00000000000000", "!": "04040404040004", '"': "0a0a0000000000", "#": "0a0a1f0a1f0a0a",
    "%": "18190204081303", "'": "04040000000000", "(": "02040808080402", ")": "08040202020408",
    "*": "00150e1f0e1500", "+": "0004041f040400", ",": "0000000000000c0408", "-": "0000001f000000",
    ".": "00000000000c0c", "/": "01010204081010", "0": "0e11131519110e", "1": "040c040404040e",
    "2": "0e11010204081f", "3": "1f02040201110e", "4": "02060a121f0202", "5": "1f101e0101110e",
    "6": "0608101e11110e", "7": "1f010204080808", "8": "0e11110e11110e", "9": "0e11110f01020c",
    ":": "000c0c000c0c00", ";": "000c0c00000c0c0408", "<": "02040810080402", "=": "00001f001f0000",
    ">": "08040201020408", "?": "0e110102040004", "@": "0e11171517100e", "A": "0e11111f111111",
    "B": "1e11111e11111e", "C": "0e11101010110e", "D": "1c12111111121c", "E": "1f10101e10101f",
    "F": "1f10101e101010", "G": "0e11101711110f", "H": "1111111f111111", "I": "0e04040404040e",
    "J": "0702020202120c", "K": "11121418141211", "L": "1010101010101f", "M": "111b1515111111",
    "N": "11191513111111", "O": "0e11111111110e", "P": "1e11111e101010", "Q": "0e11111115120d",
    "R": "1e11111e141211", "S": "0f10100e01011e", "T": "1f040404040404", "U": "1111111111110e",
    "V": "11111111110a04", "W": "11111115151b11", "X": "11110a040a1111", "Y": "11110a04040404",
    "Z": "1f01020408101f", "[": "0e08080808080e", "]": "0e02020202020e", "_": "0000000000001f",
    "a": "00000e010f110f", "b": "10101e1111111e", "c": "00000e1110110e", "d": "01010f1111110f",
    "e": "00000e111f100e", "f": "0609081c080808", "g": "00000f11110f01110e",
    "h": "10101e11111111", "i": "04000c0404040e", "j": "0200060202020212" "0c",
    "k": "10101214181412", "l": "0c04040404040e", "m": "00001a15151515", "n": "00001e11111111",
    "o": "00000e1111110e", "p": "00001e11111e101010", "q": "00000f11110f010101",
    "r": "00001619101010", "s": "00000f100e011e", "t": "08081c08080906", "u": "0000111111130d",
    "v": "000011110a0a04", "w": "0000111515150a", "x": "0000110a040a11", "y": "00001111110f01110e",
    "z": "00001f0204081f", "|": "04040404040404",
}  # fmt: skip


def _glyph(character: str) -> NDArray[np.bool_]:
    rows = bytes.fromhex(_GLYPHS.get(character, _GLYPHS["?"])).ljust(HEIGHT, b"\0")
    bits = np.unpackbits(np.frombuffer(rows, np.uint8)[:, None], axis=1)[:, 3:]
    return np.pad(bits.astype(np.bool_), ((0, 0), (0, WIDTH - 5)))


def text_dots(text: str, scale: int = 1) -> NDArray[np.bool_]:
    """Return text as dots, shape (9 * scale, 6 * scale * characters).

    Accents are dropped; a character that the font lacks becomes a question mark.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    if not plain:
        return np.zeros((HEIGHT * scale, 0), np.bool_)
    dots = np.concatenate([_glyph(c) for c in plain], axis=1)
    return dots.repeat(scale, axis=0).repeat(scale, axis=1)


def draw_text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    *,
    color: tuple[int, int, int] = (255, 255, 255),
    scale: int = 2,
) -> None:
    """Write text into a picture (rows, columns, 3), from its upper left corner; cut at the edge.

    A dark rim keeps it readable on bright ground.
    """
    dots = np.pad(text_dots(text, scale), 1)
    rim = dots.copy()
    for axis in (0, 1):
        rim |= np.roll(rim, 1, axis) | np.roll(rim, -1, axis)
    part = picture[at[0] :, at[1] :][: dots.shape[0], : dots.shape[1]]
    part[rim[: part.shape[0], : part.shape[1]]] = 0
    part[dots[: part.shape[0], : part.shape[1]]] = color
