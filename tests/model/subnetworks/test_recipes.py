"""Settings of the recipes."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from topo_search.model.recipes import (
    ProductRecipe,
    Recipe,
    RescaledRecipe,
    SparseRecipe,
    SvdRecipe,
    SymmetricRecipe,
    TriangularRecipe,
)


class Holder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    recipe: Recipe = SparseRecipe()
    recipes: dict[int, Recipe] = {}


KINDS = {
    "sparse": SparseRecipe,
    "rescaled": RescaledRecipe,
    "symmetric": SymmetricRecipe,
    "product": ProductRecipe,
    "triangular": TriangularRecipe,
    "svd": SvdRecipe,
}


@pytest.mark.parametrize(("kind", "recipe"), KINDS.items())
def test_a_kind_is_its_recipe_and_survives_json(kind, recipe):
    held = Holder.model_validate({"recipe": {"kind": kind, "trainable": True}, "recipes": {64: {"kind": kind}}})
    assert held.recipe == recipe(trainable=True)
    assert held.recipes == {64: recipe()}
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert Holder(recipe=recipe()).recipe == recipe()
    assert not recipe().trainable


def test_settings_without_a_kind_are_sparse():
    assert Holder.model_validate({"recipe": {"density": 0.1}}).recipe == SparseRecipe(density=0.1)
    assert Holder.model_validate({"recipe": {}}).recipe == SparseRecipe(density=0.033, magnitude=6.0, tries=2000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "dense"}, "unknown recipe: expected kind sparse, rescaled"),
        (3, "unknown recipe"),
        (None, "unknown recipe"),
        ({"kind": ["svd"]}, "unknown recipe"),
        ({"kind": "svd", "density": 0.1}, "Extra inputs"),
        ({"kind": "sparse", "density": 0}, "greater than 0"),
        ({"kind": "rescaled", "radius": 1.0}, "less than or equal to 0.99"),
        ({"kind": "symmetric", "lowest": -1}, "greater than or equal to 0"),
        ({"kind": "product", "strength": 0}, "greater than 0"),
        ({"kind": "triangular", "density": 1.5}, "less than or equal to 1"),
        ({"kind": "svd", "spread": float("nan")}, "less than or equal to 5"),
    ],
)
def test_bad_settings_say_what_was_expected(settings, message):
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"recipe": settings})
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert "\n" not in error["msg"]


def test_recipes_are_frozen():
    with pytest.raises(ValidationError):
        SvdRecipe().spread = 2.0


@pytest.mark.parametrize(("kind", "recipe"), KINDS.items())
def test_every_setting_is_documented_with_its_default(kind, recipe):
    page = (Path(__file__).parents[3] / "docs" / "areas.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \| (\S+) \|$", page, re.MULTILINE)
    documented = {name: default for name, kinds, default in rows if f"`{kind}`" in kinds}
    own = {name: field.default for name, field in recipe.model_fields.items() if name not in {"kind", "trainable"}}
    assert documented == {name: str(default) for name, default in own.items()}
