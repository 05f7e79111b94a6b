"""Small pictures and curves as they stand in a page of its own: PNG in data addresses, and inline SVG."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_layerview.serving import cuts

_GAP = 254  # a level that no picture has: nothing is there, between tiles
# The tab's ramps, in light (src/kit/colour.js), and its colours of what is no number.
_SIZE = ("eef3f7", "cfe1ee", "9fc6e0", "5f9fca", "2f74ab", "164c80", "0a2a50")
_AROUND_0 = ("3d1053", "70318a", "ab74bb", "dcbfe3", "f3f3f3", "b9e0cb", "60b28c", "217c57", "0a4930")
_TROUBLE = {cuts.NEGATIVE_INFINITY: "8a5200", cuts.POSITIVE_INFINITY: "f29900", cuts.NAN: "d3202b"}
_A_ROW = 16  # so many tiles beside each other
_SEEN = 48  # pixels that a tile should be high on the screen
_WIDTH, _HEIGHT, _EDGE = 240, 44, 3  # of a curve, and how far it stays from the edge
_PLACES = 120  # a curve of more steps has the lowest and the highest of each group

Levels = npt.NDArray[np.uint8]


def picture(lane: Mapping[str, Any], levels: bytes) -> tuple[str, int, int]:
    """A lane of `/thumbnails` as a PNG.

    Args:
      lane: As the head describes it.
      levels: What the lanes' offsets point into.

    Returns:
      The data address, and the width and height in pixels at which to show it.
    """
    count, height, width = lane["count"], lane["height"], lane["width"]
    at = np.frombuffer(levels, np.uint8, count * height * width, lane["offset"]).reshape(count, height, width)
    if lane["layout"] == "rgb":
        shown = _in_colours(np.stack([_tiled(at[channel::3]) for channel in range(3)], axis=-1))
        data = _png(shown, b"")
    else:
        shown = _tiled(at)
        data = _png(shown, _palette(lane["diverging"]))
    scale = max(1, min(8, _SEEN // max(height, 1)))
    address = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    return address, shown.shape[1] * scale, shown.shape[0] * scale


def _tiled(at: Levels) -> Levels:
    """Tiles [tiles, rows, columns] beside and below each other, one place apart: uint8 [rows, columns]."""
    count, height, width = at.shape
    across = min(count, _A_ROW)
    down = -(-count // across)
    found = np.full((down * (height + 1) - 1, across * (width + 1) - 1), _GAP, np.uint8)
    for i, tile in enumerate(at):
        row, column = i // across * (height + 1), i % across * (width + 1)
        found[row : row + height, column : column + width] = tile
    return found


def _in_colours(levels: Levels) -> Levels:
    """Levels of red, green and blue as pixels, uint8 [rows, columns, red, green, blue and opaqueness]."""
    pixels = np.full((*levels.shape[:2], 4), 255, np.uint8)
    pixels[..., :3] = np.minimum(levels.astype(np.uint16) * 255 // cuts.TOP, 255)
    for level, colour in _TROUBLE.items():
        pixels[(levels == level).any(axis=-1), :3] = list(bytes.fromhex(colour))
    pixels[((levels == _GAP) | (levels == cuts.EMPTY)).all(axis=-1), 3] = 0
    return pixels


def _palette(diverging: bool) -> bytes:
    """The colours of all levels, and which of them are seen through, as PNG's chunks PLTE and tRNS."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in (_AROUND_0 if diverging else _SIZE)], np.float64)
    unit = np.linspace(0, len(stops) - 1, cuts.TOP + 1)
    table = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        table[: cuts.TOP + 1, channel] = np.interp(unit, np.arange(len(stops)), stops[:, channel]).round()
    for level, colour in _TROUBLE.items():
        table[level] = list(bytes.fromhex(colour))
    opaque = np.full(256, 255, np.uint8)
    opaque[[cuts.EMPTY, _GAP]] = 0
    return _chunk(b"PLTE", table.tobytes()) + _chunk(b"tRNS", opaque.tobytes())


def _png(pixels: Levels, palette: bytes) -> bytes:
    """A PNG of uint8 [rows, columns] in a palette's colours, or of [rows, columns, 4]."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, pixels[0].size + 1), np.uint8)  # each begins with how it is filtered: not at all
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 6, 0, 0, 0)
    content = _chunk(b"IHDR", head) + palette + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + content + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def curve(steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_]) -> str:
    """A statistic over the steps, as SVG; logarithmic where all of it is above 0 and it goes over a factor of 20.

    Args:
      steps: int64 [steps].
      values: float64 [steps]; what is not finite is a gap.
      bad: bool [steps]: where the tensor holds what is not finite, which is a red mark.

    Returns:
      The SVG; empty where nothing is finite.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    low, high = float(values[finite].min()), float(values[finite].max())
    is_log = low > 0 and high > 20 * low
    heights = np.log(np.where(finite, values, 1.0)) if is_log else np.where(finite, values, low)
    least, most = (np.log(low), np.log(high)) if is_log else (low, high)
    x = _EDGE + (steps - steps[0]) / max(int(steps[-1] - steps[0]), 1) * (_WIDTH - 2 * _EDGE)
    spread = most - least
    y = _HEIGHT - _EDGE - ((heights - least) / spread if spread > 0 else np.full(len(x), 0.5)) * (_HEIGHT - 2 * _EDGE)
    drawn = _drawn(y, finite)
    lines = []
    for part in np.split(drawn, np.flatnonzero(np.diff(finite[drawn].astype(int))) + 1):
        if finite[part[0]]:
            points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in part)
            lines.append(
                f'<polyline points="{points}"/>'
                if len(part) > 1
                else f'<circle cx="{x[part[0]]:.1f}" cy="{y[part[0]]:.1f}" r="1.5"/>'
            )
    marks = sorted({f"{at:.0f}" for at in x[bad]}, key=float)
    ticks = "".join(f'<line class="bad" x1="{at}" x2="{at}" y1="0" y2="{_HEIGHT}"/>' for at in marks)
    scale = ", logarithmic" if is_log else ""
    reach = brief(low) if low == high else f"{brief(low)} – {brief(high)}{scale}"
    title = f"{brief(low)} to {brief(high)}{scale}, steps {steps[0]:,} to {steps[-1]:,}"
    return (
        f'<figure class="curve"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{ticks}{''.join(lines)}</svg><figcaption>{reach}</figcaption></figure>"
    )


def _drawn(y: npt.NDArray[np.float64], finite: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Which steps are drawn: all; of many the highest and the lowest of each group, and one where there is none."""
    if len(y) <= 2 * _PLACES:
        return np.arange(len(y))
    found: set[int] = {0, len(y) - 1}
    for group in np.array_split(np.arange(len(y)), _PLACES):
        known = group[finite[group]]
        found.update([int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])] if len(known) else ())
        gap = group[~finite[group]]
        found.update([int(gap[0])] if len(gap) else ())
    return np.array(sorted(found), np.int64)


def brief(value: float) -> str:
    """A number in four digits."""
    return f"{value:.4g}".replace("-", "−")
