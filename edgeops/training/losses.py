"""What training makes small; each is a function of (inputs, targets, outputs) to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Loss = Callable[[Any, Any, Any], Any]
_SMALLEST = 1e-7


def cross_entropy(
    tensorflow: Any, n_classes: int, smoothing: float, weights: NDArray[np.float32] | None
) -> Loss:
    """Mean cross entropy of probabilities, weighted by class where ``weights`` (n_classes,) are given.

    Label smoothing gives ``smoothing`` of each target to all classes alike (Szegedy et al. 2016).
    """

    def loss(x: Any, y: Any, outputs: Any) -> Any:
        del x
        wanted = tensorflow.one_hot(y, n_classes) * (1 - smoothing) + smoothing / n_classes
        logs = tensorflow.math.log(tensorflow.clip_by_value(outputs, _SMALLEST, 1.0))
        each = -tensorflow.reduce_sum(wanted * logs, axis=1)
        if weights is not None:
            each *= tensorflow.gather(tensorflow.constant(weights), y)
        return tensorflow.reduce_mean(each)

    return loss


def reconstruction_loss(tensorflow: Any) -> Loss:
    """Mean squared difference of input and output, over all values."""

    def loss(x: Any, y: Any, outputs: Any) -> Any:
        del y
        return tensorflow.reduce_mean(tensorflow.square(outputs - x))

    return loss


def distilled(tensorflow: Any, own: Loss, teacher: Any, temperature: float, share: float) -> Loss:
    """``own`` mixed with the cross entropy to a teacher's softened scores (Hinton et al. 2015).

    Models end in a softmax, so softening raises probabilities to the power of 1 / temperature and normalises;
    the square of the temperature keeps the gradients' size.
    """

    def softened(probabilities: Any) -> Any:
        logs = tensorflow.math.log(tensorflow.clip_by_value(probabilities, _SMALLEST, 1.0))
        return tensorflow.nn.log_softmax(logs / temperature, axis=1)

    def loss(x: Any, y: Any, outputs: Any) -> Any:
        taught = tensorflow.exp(softened(tensorflow.stop_gradient(teacher(x, training=False))))
        from_teacher = -tensorflow.reduce_sum(taught * softened(outputs), axis=1)
        mixed = tensorflow.reduce_mean(from_teacher) * temperature**2
        return (1 - share) * own(x, y, outputs) + share * mixed

    return loss
