"""Every error keeps its text, its standard base and its attributes across a process boundary."""

from __future__ import annotations

import pickle

import pytest

from levelhead import errors
from levelhead.errors import (
    ConfigError,
    InvalidInputError,
    LevelheadError,
    MissingDependencyError,
    RecordError,
    unknown_name,
)

EXAMPLES = [
    InvalidInputError("n_bins: expected at least 1, got 0"),
    ConfigError("two problems"),
    RecordError("expected a number, got 'x'"),
    RecordError("expected a number, got 'x'", "runs/a.jsonl"),
    RecordError("expected a number, got 'x'", "runs/a.jsonl", 7),
    MissingDependencyError("reading .man files", "polygraph"),
]


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        (InvalidInputError, ValueError),
        (ConfigError, ValueError),
        (RecordError, ValueError),
        (MissingDependencyError, ImportError),
    ],
)
def test_each_error_is_both_ours_and_standard(
    kind: type[Exception], standard: type[Exception]
) -> None:
    assert issubclass(kind, LevelheadError)
    assert issubclass(kind, standard)


@pytest.mark.parametrize("error", EXAMPLES, ids=str)
def test_pickling_keeps_the_type_the_text_and_the_attributes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("path", "line", "text"),
    [
        (None, None, "bad"),
        ("runs/a.jsonl", None, "runs/a.jsonl: bad"),
        ("runs/a.jsonl", 7, "runs/a.jsonl:7: bad"),
    ],
)
def test_record_error_starts_with_the_place(path: str | None, line: int | None, text: str) -> None:
    assert str(RecordError("bad", path, line)) == text


def test_missing_dependency_names_the_feature_and_the_command() -> None:
    assert str(MissingDependencyError("reading .man files", "polygraph")) == (
        "reading .man files needs an optional dependency; "
        "install it with: pip install 'levelhead[polygraph]'"
    )


def test_unknown_name_lists_the_choices_in_order_and_the_nearest() -> None:
    error = unknown_name("metric", "aurok", ["ece", "auroc", "brier"])
    assert isinstance(error, InvalidInputError)
    assert str(error) == (
        "metric: expected one of auroc, brier, ece, got 'aurok'; did you mean 'auroc'?"
    )


def test_unknown_name_suggests_nothing_where_nothing_is_near() -> None:
    assert str(unknown_name("metric", "xyz", ["ece"])) == "metric: expected one of ece, got 'xyz'"


def test_everything_public_is_listed() -> None:
    public = {
        name
        for name, value in vars(errors).items()
        if getattr(value, "__module__", None) == errors.__name__ and not name.startswith("_")
    }
    assert public == set(errors.__all__)
