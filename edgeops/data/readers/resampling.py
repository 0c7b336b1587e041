"""Recordings of one sample rate brought to another: soxr, high quality, and no more than fits into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.data.readers.entry import one_line, required

MAX_VALUES = (
    1 << 28
)  # of one recording, 2 GiB as they are resampled: a wrong rate in a header may ask for more


def resampled(values: NDArray[Any], rate: float, wanted: float) -> NDArray[Any]:
    """Floats (samples,) or (samples, channels) of ``rate`` Hz at ``wanted`` Hz, in their own dtype.

    Raises ``ValueError``, with one line, where nothing or far too much would come of it, and ``MissingExtra``.
    """
    soxr = required("soxr", "recordings of another sample rate")
    length = len(values) * (wanted / rate)
    if length * (values[0].size if len(values) else 0) > MAX_VALUES:
        raise ValueError(
            f"its sample rate is {rate:g} Hz: at {wanted:g} Hz it would have {length:.3g} samples"
        )
    try:
        found: NDArray[Any] = np.asarray(soxr.resample(values, rate, wanted))
    except RuntimeError as error:  # soxr refuses a ratio
        raise ValueError(f"not resampled from {rate:g} Hz: {one_line(error)}") from error
    if len(found) == 0:
        raise ValueError(f"too short: nothing is left of it at {wanted:g} Hz")
    return found
