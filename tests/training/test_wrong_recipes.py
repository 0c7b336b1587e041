"""What is wrong with a recipe once its data is there: file, line, key and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_models import small_recipe

from edgeops.control.training_jobs import check_targets
from edgeops.core.errors import ConfigError
from edgeops.training.architectures.build import build
from edgeops.training.recipe.wrong import wrong


def test_an_architecture_for_other_inputs_names_those_that_would_do(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "resnet_8")
    with pytest.raises(ConfigError) as caught:
        build(recipe, None, (32, 2), 3)
    line = 1 + recipe.path.read_text().splitlines().index('kind = "resnet_8"')
    assert caught.value.message.startswith(f"{recipe.path}:{line}: 'resnet_8' takes inputs of 3 dimensions")
    assert caught.value.fields["key"] == "architecture.kind"
    assert caught.value.fix == (
        "set architecture.kind to cnn_1d or dense, or preprocessing.steps that give 3 dimensions"
    )


def test_a_target_that_nobody_knows_is_a_matter_of_the_recipe(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "dense", '[targets]\nnames = ["rp2040", "stm32l4r"]\n')
    with pytest.raises(ConfigError, match="did you mean 'stm32l4r5'") as caught:
        check_targets(recipe)
    line = 1 + recipe.path.read_text().splitlines().index('names = ["rp2040", "stm32l4r"]')
    assert caught.value.fields["line"] == line
    assert caught.value.fix is not None and "'targets.names'" in caught.value.fix


def test_a_recipe_whose_file_is_gone_is_still_named(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "dense")
    recipe.path.unlink()
    error = wrong(recipe, "training.epochs", "it is wrong", value=3)
    assert error.message == f"{recipe.path}: it is wrong"
    assert error.fix == f"correct 'training.epochs' in {recipe.path}"
    assert error.fields["value"] == 3
