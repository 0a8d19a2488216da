"""From files and `--set` to a recipe, with every problem reported at once."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from levelhead.errors import ConfigError, unknown_name
from levelhead.train.config._problems import field_problems, without
from levelhead.train.config._yaml import Document, YamlProblem, parse
from levelhead.train.config.recipe import BrokenRulesError, Problem, Recipe

__all__ = ["DEFAULT", "BuiltIn", "built_in", "load", "schema"]

DEFAULT = "rloo"
"""The built-in recipe that is run where none is named."""

Path_ = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class BuiltIn:
    """A recipe that comes with the package.

    Attributes:
        name: what `levelhead train NAME` takes.
        about: its first comment line.
        text: the file.
        needs_data: whether it asks for files that do not come with the package.
    """

    name: str
    about: str
    text: str
    needs_data: bool


def built_in() -> dict[str, BuiltIn]:
    """The recipes that come with the package, by name.

    Returns:
        Name -> recipe: the default, the others that need no data, and those that do, each in
        alphabetical order.
    """
    found: dict[str, BuiltIn] = {}
    for file in sorted(_folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            text = file.read_text(encoding="utf-8")
            name = file.name.removesuffix(".yaml")
            about = text.split("\n", 1)[0].lstrip("# ")
            found[name] = BuiltIn(name, about, text, _needs_data(text))
    order = sorted(found.values(), key=lambda one: (one.needs_data, one.name != DEFAULT, one.name))
    return {one.name: one for one in order}


def load(source: str | Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, change single keys of it, and check all of it.

    Args:
        source: a YAML (or JSON) file, or the name of a built-in recipe; None: every default.
        overrides: changes such as `algorithm.estimator=grpo` or `model.lora={rank: 8}`, where what
            follows the `=` is YAML; later ones win. Another `task.kind` drops the options of the old one.

    Returns:
        The recipe.

    Raises:
        ConfigError: there is no such file, or anything in it or in the overrides is wrong; one message
            with every problem, each with its line, its key, what was expected and what was got.

    Edge cases: an empty file is the recipe of defaults; a file wins over a built-in recipe of its name.
    """
    name, text, shipped = _text(source)
    try:
        document = parse(text)
    except YamlProblem as error:
        raise ConfigError(f"{_place(name, error.line)}: {error.text}") from error
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise ConfigError(
            f"{name}: expected a recipe (keys and values), got {_kind_of(value)}; see the schema"
        )
    data = cast(dict[str, Any], value)
    places, problems = _overridden(data, overrides)
    recipe, found = _checked(data)
    sentences = [_sentence(problem, document, places, lined=not shipped) for problem in found]
    lines = [text for _, text in sorted(sentences, key=lambda one: one[0])]
    lines += [f"--set {text}" for text in problems]
    if lines or recipe is None:
        raise _error(name, lines)
    return recipe


def schema() -> dict[str, Any]:
    """The JSON schema of recipes, for editors: types, ranges, defaults and descriptions.

    Returns:
        A JSON schema (draft 2020-12).
    """
    found = Recipe.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _needs_data(text: str) -> bool:
    """Whether its task reads files of the user's."""
    task = cast(dict[str, Any], parse(text).value).get("task")
    return _mapping(task) and "path" in cast(dict[str, Any], task)


def _folder() -> Traversable:
    return resources.files("levelhead.train") / "recipes"


def _text(source: str | Path | None) -> tuple[str, str, bool]:
    """What to call a source in messages, its text, and whether it comes with the package."""
    if source is None:
        return "recipe", "", False
    path = Path(source)
    plain = path.suffix == "" and len(path.parts) == 1
    if plain and not path.is_file():
        names = built_in()
        if str(source) not in names:
            problem = str(unknown_name("recipe", str(source), names))
            raise ConfigError(f"{problem} (or give the path of a YAML file)")
        return f"built-in recipe {source}", names[str(source)].text, True
    try:
        return str(source), path.read_text(encoding="utf-8"), False
    except OSError as error:
        hint = f"; did you mean the built-in recipe {path.stem}?" if path.stem in built_in() else ""
        raise ConfigError(f"{path}: cannot read this recipe: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text in UTF-8, got other bytes: {error}") from error


