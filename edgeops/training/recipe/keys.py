"""Which sections and keys a recipe has, with their defaults, ranges and meaning."""

from __future__ import annotations

from collections.abc import Mapping

from edgeops.training.corruptions import CORRUPTIONS
from edgeops.training.schema import Key

KINDS = ("image", "audio", "series", "table")
CLASSIFICATION, ANOMALY = "classification", "anomaly"
SCHEMES = ("int8", "int16x8", "dynamic", "float16")
VALUE, SCALE, LENGTH = "value", "scale", "length"
MAX_BYTES = 2**31 - 1
RUNTIMES = ("tflite", "plan")
STRATEGIES = ("recalibrate", "head", "frozen_scale", "fine_tune", "scratch")
ALARMS = ("data", "confidence", "multivariate", "prediction", "concept")

# What edgeops.toml says under [retrain] holds where a recipe is silent.
POLICY: Mapping[str, Key] = {
    "alarms": Key(list, default=None, about=f"kinds of alarms that count: of {', '.join(ALARMS)}"),
    "sustained": Key(int, default=None, low=1, high=16, about="a device drifts when so many windows say so"),
    "sustained_of": Key(int, default=None, low=1, high=16, about="of so many windows"),
    "quiet_windows": Key(int, default=None, low=1, high=16, about="in a row, then it drifts no more"),
    "min_devices": Key(int, default=None, low=1, high=1_000_000, about="devices that must drift"),
    "min_share": Key(float, default=None, low=0.0, high=1.0, about="of the fleet that must drift"),
    "settle_windows": Key(int, default=None, low=0, high=10_000, about="after the last device's alarm"),
    "capture_windows": Key(int, default=None, low=0, high=10_000, about="that each drifted device captures"),
    "min_samples": Key(int, default=None, low=0, high=10_000_000, about="new labelled samples"),
    "cooldown_hours": Key(
        float, default=None, low=0.0, high=100_000.0, about="since the last retrain; 0: none"
    ),
    "retrains_a_month": Key(
        int, default=None, low=0, high=10_000, about="at most, in 30 days; 0: any number"
    ),
    "bytes_a_month": Key(int, default=None, low=0, high=2**62, about="that retrains push in 30 days; 0: any"),
    "quiet_hours": Key(str, default=None, about="no retrain and no rollout of one starts: 22:00-06:00 UTC"),
    "approval": Key(bool, default=None, about="a retrain waits for edgeops retrain approve"),
}

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "recipe": {
        "name": Key(str, about="the model's name"),
        "description": Key(str, default="", about="one line for people"),
        "task": Key(
            str,
            default=CLASSIFICATION,
            choices=(CLASSIFICATION, ANOMALY),
            about="classes, or normal against anything else, learned from normal items only",
        ),
    },
    "data": {
        "name": Key(str, about="the dataset's name"),
        "kind": Key(str, default="image", choices=KINDS, about="what an item is"),
        "window": Key(int, default=0, low=0, high=10_000_000, about="samples of one input; 0: whole items"),
        "stride": Key(int, default=0, low=0, high=10_000_000, about="samples between windows; 0: one window"),
        "hint": Key(str, default="", about="where such data comes from, for who has none"),
    },
    "split": {
        "holdout": Key(dict, default={}, about="slice to values: all such items are the test part"),
        "by_time": Key(list, default=[], about="labels whose recordings are cut by time instead"),
    },
    "preprocessing": {
        "steps": Key(list, default=[], about="the front end, in order"),
        "normalise": Key(
            str,
            default="no",
            choices=("no", "whole", "columns"),
            about="a last step to mean 0 and deviation 1, as measured on the train part",
        ),
    },
    "training": {
        "epochs": Key(int, low=1, high=10_000, about="rounds over the training items"),
        "batch_size": Key(int, default=64, low=1, high=65_536, about="items a step"),
        "learning_rate": Key(float, default=0.001, low=1e-7, high=10.0, about="at the start; falls to zero"),
        "label_smoothing": Key(float, default=0.0, low=0.0, high=0.5, about="share given to other classes"),
        "balanced": Key(bool, default=False, about="weigh classes by the inverse of their frequency"),
        "threads": Key(int, default=1, low=1, high=64, about="of one operation; decides the bytes too"),
        "augmentation": Key(dict, default={}, about="random changes of the training inputs"),
        "pruning": Key(dict, default={}, about="magnitude pruning"),
        "distillation": Key(dict, default={}, about="learning from a larger teacher"),
    },
    "quantization": {
        "scheme": Key(str, default="int8", choices=SCHEMES, about="of weights and activations"),
        "representative": Key(
            list, default=[200], items=(1, 100_000), about="sizes of the representative dataset to try"
        ),
        "per_channel_dense": Key(bool, default=True, about="a scale for each unit of dense layers"),
        "aware": Key(
            str,
            default="never",
            choices=("never", "auto", "always"),
            about="quantization-aware training; auto: where more than a point is lost without",
        ),
        "aware_epochs": Key(int, default=5, low=1, high=1000, about="rounds of it"),
    },
    "gates": {
        "min_int8_accuracy": Key(float, default=0.0, low=0.0, high=1.0, about="on the test part"),
        "max_quantization_loss": Key(float, default=1.0, low=0.0, high=1.0, about="float less int8 accuracy"),
        "max_artifact_bytes": Key(int, default=MAX_BYTES, low=1, high=MAX_BYTES, about="of the .tflite"),
        "min_class_recall": Key(float, default=0.0, low=0.0, high=1.0, about="of the worst class"),
        "min_slice_accuracy": Key(float, default=0.0, low=0.0, high=1.0, about="of the worst slice"),
        "min_auc": Key(float, default=0.0, low=0.0, high=1.0, about="area under the ROC curve, anomalies"),
        "max_false_alarms": Key(
            float, default=1.0, low=0.0, high=1.0, about="share of normal test items taken for anomalies"
        ),
        "robustness": Key(list, default=[], about="corruptions and the accuracy to keep under each"),
    },
    "targets": {
        "names": Key(list, default=[], about="parts that the model must fit; edgeops target list"),
    },
    "package": {
        "runtimes": Key(
            list,
            default=[],
            about=f"forms that devices get: of {', '.join(RUNTIMES)}; empty: both, a plan where there can be one",
        ),
    },
    "anomaly": {
        "normal": Key(str, default="normal", about="the label of what is normal"),
        "quantile": Key(
            float, default=0.99, low=0.5, high=1.0, about="of normal validation errors: threshold"
        ),
    },
    "search": {
        "space": Key(
            list, default=[], about="what a search varies; empty: width, depth, input size, learning rate"
        ),
    },
    "observe": {
        "features": Key(
            list, default=[], about="what devices count of their inputs; empty: what suits the kind of data"
        ),
        "multivariate": Key(
            bool,
            default=False,
            about="count also how features depend on each other, about 180 bytes a report",
        ),
    },
    "report": {
        "not_for": Key(
            list, default=[], about="for the model card: what it must not be used for, in sentences"
        ),
    },
    "retrain": {
        "margin_on_test": Key(float, default=0.01, low=0.0, high=1.0, about="how much a retrain may lose"),
        "captured_weight": Key(int, default=1, low=1, high=100, about="times a captured sample is shown"),
        "strategies": Key(
            list,
            default=list(STRATEGIES),
            about=f"what a retrain tries, in this order: of {', '.join(STRATEGIES)}",
        ),
        "recovered_within": Key(
            float,
            default=0.05,
            low=0.0,
            high=1.0,
            about="below the test accuracy; then nothing dearer is tried",
        ),
        **POLICY,
    },
}

