"""Recipes: what is read, and what every mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeops.core.errors import ConfigError, ExitCode, NotFoundError, exit_code_of
from edgeops.training.recipe import find_recipe, load_recipe, shipped_recipes
from edgeops.training.recipe.load import with_holdout

GOOD = """\
[recipe]
name = "digits"

[data]
name = "digits"
kind = "image"

[preprocessing]
steps = [{ op = "scale", factor = 0.0625 }]

[architecture]
kind = "small_cnn"
filters = [4, 8]

[training]
epochs = 3
learning_rate = 1
augmentation = { copies = 1 }

[gates]
min_int8_accuracy = 0.9

[observe]
features = ["level", "contrast"]
"""


def written(folder: Path, text: str = GOOD) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_is_read_with_its_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path))
    assert recipe.name == "digits"
    assert recipe.training.learning_rate == 1.0
    assert recipe.training.batch_size == 64
    assert recipe.training.augmentation.copies == 1
    assert recipe.architecture.parameters == {"filters": [4, 8], "dense": 32, "dropout": 0.3}
    assert recipe.observe.features == ("level", "contrast")
    assert recipe.retrain.margin_on_test == 0.01
    assert recipe.quantization.representative == (200,)
    assert [(step.op, step.parameters) for step in recipe.preprocessing.steps] == [("scale", (62_500_000, 0))]
    assert load_recipe(tmp_path).digest == recipe.digest


def test_the_digest_knows_values_and_not_layout(tmp_path: Path) -> None:
    first = load_recipe(written(tmp_path)).digest
    assert load_recipe(written(tmp_path, "# a note\n" + GOOD.replace(" = ", "="))).digest == first
    assert load_recipe(written(tmp_path, GOOD + "\n[retrain]\nmargin_on_test = 0.01\n")).digest == first
    for old, new in (
        ("epochs = 3", "epochs = 4"),
        ("copies = 1", "copies = 2"),
        ("0.0625", "0.125"),
        ("[4, 8]", "[8, 4]"),
    ):
        assert load_recipe(written(tmp_path, GOOD.replace(old, new))).digest != first


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("epochs = 3", "epoch = 3", 16, "unknown key 'training.epoch'; did you mean 'epochs'?"),
        ("[observe]", "[observed]", 23, "unknown key 'observed'; did you mean 'observe'?"),
        ("copies = 1", "copy = 1", 18, "unknown key 'training.augmentation.copy'; did you mean 'copies'?"),
        (
            "factor =",
            "facto =",
            9,
            "preprocessing step 'scale' has no parameter 'facto'; did you mean 'factor'?",
        ),
        ("filters", "filter", 13, "unknown key 'architecture.filter'; did you mean 'filters'?"),
        (
            "epochs = 3",
            "zzzz = 3",
            16,
            "unknown key 'training.zzzz'; known keys: augmentation, balanced, batch_size",
        ),
        ("epochs = 3", "epochs = 3.5", 16, "'training.epochs' must be a whole number, not 3.5"),
        ("epochs = 3", "epochs = true", 16, "'training.epochs' must be a whole number, not True"),
        ("epochs = 3", 'epochs = "3"', 16, "'training.epochs' must be a whole number, not '3'"),
        ("[observe]", '[observe]\nmultivariate = "yes"', 24, "'observe.multivariate' must be true or false"),
        ("epochs = 3", "epochs = 0", 16, "'training.epochs' must lie in 1..10000, not be 0"),
        ("learning_rate = 1", "learning_rate = nan", 17, "'training.learning_rate' must lie in"),
        ("epochs = 3\n", "", 15, "'training.epochs' is missing"),
        ("accuracy = 0.9", "accuracy = 90", 21, "'gates.min_int8_accuracy' must lie in 0..1, not be 90.0"),
        ('"scale"', '"scales"', 9, "'preprocessing.steps.op' is 'scales'; did you mean 'scale'?"),
        ('"small_cnn"', '"smal_cnn"', 12, "'architecture.kind' is 'smal_cnn'; did you mean 'small_cnn'?"),
        ('"contrast"]', '"contrst"]', 24, "'observe.features' is 'contrst'; did you mean 'contrast'?"),
        ('"contrast"]', '"level"]', 24, "names one twice"),
        ("[4, 8]", "[]", 13, "'architecture.filters' must list one or more whole numbers in 1..1024"),
        ("[4, 8]", "[4, 0]", 13, "'architecture.filters' must list one or more whole numbers in 1..1024"),
        ('kind = "small_cnn"', 'python = "model.py:build"', 13, "unknown key 'architecture.filters'"),
        ('kind = "image"', 'kind = "imge"', 6, "'data.kind' is 'imge'; did you mean 'image'?"),
        ('kind = "image"', 'kind = "audio"', 4, "audio needs 'data.window'"),
        ('kind = "image"', 'kind = "image"\nstride = 4', 7, "'data.stride' needs 'data.window'"),
        ('kind = "image"', 'kind = "image"\nwindow = 4', 7, "an item of kind 'image' is whole"),
        ('kind = "image"', 'kind = "table"\nwindow = 4', 7, "an item of kind 'table' is whole"),
        (
            'name = "digits"\n\n[data]',
            'name = "digits"\ntask = "anomaly"\n\n[data]',
            3,
            "for the task 'classification'",
        ),
        ("copies = 1", "copies = 0, originals = false", 18, "'copies' must be at least 1"),
        ("augmentation = { copies = 1 }", "augmentation = 3", 18, "'training.augmentation' must be a table"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert f"{path}:{line}: " in caught.value.message
    assert words in caught.value.message
    assert caught.value.fields["file"] == str(path)
    assert caught.value.fields["key"] in (caught.value.fix or "")
    assert exit_code_of(caught.value) == ExitCode.USAGE


def test_a_file_that_is_not_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        load_recipe(written(tmp_path, "[recipe]\nname = \n"))
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(path)


def test_architecture_is_one_of_two(tmp_path: Path) -> None:
    without = GOOD.replace('kind = "small_cnn"\nfilters = [4, 8]\n', "")
    with pytest.raises(ConfigError, match="either 'kind' or 'python'"):
        load_recipe(written(tmp_path, without))


def test_own_code_must_lie_in_the_recipes_folder_and_counts_in_the_digest(tmp_path: Path) -> None:
    text = GOOD.replace('kind = "small_cnn"\nfilters = [4, 8]', 'python = "model.py:build"')
    with pytest.raises(ConfigError, match=r"no file 'model.py' beside the recipe"):
        load_recipe(written(tmp_path, text))
    (tmp_path / "model.py").write_text("def build(shape, n): ...")
    first = load_recipe(written(tmp_path, text))
    assert first.architecture.python == (tmp_path / "model.py", "build")
    (tmp_path / "model.py").write_text("def build(shape, n): return None")
    assert load_recipe(written(tmp_path, text)).digest != first.digest
    for wrong in ("../model.py:build", "model.py", "model.py:1x", "/etc/passwd:build"):
        with pytest.raises(ConfigError, match="file.py:function within the recipe's folder"):
            load_recipe(written(tmp_path, text.replace("model.py:build", wrong)))


def test_recipes_are_found_by_path_folder_or_shipped_name(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert find_recipe(str(path)) == path
    assert find_recipe(str(tmp_path)) == path
    assert find_recipe("digits") == shipped_recipes()["digits"]
    assert load_recipe(find_recipe("digits")).name == "digits"
    with pytest.raises(NotFoundError, match="digits") as caught:
        find_recipe("digit5")
    assert exit_code_of(caught.value) == ExitCode.NOT_FOUND
    with pytest.raises(NotFoundError):
        load_recipe(tmp_path / "none")


def test_every_shipped_recipe_loads_and_has_a_card() -> None:
    for name, path in shipped_recipes().items():
        assert load_recipe(path).name == name
        assert (path.parent / "CARD.md").is_file()


def test_what_the_card_says_is_read_and_changes_no_model(tmp_path: Path) -> None:
    plain = load_recipe(written(tmp_path))
    said = load_recipe(written(tmp_path, GOOD + '[report]\nnot_for = ["Sorting for sale."]\n'))
    assert (plain.report.not_for, said.report.not_for) == ((), ("Sorting for sale.",))
    assert said.digest == plain.digest
    with pytest.raises(ConfigError, match="'report.not_for' must list texts"):
        load_recipe(written(tmp_path, GOOD + "[report]\nnot_for = [1]\n"))


def test_holding_out_what_the_recipe_holds_out_is_the_same_recipe(tmp_path: Path) -> None:
    own = load_recipe(written(tmp_path, GOOD + "[split]\nholdout = { hand = 'left' }\n"))
    assert with_holdout(own, {"hand": ("left",)}) is own
    assert with_holdout(own, {}) is own
    other = with_holdout(own, {"hand": ("right",)})
    assert other.split.holdout == {"hand": ("right",)} and other.digest != own.digest