def _overridden(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[Path_, str], list[str]]:
    """Apply changes to the data in place: which key each one set, and which could not be applied."""
    places: dict[Path_, str] = {}
    problems: list[str] = []
    parsed: list[tuple[Path_, Any, str]] = []
    for text in overrides:
        key, equals, written = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        if not equals or not all(path):
            problems.append(f"{text}: expected KEY=VALUE, e.g. optimizer.lr=1e-4")
            continue
        try:
            parsed.append((path, parse(written).value, text))
        except YamlProblem as error:
            problems.append(f"{text}: {error.text}; put text in quotes")
    # The kind first: it decides which other keys the task has.
    parsed.sort(key=lambda one: one[0] != ("task", "kind"))
    for path, value, text in parsed:
        if path == ("task", "kind"):
            task = data.get("task")
            old = cast(dict[str, Any], task).get("kind", "survey") if _mapping(task) else None
            if old != value:
                data["task"] = {}
        problem = _assign(data, path, value)
        if problem:
            problems.append(f"{text}: {problem}")
        places[path] = text
    return places, problems


def _assign(data: dict[str, Any], path: Path_, value: Any) -> str | None:
    inner: dict[str, Any] = data
    for depth, part in enumerate(path[:-1]):
        if inner.get(part) is None:
            inner[part] = {}
        if not _mapping(inner[part]):
            return f"{'.'.join(path[: depth + 1])} is no section, got {inner[part]!r} there"
        inner = inner[part]
    inner[path[-1]] = value
    return None


def _checked(data: dict[str, Any]) -> tuple[Recipe | None, tuple[Problem, ...]]:
    """The recipe, or everything that is wrong: with single keys, and between those that are right."""
    task = data.get("task")
    if _mapping(task) and "kind" not in cast(dict[str, Any], task):
        data = {**data, "task": {"kind": "survey", **cast(dict[str, Any], task)}}
    recipe, fields, broken = _validated(data)
    if not fields:
        return recipe, broken
    wrong = tuple(problem.key for problem in fields)
    _, still, broken = _validated(without(data, wrong))
    apart = [one for one in broken if not _touches(one, wrong)] if not still else []
    return None, (*fields, *apart)


def _validated(
    data: Mapping[str, Any],
) -> tuple[Recipe | None, tuple[Problem, ...], tuple[Problem, ...]]:
    """The recipe, the problems of single keys, and the rules that do not hold."""
    try:
        # As JSON, in which a list may become a tuple though nothing else is converted.
        return Recipe.model_validate_json(json.dumps(data)), (), ()
    except ValidationError as error:
        broken: tuple[Problem, ...] = ()
        for one in error.errors(include_url=False):
            cause = one.get("ctx", {}).get("error")
            if isinstance(cause, BrokenRulesError):
                broken = cause.problems
        return None, field_problems(error, data), broken


def _touches(problem: Problem, wrong: Sequence[str]) -> bool:
    keys = (problem.key, *problem.others)
    return any(f"{key}.".startswith(f"{bad}.") for key in keys for bad in wrong)


def _sentence(
    problem: Problem, document: Document, places: Mapping[Path_, str], *, lined: bool
) -> tuple[float, str]:
    """A problem with the line or the change that it comes from, and where it stands among all."""
    path = tuple(problem.key.split("."))
    for end in range(len(path), 0, -1):
        if path[:end] in places:
            return math.inf, f"--set {places[path[:end]]}: {problem}"
    for set_path, text in places.items():
        if set_path[: len(path)] == path:
            return math.inf, f"--set {text}: {problem}"
    for end in range(len(path), 0, -1):
        if path[:end] in document.lines:
            line = document.lines[path[:end]]
            # Nobody sees the lines of a file inside of the package.
            return line, f"line {line}: {problem}" if lined else str(problem)
    return 0.0, str(problem)


def _error(name: str, lines: Sequence[str]) -> ConfigError:
    if len(lines) == 1:
        return ConfigError(f"{name}: {lines[0]}")
    return ConfigError(f"{name}: {len(lines)} problems:" + "".join(f"\n  {one}" for one in lines))


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}: line {line}"


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _kind_of(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"{value!r}"
