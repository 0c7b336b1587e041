"""What a search varies: the recipe's own list, or what suits its architecture; and the recipes that come of it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core.errors import ConfigError
from edgeops.core.features.steps import named_parameters
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe import load_recipe, shipped_recipes
from edgeops.training.recipe.describe import json_schema, markdown
from edgeops.training.recipe.load import read_document
from edgeops.training.recipe.write import to_toml
from edgeops.training.schema import Source
from edgeops.training.search_space import Dimension, apply_values, own_values, recipe_with, search_space

BASE = """\
[recipe]
name = "tiny"
{task}
[data]
name = "items"
kind = "{kind}"
{window}
[preprocessing]
steps = [{steps}]
[architecture]
{architecture}
[training]
epochs = 3
learning_rate = 0.003
"""


def text(
    architecture: str = 'kind = "ds_cnn"',
    steps: str = "",
    kind: str = "image",
    search: str = "",
    window: str = "",
    task: str = "",
) -> str:
    base = BASE.format(architecture=architecture, steps=steps, kind=kind, window=window, task=task)
    return base + (f"[search]\nspace = [\n{search},\n]\n" if search else "")


def read(folder: Path, content: str) -> tuple[Source, dict[str, Any]]:
    path = folder / "recipe.toml"
    path.write_text(content)
    return read_document(path)


def names(space: tuple[Dimension, ...]) -> list[str]:
    return [dimension.name for dimension in space]


def named(space: tuple[Dimension, ...], name: str) -> Dimension:
    return next(dimension for dimension in space if dimension.name == name)


class TestDefault:
    @pytest.mark.parametrize("kind", ARCHITECTURES)
    def test_every_architecture_has_a_width_and_a_learning_rate(self, tmp_path: Path, kind: str) -> None:
        task = 'task = "anomaly"' if ARCHITECTURES[kind].reconstructs else ""
        space = search_space(*read(tmp_path, text(f'kind = "{kind}"', task=task)))
        widths = [n for n in names(space) if n.split(".")[1] in ("filters", "units", "dense", "width")]
        assert widths
        assert names(space)[-1] == "training.learning_rate"

    @pytest.mark.parametrize("kind", sorted(ARCHITECTURES.keys() - {"mobilenet_v1"}))
    def test_and_a_depth_where_it_has_one(self, tmp_path: Path, kind: str) -> None:
        task = 'task = "anomaly"' if ARCHITECTURES[kind].reconstructs else ""
        space = search_space(*read(tmp_path, text(f'kind = "{kind}"', task=task)))
        assert [n for n in names(space) if n.endswith((".length", ".blocks", ".layers"))]

    def test_widths_go_from_half_to_one_and_a_half_in_eighths(self, tmp_path: Path) -> None:
        space = search_space(*read(tmp_path, text('kind = "ds_cnn"\nfilters = 64')))
        width = named(space, "architecture.filters")
        assert (width.low, width.high, width.step, width.whole, width.own) == (32, 96, 8, True, 64)
        many = search_space(*read(tmp_path, text('kind = "resnet_8"')))
        scale, length = (named(many, f"architecture.filters.{vary}") for vary in ("scale", "length"))
        assert (scale.low, scale.high, scale.step, scale.own) == (0.5, 1.5, 0.125, 1.0)
        assert (length.low, length.high, length.own) == (2, 4, 3)
        small = search_space(*read(tmp_path, text('kind = "mobilenet_v1"')))
        factor = named(small, "architecture.width")
        assert (factor.low, factor.high, factor.step, factor.whole) == (0.125, 0.375, 0.03125, False)

    def test_the_learning_rate_goes_both_ways_on_a_logarithmic_scale(self, tmp_path: Path) -> None:
        rate = named(search_space(*read(tmp_path, text())), "training.learning_rate")
        assert (rate.low, rate.high, rate.log, rate.whole) == (0.001, 0.009, True, False)
        whole = text().replace("learning_rate = 0.003", "learning_rate = 1")
        rate = named(search_space(*read(tmp_path, whole)), "training.learning_rate")
        assert (rate.low, rate.high, rate.whole) == (0.333333, 3.0, False)

    def test_the_input_grows_and_shrinks_with_the_step_that_decides_its_size(self, tmp_path: Path) -> None:
        image = text('kind = "resnet_8"', '{ op = "resize", height = 32, width = 48 }')
        size = named(search_space(*read(tmp_path, image)), "preprocessing.steps.0.height.scale")
        assert size.keys == ("preprocessing.steps.0.height", "preprocessing.steps.0.width")
        bands = text(
            'kind = "cnn_1d"',
            '{ op = "fft_bands", sample_rate_hz = 100, fft_length = 64, frame_step = 32, bands = 16, high_hz = 50 }',
            kind="series",
        )
        found = named(search_space(*read(tmp_path, bands)), "preprocessing.steps.0.bands")
        assert (found.low, found.high, found.step) == (8, 24, 2)

    def test_what_lies_at_the_end_of_its_range_is_left_out(self, tmp_path: Path) -> None:
        space = search_space(*read(tmp_path, text('kind = "small_cnn"\nfilters = [1024]\ndense = 1')))
        assert names(space) == ["architecture.filters.length", "training.learning_rate"]
        top = named(
            search_space(*read(tmp_path, text("kind = 'ds_cnn'\nfilters = 1000"))), "architecture.filters"
        )
        assert (top.low, top.high, top.own) == (500, 1000, 1000)

    def test_every_shipped_recipe_has_a_space_that_it_lies_in_itself(self) -> None:
        for path in shipped_recipes().values():
            source, document = read_document(path)
            space = search_space(source, document)
            own = own_values(space)
            assert own is not None, path
            assert recipe_with(source, document, space, own) == load_recipe(path)


class TestValues:
    def test_scale_and_length_change_a_list_together(self, tmp_path: Path) -> None:
        source, document = read(tmp_path, text('kind = "resnet_8"\nfilters = [16, 32, 64]'))
        space = search_space(source, document)
        values = {**(own_values(space) or {}), "architecture.filters.scale": 1.5}

        def filters(length: int) -> object:
            drawn = {**values, "architecture.filters.length": length}
            return recipe_with(source, document, space, drawn).architecture.parameters["filters"]

        assert [filters(n) for n in (2, 3, 4)] == [[24, 48], [24, 48, 96], [24, 48, 96, 96]]
        assert document["architecture"]["filters"] == [16, 32, 64]

    def test_one_factor_changes_both_sides_of_an_image(self, tmp_path: Path) -> None:
        source, document = read(
            tmp_path, text('kind = "resnet_8"', '{ op = "resize", height = 32, width = 48 }')
        )
        space = search_space(source, document)
        values = {**(own_values(space) or {}), "preprocessing.steps.0.height.scale": 0.5}
        step = recipe_with(source, document, space, values).preprocessing.steps[0]
        assert named_parameters(step) == {"height": 16, "width": 24}

    def test_a_key_that_the_recipe_does_not_write_gets_its_place(self, tmp_path: Path) -> None:
        entries = (
            '{ key = "training.augmentation.noise", low = 0, high = 1 }, '
            '{ key = "quantization.per_channel_dense", choices = [true, false] }'
        )
        source, document = read(tmp_path, text(search=entries))
        space = search_space(source, document)
        drawn = {"training.augmentation.noise": 0.123456789, "quantization.per_channel_dense": False}
        recipe = recipe_with(source, document, space, drawn)
        assert recipe.training.augmentation.noise == 0.123457
        assert recipe.quantization.per_channel_dense is False

    def test_choices_may_be_lists(self, tmp_path: Path) -> None:
        entry = '{ key = "architecture.filters", choices = [[4, 8], [16, 32, 64]] }'
        source, document = read(tmp_path, text('kind = "resnet_8"', search=entry))
        space = search_space(source, document)
        assert space[0].labels == ("[4, 8]", "[16, 32, 64]")
        assert own_values(space) == {"architecture.filters": "[16, 32, 64]"}
        recipe = recipe_with(source, document, space, {"architecture.filters": "[4, 8]"})
        assert recipe.architecture.parameters["filters"] == [4, 8]

    def test_epochs_are_the_same_for_all(self, tmp_path: Path) -> None:
        source, document = read(tmp_path, text())
        space = search_space(source, document)
        own = own_values(space) or {}
        assert recipe_with(source, document, space, own).training.epochs == 3
        assert recipe_with(source, document, space, own, epochs=1).training.epochs == 1

    def test_values_that_make_no_recipe_together_are_refused(self, tmp_path: Path) -> None:
        entries = ", ".join(
            f'{{ key = "training.pruning.{end}", low = 0.0, high = 1.0 }}' for end in ("begin", "end")
        )
        source, document = read(
            tmp_path, text(search=entries.replace("low = 0.0, high = 1.0", "low = 0.2, high = 0.7"))
        )
        space = search_space(source, document)
        with pytest.raises(ConfigError, match="'begin' must not come after 'end'"):
            recipe_with(source, document, space, {"training.pruning.begin": 0.6, "training.pruning.end": 0.3})

    @given(data=st.data())
    def test_whatever_is_drawn_from_a_shipped_recipe_is_a_recipe(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(shipped_recipes().values())))
        source, document = read_document(path)
        space = search_space(source, document)
        before = json.dumps(document)
        values = {dimension.name: data.draw(drawn_from(dimension)) for dimension in space}
        recipe = recipe_with(source, document, space, values)
        assert json.dumps(document) == before
        written = apply_values(document, space, values)
        assert tomllib.loads(to_toml(written)) == written
        assert recipe.gates == load_recipe(path).gates


def drawn_from(dimension: Dimension) -> st.SearchStrategy[Any]:
    if dimension.choices:
        return st.sampled_from(dimension.labels)
    if dimension.step or dimension.whole:
        step = dimension.step or 1
        count = round((dimension.high - dimension.low) / step)
        places = st.integers(0, count).map(lambda place: dimension.low + place * step)
        return places.map(int) if dimension.whole else places
    return st.floats(dimension.low, dimension.high)


class TestMistakes:
    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (
                '{ key = "architecture.filtres", low = 1, high = 2 }',
                "this recipe has no 'architecture.filtres'",
            ),
            ('{ key = "preprocessing.steps.3.height", low = 1, high = 2 }', "has no 'preprocessing.steps.3'"),
            ('{ key = "training.epochs", low = 1, high = 2 }', "same for all trials: --epochs"),
            ('{ key = "gates.min_auc", low = 0, high = 1 }', "only what lies in data, preprocessing"),
            ('{ key = "architecture.filters", low = 8 }', "needs 'low' and a larger 'high', or 'choices'"),
            ('{ key = "architecture.filters", low = 8, high = 8 }', "needs 'low' and a larger 'high'"),
            ('{ key = "architecture.filters", low = 8.5, high = 12 }', "takes whole numbers only"),
            (
                '{ key = "architecture.filters", low = 8, high = 9999 }',
                "cannot be 9999: 'architecture.filters'",
            ),
            (
                '{ key = "architecture.kernel", low = 1, high = 2 }',
                "give 'choices', vary its scale or length",
            ),
            ('{ key = "data.kind", low = 1, high = 2 }', "is 'image', no number: give 'choices'"),
            (
                '{ key = "architecture.filters", vary = "length", low = 1, high = 2 }',
                "only a list has a length",
            ),
            (
                '{ key = "architecture.kernel", vary = "length", low = 0, high = 2 }',
                "needs at least one item",
            ),
            ('{ key = "architecture.filters", vary = "scale", low = 0, high = 2 }', "a factor above 0"),
            (
                '{ key = "training.learning_rate", low = 0, high = 1, log = true }',
                "a positive 'low' and no step",
            ),
            ('{ key = "training.learning_rate", low = 0.1, high = 1, step = -1 }', "needs a positive step"),
            ('{ key = "data.kind", choices = ["image", "sound"] }', "cannot be 'sound'"),
            ('{ key = "data.kind", choices = ["image", "image"] }', "has a choice twice"),
            ('{ key = "data.kind", choices = ["image"], low = 1 }', "'choices', which go without"),
            ('{ key = "data.kind", chioces = ["image"] }', "did you mean 'choices'"),
            ("{ low = 1 }", "'search.space.key' is missing"),
            (
                '{ key = "architecture.filters", low = 8, high = 9 },\n'
                '{ key = "architecture.filters", low = 8, high = 10 }',
                "varies 'architecture.filters' twice",
            ),
        ],
    )
    def test_each_names_the_line_and_says_what_is_wrong(self, tmp_path: Path, entry: str, words: str) -> None:
        with pytest.raises(ConfigError) as caught:
            search_space(*read(tmp_path, text(search=entry)))
        line = text(search=entry).splitlines().index("space = [") + 1
        assert caught.value.message.startswith(f"{tmp_path / 'recipe.toml'}:{line}: ")
        assert words in caught.value.message

    def test_a_range_that_its_own_value_is_outside_of_is_fine(self, tmp_path: Path) -> None:
        entry = '{ key = "architecture.filters", low = 8, high = 16, step = 5 }'
        space = search_space(*read(tmp_path, text(search=entry)))
        assert (space[0].high, space[0].own) == (13, None)
        assert own_values(space) is None


class TestRecipe:
    def test_what_is_searched_does_not_change_what_a_model_is(self, tmp_path: Path) -> None:
        entry = '{ key = "architecture.filters", low = 8, high = 16 }'
        plain = load_recipe(read(tmp_path, text())[0].path)
        searched = load_recipe(read(tmp_path, text(search=entry))[0].path)
        assert searched.digest == plain.digest
        assert searched.search.space[0].key == "architecture.filters"

    def test_schema_and_documentation_know_it(self) -> None:
        entry = json_schema()["properties"]["search"]["properties"]["space"]["items"]
        assert entry["required"] == ["key"]
        assert entry["properties"]["vary"]["enum"] == ["value", "scale", "length"]
        assert "default" not in entry["properties"]["low"]
        assert "### search.space" in markdown()


class TestToml:
    values = st.recursive(
        st.one_of(
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.text(st.characters(exclude_categories=("Cs",))),
            st.dates(),
        ),
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
        ),
        max_leaves=12,
    )

    @settings(max_examples=50)
    @given(document=st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), values, max_size=4))
    def test_what_is_written_is_read_as_the_same(self, document: dict[str, Any]) -> None:
        assert tomllib.loads(to_toml(document)) == document

    def test_a_recipe_stays_readable(self) -> None:
        document = {
            "a": {"x": [1, 2], "steps": [{"op": "scale", "about": "x" * 90}, {"op": "grey"}]},
            "b": {},
        }
        assert to_toml(document) == (
            '[a]\nx = [1, 2]\nsteps = [\n    { op = "scale", about = "' + "x" * 90 + '" },\n'
            '    { op = "grey" },\n]\n\n[b]\n'
        )
