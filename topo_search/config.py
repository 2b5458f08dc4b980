"""Search spaces from YAML: found by name or path, overridden from the command line, refused in one line."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topo_search.errors import InputError
from topo_search.files import read_bytes
from topo_search.search.space import SearchSpace

__all__ = ["apply_overrides", "load_space", "parse_run", "parse_space", "shipped_spaces", "space_to_yaml"]

DEFAULT_SPACE = "digits"
RUN_KEY = "run"
MAX_BYTES = 1 << 20
# Reading takes up to 0.1 ms a value.
MAX_VALUES = 50_000
# A space has eight levels at most.
MAX_DEPTH = 40


class _RunSection(BaseModel):
    """What a run's space.yaml says of the run; entries of later versions are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)

    seed: int = Field(ge=0)
    budget: int = Field(ge=1)
    study: str = Field(min_length=1, max_length=255)
    storage: str | None = None
    device: str | None = None
    engine: str | None = None
    data_dir: str | None = None


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML of plain values: no tag, no alias, no date, no key that is a collection or stands twice."""

    # A copy, since the class above shares its own with every other reader of YAML in the process.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "expected a name as key", key_node.start_mark)
            key = self.construct_object(key_node)
            # As JSON has it, where 1 and "1" are one key.
            name = key if isinstance(key, str) else json.dumps(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not used here", mark)
        if event.tag is not None:
            raise yaml.constructor.ConstructorError(None, None, "tags are not used here", mark)
        self._values += 1
        if self._values > MAX_VALUES:
            raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_VALUES} values", mark)
        if self._depth == MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_DEPTH} levels", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _spaces_folders() -> list[Path]:
    package = Path(__file__).resolve().parent
    # In a wheel the spaces lie inside the package; in a clone or an editable install, beside it.
    return [folder for folder in (package / "search_spaces", package.parent / "search_spaces") if folder.is_dir()]


def shipped_spaces() -> dict[str, Path]:
    """The search spaces that come with the program, by name."""
    found: dict[str, Path] = {}
    for folder in _spaces_folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def _plain_values(text: str) -> Any:
    """What YAML stands for, in JSON's types.

    Raises:
        yaml.YAMLError: if it is not YAML, or more of it than a space can need.
        ValueError: if a number has thousands of digits.
    """
    return json.loads(json.dumps(yaml.load(text, Loader=_StrictLoader)))


def _read_yaml(content: bytes, where: str) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise InputError(f"{where}: expected at most {MAX_BYTES} bytes of YAML, got {len(content)}")
    try:
        value = _plain_values(content.decode())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{where}{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a mapping of entries such as name and task, got {type(value).__name__}")
    return value


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models inside a field's annotation: itself, the choices of a union, the items of a container."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [model for argument in get_args(annotation) for model in _models_of(argument)]


def _entries_at(location: Sequence[int | str]) -> list[str]:
    """Names of the entries that may stand at a place in a space."""
    models: list[type[BaseModel]] = [SearchSpace]
    for part in location:
        if isinstance(part, int):
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        # Errors in a union name the choice by its kind.
        chosen = [
            model for model in models if "kind" in model.model_fields and model.model_fields["kind"].default == part
        ]
        models = [model for field in fields for model in _models_of(field.annotation)] or chosen
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _describe(error: Any) -> str:
    """One pydantic error as one line: where, if not the whole space, what was wrong, what was expected."""
    location = error["loc"]
    where = ".".join(str(part) for part in location)
    problem = _problem(error)
    return f"{where}: {problem}" if where else problem


def _problem(error: Any) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _entries_at(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected some of {', '.join(known)}"
        return f"unknown entry; {hint}"
    if error["type"] == "missing":
        return "missing entry"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return str(message)
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        known = _entries_at(location)
        message = (
            f"expected a section with {'entries such as ' + ', '.join(known[:3]) if known else 'names and values'}"
        )
    # As YAML has it, of which the value was read.
    given = "nothing" if error["input"] is None else repr(error["input"])
    return f"{message}" if len(given) > 60 else f"{message[0].lower()}{message[1:]}, got {given}"


def _plain_leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Values that are no containers, each with its place."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _plain_leaves(item, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def _blamed(where: str, location: Sequence[int | str], overrides: Sequence[str]) -> str:
    """The beginning of a message on an entry: where it is from, which may be ``--set``."""
    parts = [str(part) for part in location]
    places = [_resolve_key(override.partition("=")[0].strip()) for override in overrides]
    for place in places:
        # Between the parts of a place stand the kinds of unions.
        rest = iter(parts)
        if all(part in rest for part in place):
            return "--set "
    near = any(list(place[: len(parts)]) == parts for place in places)
    return f"{where} with --set: " if near else f"{where}: "


def parse_space(values: dict[str, Any], *, where: str, overrides: Sequence[str] = ()) -> SearchSpace:
    """A validated space from plain values.

    Args:
        values: entries; ``run``, which resolved spaces carry, is passed over.
        where: file or place, for messages.
        overrides: ``key=value`` each, that were put into the values; for messages.

    Raises:
        InputError: in one line, for the first entry that is wrong; how many more there are is said.
    """
    try:
        space = SearchSpace.model_validate({key: value for key, value in values.items() if key != RUN_KEY})
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{_blamed(where, problems[0]['loc'], overrides)}{_describe(problems[0])}{more}") from None
    except InputError as error:
        raise InputError(f"{_blamed(where, (), overrides)}{error}") from None
    for place, value in _plain_leaves(space.model_dump()):
        if isinstance(value, float) and not math.isfinite(value):
            # Written to space.yaml it would be read as another value.
            blamed = _blamed(where, place.split("."), overrides)
            raise InputError(f"{blamed}{place}: expected a finite number, got {value}")
    return space


def parse_run(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The section ``run`` of a resolved space, as it stands there, checked.

    Args:
        values: entries of the space.
        where: file or place, for messages.

    Raises:
        InputError: if there is none, or an entry that a search goes on from is missing or of another type.
    """
    run = values.get(RUN_KEY)
    if not isinstance(run, dict):
        raise InputError(f"{where}: it has no section run: expected the space.yaml that evolve left behind")
    try:
        _RunSection.model_validate(run)
    except ValidationError as error:
        raise InputError(f"{where}: {RUN_KEY}.{_describe(error.errors(include_url=False)[0])}") from None
    return run