AUGMENTATION: Mapping[str, Key] = {
    "copies": Key(int, default=0, low=0, high=100, about="changed copies of each item an epoch"),
    "originals": Key(bool, default=True, about="show the unchanged items too"),
    "rotation_degrees": Key(float, default=0.0, low=0.0, high=180.0, about="images: either way"),
    "shift_pixels": Key(float, default=0.0, low=0.0, high=1000.0, about="images: either way, both axes"),
    "zoom": Key(float, default=0.0, low=0.0, high=0.9, about="images: either way"),
    "flip": Key(bool, default=False, about="images: half of them mirrored"),
    "shift_steps": Key(int, default=0, low=0, high=100_000, about="along the first axis, either way"),
    "mask_steps": Key(int, default=0, low=0, high=100_000, about="longest run set to the mean, first axis"),
    "mask_bands": Key(int, default=0, low=0, high=100_000, about="longest run set to the mean, second axis"),
    "gain": Key(float, default=0.0, low=0.0, high=10.0, about="factor 1 +- this"),
    "offset": Key(float, default=0.0, low=0.0, high=1000.0, about="added, either way, one value an item"),
    "noise": Key(float, default=0.0, low=0.0, high=1000.0, about="deviation of Gaussian noise added"),
}
PRUNING: Mapping[str, Key] = {
    "sparsity": Key(float, default=0.0, low=0.0, high=0.99, about="share of weights that end as zero"),
    "begin": Key(float, default=0.2, low=0.0, high=1.0, about="share of the steps after which it begins"),
    "end": Key(float, default=0.7, low=0.0, high=1.0, about="share of the steps after which it is reached"),
}
DISTILLATION: Mapping[str, Key] = {
    "teacher": Key(dict, default={}, about="parameters of the architecture that differ in the teacher"),
    "epochs": Key(int, default=0, low=0, high=10_000, about="of the teacher; 0: no distillation"),
    "temperature": Key(float, default=4.0, low=1.0, high=100.0, about="softens the teacher's scores"),
    "share": Key(float, default=0.5, low=0.0, high=1.0, about="of the loss that the teacher decides"),
}
ROBUSTNESS: Mapping[str, Key] = {
    "corruption": Key(str, choices=tuple(CORRUPTIONS), about="what is done to inputs"),
    "severity": Key(float, low=0.0, high=1000.0, about="how much of it, in the model's input units"),
    "min_accuracy": Key(float, low=0.0, high=1.0, about="what the int8 model must keep"),
}
SEARCH: Mapping[str, Key] = {
    "key": Key(str, about="a key of this recipe: architecture.filters, preprocessing.steps.0.height"),
    "also": Key(list, default=[], about="further keys that change with it, each in the same way"),
    "vary": Key(
        str,
        default=VALUE,
        choices=(VALUE, SCALE, LENGTH),
        about="its value; a factor of the recipe's value, or of all values of a list; how many a list has",
    ),
    "low": Key(float, default=None, about="the least"),
    "high": Key(float, default=None, about="the most"),
    "step": Key(float, default=None, about="between values that are tried; none: 1 or, with decimals, any"),
    "log": Key(bool, default=False, about="as often from 1 to 10 as from 10 to 100"),
    "choices": Key(list, default=[], about="the values themselves, instead of low and high"),
}
