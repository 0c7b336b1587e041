"""The named preprocessing operations, in one table: parameters, what they do, and the shape that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.features import audio, columns, image, series
from edgeops.core.features.parameters import REQUIRED, Named, Parameter

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

MAX_VALUES = 2**24  # of one item, before or after a step


@dataclass(frozen=True)
class Operation:
    """One operation on one item: ``apply(parameters, values) -> values``, all float32.

    ``stackable``: it works on many items at once, with further axes in front, and gives each exactly what it
    would give it alone.
    """

    about: str
    parameters: tuple[Parameter, ...]
    function: Callable[..., Float32]
    shape: Callable[..., Shape]
    inverse: Callable[..., Float32] | None = None
    stackable: bool = False

    def output_shape(self, parameters: Named, shape: Shape) -> Shape:
        """The shape that ``apply`` gives for an item of ``shape``; raises ``InputError`` where it cannot."""
        return self.shape(shape, **parameters)

    def apply(self, parameters: Named, values: Float32) -> Float32:
        """The operation on one item; raises ``InputError`` for a shape that it does not take."""
        self.shape(values.shape, **parameters)
        return self.function(values, **parameters)

    def apply_to_batch(self, parameters: Named, batch: Float32) -> Float32:
        """The operation on each of (N, *shape): the same values as ``apply`` on each alone."""
        shape = self.shape(batch.shape[1:], **parameters)
        if self.stackable:
            return self.function(batch, **parameters)
        result = np.empty((len(batch), *shape), np.float32)
        for row, item in zip(result, batch, strict=True):
            row[...] = self.function(item, **parameters)
        return result

    def invertible(self, parameters: Named) -> bool:
        """Whether ``undo`` can give the values back."""
        return self.inverse is not None and parameters.get("factor") != 0  # nothing is left of x * 0

    def undo(self, parameters: Named, values: Float32) -> Float32:
        """The inverse of ``apply``; raises ``InputError`` where there is none."""
        if self.inverse is None or not self.invertible(parameters):
            raise InputError("it cannot be undone")
        return self.inverse(values, **parameters)


def scale(values: Float32, *, factor: float, offset: float) -> Float32:
    """``x * factor + offset`` in float32, for values of any shape."""
    return values * np.float32(factor) + np.float32(offset)


def unscale(values: Float32, *, factor: float, offset: float) -> Float32:
    """The inverse of ``scale``."""
    return (values - np.float32(offset)) / np.float32(factor)


def _same(shape: Shape, **_: object) -> Shape:
    return shape


def _whole(name: str, low: int, high: int, about: str, default: Any = REQUIRED) -> Parameter:
    return Parameter(name, default, low, high, whole=True, about=about)


_SMALL = 1e-9  # the smallest number above 0 that a manifest can carry
_SIDE = 4096
_RATE = Parameter("sample_rate_hz", low=0.001, high=1e7, about="samples a second")
_HIGH = Parameter("high_hz", low=0.001, high=5e6, about="upper end of the highest band")
_FFT = _whole("fft_length", 32, 16_384, "points of the FFT, a power of two")
_FLOOR = Parameter("floor", _SMALL, low=_SMALL, about="values below it count as this much")
_STEP_ABOUT = "samples from one frame to the next"
_MEL: tuple[Parameter, ...] = (
    _RATE,
    _whole("frame_length", 2, 16_384, "samples of a frame"),
    _whole("frame_step", 1, 1_000_000, _STEP_ABOUT),
    _FFT,
    _whole("mels", 1, 256, "bands, equally wide on the mel scale"),
    Parameter("low_hz", low=0.0, high=5e6, about="lower end of the lowest band"),
    _HIGH,
    Parameter("spectrum", audio.MAGNITUDE, choices=audio.SPECTRA, about="what the bands are sums of"),
    Parameter("offset", 1e-6, low=0.0, about="added before the logarithm"),
    _FLOOR,
)


def _per(default: str) -> Parameter:
    return Parameter(
        "per", default, choices=series.SHARES, about="each channel by itself, or the whole window"
    )


def _pixel(name: str) -> Parameter:
    return _whole(name, 1, _SIDE, "in pixels")


def _per_channel(name: str, low: float) -> Parameter:
    return Parameter(name, low=low, many=(1, 3), about="one number, or one for each of three channels")


def _per_column(name: str, low: float) -> Parameter:
    counts = tuple(range(1, columns.MOST + 1))
    return Parameter(name, low=low, many=counts, about="one number for each column")


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "scale": Operation(
            "multiply and add: x * factor + offset, for values of any shape",
            (
                Parameter("factor", about="what values are multiplied with"),
                Parameter("offset", 0.0, about="what is added then"),
            ),
            scale,
            _same,
            inverse=unscale,
            stackable=True,
        ),
        "resize": Operation(
            "an image to another size, bilinear, half-pixel centres",
            (_pixel("height"), _pixel("width")),
            image.resize,
            image.resize_shape,
            stackable=True,
        ),
        "grey": Operation(
            "an RGB image to its luma (ITU-R BT.601)", (), image.grey, image.grey_shape, stackable=True
        ),
        "normalise": Operation(
            "(x - mean) / deviation, per channel (the last axis)",
            (_per_channel("mean", -9e9), _per_channel("deviation", _SMALL)),
            image.normalise,
            image.normalise_shape,
            inverse=image.unnormalise,
            stackable=True,
        ),
        "columns": Operation(
            "(x - mean) / deviation of some columns, along the last axis that has more than one place",
            (
                _whole("first", 0, MAX_VALUES, "number of the first column, from 0"),
                _per_column("mean", -9e9),
                _per_column("deviation", _SMALL),
            ),
            columns.normalise_columns,
            columns.columns_shape,
            inverse=columns.unnormalise_columns,
        ),
        "fit_length": Operation(
            "cut to a length in the middle, or filled with zeros at the end",
            (_whole("samples", 1, MAX_VALUES, "samples that come out"),),
            audio.fit_length,
            audio.fit_length_shape,
        ),
        "log_mel": Operation(
            "log-mel spectrogram (frames, mels, 1)",
            _MEL,
            lambda values, **named: audio.log_mel(values, audio.MelBands(**named)),
            lambda shape, **named: audio.log_mel_shape(shape, audio.MelBands(**named)),
        ),
        "mfcc": Operation(
            "mel-frequency cepstral coefficients (frames, coefficients, 1)",
            (*_MEL, _whole("coefficients", 1, 256, "of each frame, from the first")),
            lambda values, coefficients, **named: audio.mfcc(values, audio.MelBands(**named), coefficients),
            lambda shape, coefficients, **named: audio.mfcc_shape(
                shape, audio.MelBands(**named), coefficients
            ),
        ),
        "detrend": Operation(
            "a series less its mean or its least-squares line, per channel",
            (Parameter("kind", series.CONSTANT, choices=series.TRENDS, about="what is taken away"),),
            series.detrend,
            series.series_shape,
        ),
        "standardise": Operation(
            "(x - mean) / deviation, both of the window itself",
            (_per(series.CHANNEL), _FLOOR),
            series.standardise,
            series.series_shape,
        ),
        "rms_scale": Operation(
            "divide by the root mean square of the window itself",
            (_per(series.WINDOW), _FLOOR),
            series.rms_scale,
            series.series_shape,
        ),
        "taper": Operation(
            "a tapered cosine window over the series",
            (
                Parameter(
                    "share", 1.0, low=0.0, high=1.0, about="of it that rises and falls; 1 is a Hann window"
                ),
            ),
            series.taper,
            series.series_shape,
        ),
        "fft_bands": Operation(
            "log power of frequency bands, (bands, channels) or (frames, bands * channels)",
            (
                _RATE,
                _FFT,
                _whole("frame_step", 0, 1_000_000, f"{_STEP_ABOUT}; 0: the series is one frame", default=0),
                _whole("bands", 1, 1024, "frequency bands"),
                Parameter("low_hz", 0.0, low=0.0, high=5e6, about="lower end of the lowest band"),
                _HIGH,
                Parameter(
                    "spacing", series.EQUAL, choices=series.SPACINGS, about="of the bands' edges in Hz"
                ),
                _FLOOR,
            ),
            lambda values, **named: series.fft_bands(values, series.FftBands(**named)),
            lambda shape, **named: series.fft_bands_shape(shape, series.FftBands(**named)),
        ),
    }
)