def _leaves(models: Sequence[type[BaseModel]], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Places of all entries, through sections; those of a union's choices stand once."""
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    for name, field in fields.items():
        yield (*prefix, name)
        if get_origin(field.annotation) in (None, Annotated, Union, UnionType):
            yield from _leaves(_models_of(field.annotation), (*prefix, name))


def _resolve_key(key: str) -> tuple[str, ...]:
    """The full place of an override's key: a dotted path, or the bare name of an entry that exists once."""
    parts = tuple(key.split("."))
    places = list(_leaves([SearchSpace]))
    if parts[0] in SearchSpace.model_fields:
        return parts
    matches = [place for place in places if place[-len(parts) :] == parts]
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(".".join(place) for place in matches)
        raise InputError(f"--set {key}: the name stands for several entries, expected {choices}")
    # A bare name is compared with bare names, a path with whole paths and with ends of the same length.
    known = [place[-len(parts) :] for place in places] + (places if len(parts) > 1 else [])
    close = difflib.get_close_matches(key, [".".join(place) for place in known], n=1)
    hint = f"did you mean {close[0]!r}?" if close else "expected an entry of the space such as training.epochs"
    raise InputError(f"--set {key}: unknown entry; {hint}")


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain values with ``key=value`` overrides put in; values are read as YAML.

    Args:
        values: entries of a space; not changed.
        overrides: such as ``training.batch_size=32``, or ``stability=unconstrained`` where the bare name is unique.

    Raises:
        InputError: if an override is not ``key=value``, its key is unknown or ambiguous, or its value is not YAML.
    """
    result: dict[str, Any] = json.loads(json.dumps(values))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {override}: expected key=value, for example training.batch_size=32")
        place = _resolve_key(key.strip())
        try:
            value = _plain_values(text)
        except (yaml.YAMLError, ValueError):
            raise InputError(f"--set {override}: expected a YAML value, got {text!r}") from None
        target: Any = result
        for part in place[:-1]:
            index: Any = int(part) if isinstance(target, list) and part.isdigit() else part
            if isinstance(target, list) and (not isinstance(index, int) or index >= len(target)):
                raise InputError(f"--set {key}: {part!r} is not one of the {len(target)} entries of the list")
            if isinstance(target, dict):
                target.setdefault(index, {})
            target = target[index]
            if not isinstance(target, dict | list):
                raise InputError(f"--set {key}: {part} is a value, expected a section")
        last: Any = place[-1]
        if isinstance(target, list):
            if not last.isdigit() or int(last) >= len(target):
                raise InputError(f"--set {key}: {last!r} is not one of the {len(target)} entries of the list")
            last = int(last)
        target[last] = value
    return result


def load_space(name_or_path: str | Path = DEFAULT_SPACE, *, overrides: Sequence[str] = ()) -> SearchSpace:
    """A search space by name or from a file, with overrides.

    Args:
        name_or_path: name of a shipped space, or a YAML file (a resolved ``space.yaml`` of a run too).
        overrides: ``key=value`` each, see :func:`apply_overrides`.

    Raises:
        InputError: if there is no such space, or an entry is wrong; in one line, with the place.
    """
    values, where = read_space_file(name_or_path)
    return parse_space(apply_overrides(values, overrides), where=where, overrides=overrides)


def read_space_file(name_or_path: str | Path) -> tuple[dict[str, Any], str]:
    """Plain values of a space, and where they are from.

    Raises:
        InputError: if there is no such space or it is not a YAML mapping.
    """
    text = str(name_or_path)
    shipped = shipped_spaces()
    path = Path(text)
    if text in shipped and not path.is_file():
        path = shipped[text]
    elif not path.exists():
        known = ", ".join(shipped) or "none"
        raise InputError(f"no search space {text!r}: expected a YAML file or one of {known}")
    # The path of a shipped space is nothing that a person has written.
    where = f"search space {text}"
    return _read_yaml(read_bytes(path, "search space"), where), where


def space_to_yaml(space: SearchSpace, run: dict[str, Any] | None = None) -> str:
    """A resolved space as YAML that :func:`load_space` reads back; ``run`` holds seed, versions and the like."""
    values = space.model_dump(mode="json")
    if run is not None:
        values[RUN_KEY] = run
    return yaml.safe_dump(values, sort_keys=False, width=110, default_flow_style=None)
