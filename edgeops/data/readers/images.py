"""Images: class folders of PNG and JPEG files, as (height, width, channels) uint8."""

from __future__ import annotations

import io
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeops.core.errors import DataError
from edgeops.data.readers.entry import NO_CLASS, Item, Request, SetAside, counted, one_line, required
from edgeops.data.readers.layout import Placed, place
from edgeops.data.readers.tree import FileTree

SUFFIXES = (".png", ".jpg", ".jpeg")
WANTED = "a PNG or JPEG file"
MAX_PIXELS = 50_000_000
_SIDES = (96, 64, 32)  # what small models take; only ever smaller than the images are
_GREY = ("1", "L", "LA", "I;16", "I;16B", "I")
_TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that swap width and height
_ORIENTATION = 0x0112
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
    MemoryError,
)


def _reason(error: BaseException) -> str:
    line = one_line(error)
    return line if line.startswith(("unreadable:", "larger than")) else f"unreadable: {line}"


class ImageReader:
    """All images of one size: that of ``--size`` (stretched or cut to it), or their own where they agree.

    Grey where all are, and colour otherwise. Headers are read first, so that both are known before the first
    image is decoded; one image is held at a time.
    """

    kind = "image"
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __init__(self, tree: FileTree, request: Request) -> None:
        """Raises ``MissingExtra`` without Pillow."""
        self._pillow: Any = required("PIL.Image", "images")
        self._turn: Any = required("PIL.ImageOps", "images").exif_transpose
        self._tree, self._request = tree, request
        self.total, self.done = len(tree.files), 0
        self.sample_rate_hz = 0.0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Item | SetAside]:
        good: list[Placed] = []
        bad: list[SetAside] = []
        sizes: Counter[tuple[int, int]] = Counter()
        modes: Counter[str] = Counter()
        entries = place(self._tree.files, self._request.pattern, SUFFIXES, WANTED)
        for entry in entries:
            if isinstance(entry, SetAside):
                bad.append(entry)
                continue
            header = self._header(entry)
            if isinstance(header, str):
                bad.append(SetAside(entry.file.name, header))
                continue
            sizes[header[0]] += 1
            modes[header[1]] += 1
            good.append(entry)
        size = self._size(sizes)
        channels = self._request.channels or (1 if modes and set(modes) <= set(_GREY) else 3)
        self._tell(sizes, modes, size, channels)
        self.done = len(bad)
        yield from bad
        for entry in good:
            self.done += 1
            try:
                values = self._pixels(entry, size, channels)
            except (*_BROKEN, self._pillow.DecompressionBombError) as error:  # it may have changed meanwhile
                yield SetAside(entry.file.name, _reason(error))
            else:
                yield Item(entry.file.name, values, entry.label, entry.slices, entry.part)
        self.done = self.total

    def _opened(self, entry: Placed) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._pillow.DecompressionBombWarning)
            return self._pillow.open(io.BytesIO(entry.file.read()), formats=("PNG", "JPEG"))

    def _header(self, entry: Placed) -> tuple[tuple[int, int], str] | str:
        """(height, width) and mode, or why the image is not used."""
        if not entry.label:
            return NO_CLASS
        if entry.file.size == 0:
            return "empty file"
        try:
            with self._opened(entry) as image:
                width, height = image.size
                turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION) in _TURNED
                mode = str(image.mode)
        except self._pillow.DecompressionBombError:
            return f"larger than {MAX_PIXELS:,} pixels"
        except self._pillow.UnidentifiedImageError:
            return "neither PNG nor JPEG by its content"
        except _BROKEN as error:
            return _reason(error)
        if width * height > MAX_PIXELS:
            return f"larger than {MAX_PIXELS:,} pixels"
        return ((width, height) if turned else (height, width)), mode

    def _size(self, sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
        if self._request.size:
            return self._request.size
        if len(sizes) > 1:
            shown = ", ".join(f"{n} of {h}x{w}" for (h, w), n in sizes.most_common(5))
            more = f" and {len(sizes) - 5} other sizes" if len(sizes) > 5 else ""
            side = _suggested(sizes)
            raise DataError(
                f"{self._tree.path}: the images are not of one size (height x width): {shown}{more}",
                fix=f"give the size to bring them to, such as --size {side}x{side}; --fit crop cuts what would be "
                "stretched",
                sizes={f"{h}x{w}": n for (h, w), n in sizes.items()},
            )
        return next(iter(sizes), (1, 1))

    def _tell(
        self, sizes: Counter[tuple[int, int]], modes: Counter[str], size: tuple[int, int], channels: int
    ) -> None:
        stretched = sum(count for found, count in sizes.items() if found != size)
        grey = sum(count for mode, count in modes.items() if mode in _GREY)
        if stretched:
            how = "cut and resized" if self._request.crop else "stretched or shrunk"
            self.notes.append(
                f"{stretched:,} of {counted(sizes.total(), 'file')} {how} to {size[0]}x{size[1]}"
            )
        if channels == 3 and grey:
            self.notes.append(f"{counted(grey, 'grey image')} made RGB, as the others are")
        coloured = sum(modes.values()) - grey
        if channels == 1 and coloured:
            self.notes.append(f"{counted(coloured, 'colour image')} made grey, as the others are")
        deep = sum(count for mode, count in modes.items() if mode.startswith("I"))
        if deep:
            self.notes.append(f"{counted(deep, 'image')} with 16 bits: the upper 8 are kept")

    def _pixels(self, entry: Placed, size: tuple[int, int], channels: int) -> np.ndarray[Any, Any]:
        with self._opened(entry) as image:
            image.load()
            whole = self._turn(image)
        if whole.mode.startswith("I"):
            whole = self._pillow.fromarray((np.asarray(whole) >> 8).clip(0, 255).astype(np.uint8))
        whole = whole.convert("L" if channels == 1 else "RGB")
        if self._request.crop and (whole.height, whole.width) != size:
            whole = whole.crop(_middle(whole.height, whole.width, size))
        if (whole.height, whole.width) != size:
            whole = whole.resize((size[1], size[0]), self._pillow.Resampling.BILINEAR)
        return np.asarray(whole, np.uint8).reshape(*size, channels)


def _suggested(sizes: Counter[tuple[int, int]]) -> int:
    """The side of a square that most images need only be shrunk to."""
    shorter = sorted(min(size) for size in sizes.elements())
    typical = shorter[len(shorter) // 10]
    return next((side for side in _SIDES if side <= typical), typical)


def _middle(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest part in the middle with the proportions of ``size``."""
    scale = min(height / size[0], width / size[1])
    high, wide = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    top, left = (height - high) // 2, (width - wide) // 2
    return left, top, left + wide, top + high
