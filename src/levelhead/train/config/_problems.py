"""From pydantic's errors to our sentences: key, expected, got, and the key that was probably meant."""

from __future__ import annotations

import copy
import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from levelhead.tasks import TABLE as TASKS
from levelhead.train.config.recipe import BrokenRulesError, Problem, Recipe

__all__ = ["field_problems", "leaves", "model_at", "without"]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a section (keys and values)",
    "model_type": "a section (keys and values)",
    "model_attributes_type": "a section (keys and values)",
    "string_too_short": "text that is not empty",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "at most {le:g}",
}
"""What each of pydantic's errors expected, with the numbers of its context."""

MAX_SHOWN = 80


def field_problems(error: ValidationError, data: Mapping[str, Any]) -> tuple[Problem, ...]:
    """The problems of single keys, in the order in which pydantic met them.

    Args:
        error: what the validation of a recipe raised.
        data: what was validated.

    Returns:
        One problem for each error, without those of the rules between sections.
    """
    found: dict[str, list[Problem]] = {}
    for one in error.errors(include_url=False):
        if not isinstance(one.get("ctx", {}).get("error"), BrokenRulesError):
            problem = _problem(cast(dict[str, Any], one), data)
            found.setdefault(problem.key, []).append(problem)
    return tuple(_joined(problems) for problems in found.values())


def _problem(one: Mapping[str, Any], data: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors in our words."""
    context: dict[str, Any] = one.get("ctx", {})
    path, kind, got = _path(one["loc"], data), str(one["type"]), _shown(one["input"])
    key = ".".join(path)
    if kind == "extra_forbidden":
        return Problem(key, _unknown(path, data))
    if kind == "missing":
        return Problem(key, "expected a value, got none; it has no default")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return Problem(f"{key}.kind", _kind(one["input"]))
    if kind == "value_error":
        return _own(path, str(context["error"]), data)
    if kind == "literal_error":
        names = _choices(str(context["expected"]))
        near = difflib.get_close_matches(str(one["input"]), names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return Problem(key, f"expected one of {', '.join(names)}, got {got}{hint}")
    if kind in _EXPECTED:
        return Problem(key, f"expected {_EXPECTED[kind].format(**context)}, got {got}")
    return Problem(key, f"{one['msg']}, got {got}")


def _joined(problems: Sequence[Problem]) -> Problem:
    """One problem for a key that may be of several types, none of which it is."""
    first = problems[0]
    heads = [problem.text.rpartition(", got ")[0] for problem in problems]
    if len(problems) == 1 or not all(head.startswith("expected ") for head in heads):
        return first
    either = " or ".join(dict.fromkeys(head.removeprefix("expected ") for head in heads))
    return Problem(first.key, f"expected {either}, got {first.text.rpartition(', got ')[2]}")


def without(data: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """A copy without some keys, so that the rest can be checked; of a wrong task nothing is left.

    Args:
        data: a recipe.
        keys: dotted; those that are not there are passed over.

    Returns:
        The copy.
    """
    kept = copy.deepcopy(dict(data))
    for key in keys:
        path = key.split(".")
        if path[0] == "task":
            kept.pop("task", None)
            continue
        inner: Any = kept
        for part in path[:-1]:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            cast(dict[str, Any], inner).pop(path[-1], None)
    return kept


def model_at(path: Sequence[str], data: Mapping[str, Any]) -> type[BaseModel] | None:
    """The section that a path leads to.

    Args:
        path: keys from the top.
        data: the recipe, for the kind of its task.

    Returns:
        The model of the section; None where there is none.
    """
    model: type[BaseModel] = Recipe
    for depth, part in enumerate(path):
        field = model.model_fields.get(part)
        if field is None:
            return None
        if depth == 0 and part == "task":
            task = data.get("task")
            kind = cast(dict[str, Any], task).get("kind") if isinstance(task, dict) else "survey"
            if kind not in TASKS:
                return None
            model = TASKS[str(kind)].options
            continue
        inner = _section(field.annotation)
        if inner is None:
            return None
        model = inner
    return model


def leaves(
    model: type[BaseModel] = Recipe, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Every key that holds a value, as a path; the options of tasks are not among them.

    Args:
        model: where to begin.
        path: what leads there.

    Yields:
        Paths.
    """
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            yield from leaves(inner, (*path, name))
        elif (*path, name) != ("task",):
            yield (*path, name)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `Lora` or `Lora | None`; none in a union of several."""
    members = [one for one in (*typing.get_args(annotation), annotation) if isinstance(one, type)]
    models = [one for one in members if issubclass(one, BaseModel)]
    return models[0] if len(models) == 1 else None


def _path(loc: Sequence[int | str], data: Mapping[str, Any]) -> tuple[str, ...]:
    """A location without what pydantic adds: the kind of a task, the member of a union."""
    parts = list(loc)
    if len(parts) > 1 and parts[0] == "task" and parts[1] in TASKS:
        del parts[1]
    path: list[str] = []
    inner: Any = data
    for part in parts:
        if not isinstance(inner, list if isinstance(part, int) else dict):
            break  # the rest names members of a union
        path.append(str(part))
        if isinstance(inner, list):
            items = cast(list[Any], inner)
            inner = items[int(part)] if int(part) < len(items) else None
        else:
            inner = cast(dict[Any, Any], inner).get(part)
    return tuple(path)


def _unknown(path: tuple[str, ...], data: Mapping[str, Any]) -> str:
    model, name = model_at(path[:-1], data), path[-1]
    known = list(model.model_fields) if model is not None else []
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown key; did you mean {'.'.join((*path[:-1], near[0]))!r}?"
    elsewhere = [".".join(leaf) for leaf in leaves() if leaf[-1] == name]
    if elsewhere:
        return f"unknown key; did you mean {' or '.join(map(repr, elsewhere))}?"
    close = difflib.get_close_matches(".".join(path), [".".join(leaf) for leaf in leaves()], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown key, expected one of {', '.join(known)}{hint}"


def _kind(value: Any) -> str:
    name = cast(dict[str, Any], value).get("kind") if isinstance(value, dict) else value
    near = difflib.get_close_matches(str(name), list(TASKS), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"expected one of {', '.join(TASKS)}, got {_shown(name)}{hint}"


def _own(path: tuple[str, ...], text: str, data: Mapping[str, Any]) -> Problem:
    """A sentence of a validator of ours; one of a whole section may begin with its key."""
    key, colon, rest = text.partition(": ")
    section = model_at(path, data)
    if colon and section is not None and key in section.model_fields:
        return Problem(".".join((*path, key)), rest)
    return Problem(".".join(path), text)


def _choices(expected: str) -> list[str]:
    return expected.replace("'", "").replace(" or ", ", ").split(", ")


def _shown(value: Any) -> str:
    words = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
