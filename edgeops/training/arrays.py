"""The arrays that training passes round."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int8 = NDArray[np.int8]
Targets = NDArray[np.int64]
