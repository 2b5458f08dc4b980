"""What the settings of a search share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from topo_search.graph import FAMILIES

__all__ = ["Count", "FamilyDraw", "Settings", "Share", "Weight"]

Count = Annotated[int, Field(ge=1, strict=True)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Settings(BaseModel):
    """Immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FamilyDraw(Settings):
    """A graph family that starting graphs are drawn from, with a weight against the other families of the list."""

    family: str
    weight: Weight = 1.0
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("family")
    @classmethod
    def _known(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}: expected one of {', '.join(sorted(FAMILIES))}")
        return family
