"""The content that people edit without touching code: cards, schemas, layouts, recipes, and the numbers of originals.

In a checkout the folders lie beside the package; in a wheel they lie inside it, as `curate/_content/`. Both are found the
same way, through `importlib.resources`, so a zipped wheel works as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from curate.errors import CurateError, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Kind = Literal["annotators", "schemas", "pipelines", "golden"]

_IN_CHECKOUT = {"golden": "tests/golden"}
"""Where a kind lies in a checkout, if not in a folder of its name beside the package."""

MAX_YAML_BYTES = 1 << 20
MAX_YAML_ALIASES = 64


def content(kind: Kind) -> Traversable:
    """The folder of one kind of content: the installed one first, else the checkout's."""
    packaged = files("curate").joinpath("_content", kind)
    if packaged.is_dir():
        return packaged
    beside = Path(str(files("curate"))).parent / _IN_CHECKOUT.get(kind, kind)
    if beside.is_dir():
        return beside
    raise CurateError(f"the folder {kind}/ is missing from this installation of curate; reinstall curate-preferences")


def content_files(kind: Kind, folder: str, suffix: str) -> list[Traversable]:
    """The files below one folder of the content that end in `suffix`, sorted by path; empty when there is no such folder."""
    found: list[tuple[str, Traversable]] = []

    def walk(place: Traversable, path: str) -> None:
        for entry in place.iterdir():
            name = f"{path}/{entry.name}"
            if entry.is_dir():
                walk(entry, name)
            elif entry.name.endswith(suffix):
                found.append((name, entry))

    start = content(kind)
    for part in filter(None, folder.split("/")):
        start = start.joinpath(part)
    if start.is_dir():
        walk(start, "")
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def parse_yaml(text: str, *, where: str, error: type[CurateError]) -> dict[str, Any]:
    """The mapping that a YAML document holds, read without running anything.

    No tags that make objects, no duplicate keys, few aliases (so no alias bombs), bounded size. Whatever is wrong is raised
    as `error` with `where`, the line and the reason.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    if len(text) > MAX_YAML_BYTES:
        raise error(f"{where}: larger than {MAX_YAML_BYTES} bytes")
    try:
        aliases = sum(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
        if aliases > MAX_YAML_ALIASES:
            raise error(f"{where}: more than {MAX_YAML_ALIASES} aliases")
        value = yaml.load(text, Loader)  # safe: Loader is a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(problem, "problem", None) or str(problem).split("\n")[0]
        raise error(f"{where}{line}: {reason}") from problem
    if not isinstance(value, dict):
        raise error(f"{where}: expected a mapping of fields, found {type(value).__name__}")
    return value


_SAID = {
    "extra_forbidden": "there is no such field",
    "missing": "it is missing",
    "model_type": "it should be a mapping of fields",
    "dict_type": "it should be a mapping",
}
"""What pydantic's kinds of errors are called here; its own words speak of inputs and dictionaries."""


def complaint(
    problem: ValidationError,
    model: type[BaseModel],
    *,
    where: str,
    under: tuple[str, ...] = (),
    shapes: Mapping[str, str] | None = None,
) -> str:
    """What pydantic found wrong, as one sentence: the file, the field (below `under`), why, and the nearest to an unknown one.

    `shapes` says in words what texts look like that match a regular expression of the model.
    """
    first = problem.errors(include_url=False)[0]
    path = first["loc"]
    place = ".".join((*under, *map(str, path)))
    more = f" (and {problem.error_count() - 1} more)" if problem.error_count() > 1 else ""
    hint = f" {nearest(str(path[-1]), _fields_at(model, path[:-1]))}" if first["type"] == "extra_forbidden" else ""
    field = f", field '{place}'" if place else ""
    return f"{where}{field}: {_why(first, shapes or {})}{more}.{hint}".rstrip()


def _why(error: ErrorDetails, shapes: Mapping[str, str]) -> str:
    if error["type"] in _SAID:
        return _SAID[error["type"]]
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return f"{str(error['input'])[:80]!r} should be {shapes.get(pattern, f'like {pattern}')}"
    words = error["msg"].removeprefix("Value error, ")
    return f"it{words.removeprefix('Input')}" if words.startswith("Input ") else words


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that may stand at `path`, as they are written: through sub-models, and lists and mappings of them."""
    models = [model]
    for part in path:
        fields = (field for one in models for name, field in one.model_fields.items() if part == (field.alias or name))
        # A key, an index or the tag of a union leads to no other models.
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
