"""A real prediction task in words: Fair's survey of marriages, which ships with statsmodels.

In the 1970s a magazine asked its readers about their marriages; 6,366 women are in the file.
Whether one of them reported an affair is uncertain whatever is known of her: a logistic
regression on the eight answers reaches an AUROC of 0.74 at a rate of 32%. So the best that a model
can do is to state honest probabilities, and nobody can be right by being bold.

Reference: Fair, R. (1978), A theory of extramarital affairs, Journal of Political Economy 86, 45-61.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pyarrow import ArrowInvalid
from pyarrow import csv as arrow_csv
from pydantic import Field

from levelhead._optional import optional_import
from levelhead.errors import InvalidInputError, RecordError
from levelhead.tasks._base import (
    Options,
    Prompt,
    Task,
    TaskKind,
    event_task,
    shuffled,
    user_message,
)

__all__ = ["FEATURES", "KIND", "SurveyOptions", "build", "describe"]

FEATURES = (
    "rate_marriage",
    "age",
    "yrs_married",
    "children",
    "religious",
    "educ",
    "occupation",
    "occupation_husb",
)
"""The columns of the survey that the prompt tells."""

ROWS = 6366

AGE = {
    17.5: "in her teens",
    22.0: "in her early twenties",
    27.0: "in her late twenties",
    32.0: "in her early thirties",
    37.0: "in her late thirties",
    42.0: "forty or older",
}
YEARS_MARRIED = {
    0.5: "less than a year",
    2.5: "two or three years",
    6.0: "about six years",
    9.0: "about nine years",
    13.0: "about thirteen years",
    16.5: "about sixteen years",
    23.0: "about twenty-three years",
}
CHILDREN = {
    0.0: "no children",
    1.0: "one child",
    2.0: "two children",
    3.0: "three children",
    4.0: "four children",
    5.5: "five or more children",
}
RELIGIOUS = {
    1.0: "not religious",
    2.0: "mildly religious",
    3.0: "fairly religious",
    4.0: "strongly religious",
}
MARRIAGE = {1.0: "very poor", 2.0: "poor", 3.0: "fair", 4.0: "good", 5.0: "very good"}
EDUCATION = {
    9.0: "finished grade school",
    12.0: "finished high school",
    14.0: "attended some college",
    16.0: "graduated from college",
    17.0: "did some graduate study",
    20.0: "holds an advanced degree",
}
OCCUPATION = {
    1.0: "is a student",
    2.0: "does farm or unskilled work",
    3.0: "does white-collar work",
    4.0: "is a teacher, nurse or skilled worker",
    5.0: "works in management or business",
    6.0: "is a professional with an advanced degree",
}
WORDS = dict(
    zip(
        FEATURES,
        (MARRIAGE, AGE, YEARS_MARRIED, CHILDREN, RELIGIOUS, EDUCATION, OCCUPATION, OCCUPATION),
        strict=True,
    )
)

PROMPT = (
    "A married woman answered a magazine survey in the 1970s. She is {age}, married for "
    "{yrs_married}, with {children}. She is {religious}, rates her marriage as {rate_marriage} and "
    "{educ}. She {occupation}; her husband {occupation_husb}. How likely is it that she reported "
    "an affair? Answer with a percentage from 1 to 99 in <answer></answer> tags."
)


class SurveyOptions(Options):
    """Options of the survey task."""

    kind: Literal["survey"] = "survey"
    """Which kind of task this is."""
    evaluation: int = Field(default=2000, ge=1, le=6000)
    """Rows that are held out; the others of the 6,366 (of 4,106, balanced) are trained on."""
    train: int | None = Field(default=None, ge=1)
    """Rows to train on, of those that are not held out; null takes all of them."""
    balanced: bool = False
    """As many women who reported an affair (all 2,053) as who did not (drawn by the seed)."""
    seed: int = 0
    """Seed of the split into training and evaluation rows."""


def build(options: SurveyOptions) -> Task:
    """The survey as a task: P(she reported an affair) from eight answers in words.

    Args:
        options: the split.

    Returns:
        An event task. `columns` of a prompt hold the numbers of the eight features, so that a
        regression can be fitted to the same rows. Both parts are shuffled and have the same rate of
        affairs, to a row.

    Raises:
        MissingDependencyError: statsmodels is not installed.
        InvalidInputError: more rows are to be held out than there are.
        RecordError: its copy of the survey is not the one that is known.

    Reference: Fair 1978.
    """
    # The file is sorted by outcome; shuffled, any beginning of a part is a sample of it.
    rows = list(enumerate(_rows()))
    order = shuffled(rows, options.seed, key=lambda row: row[0])
    prompts = [_prompt(i, row) for i, row in order]
    happened = int(sum(p.outcome or 0.0 for p in prompts))
    if options.balanced:
        kept = {p.prompt_id for p in [p for p in prompts if not p.outcome][:happened]}
        prompts = [p for p in prompts if p.outcome or p.prompt_id in kept]
    if options.evaluation >= len(prompts):
        raise InvalidInputError(
            f"task.evaluation: expected fewer than the {len(prompts)} rows that there are, got "
            f"{options.evaluation}; nothing would be left to train on"
        )
    train: list[Prompt] = []
    evaluation: list[Prompt] = []
    held_out = round(options.evaluation * happened / len(prompts))
    room = {1.0: held_out, 0.0: options.evaluation - held_out}
    for prompt in prompts:
        outcome = prompt.outcome or 0.0
        (evaluation if room[outcome] else train).append(prompt)
        room[outcome] = max(room[outcome] - 1, 0)
    return event_task("survey", train[: options.train], evaluation)


def describe(features: dict[str, float]) -> str:
    """The prompt for a woman, in words.

    Args:
        features: her answers by the names of `FEATURES`, with the numbers of the file.

    Returns:
        About seventy words; equal features give equal words.
    """
    return PROMPT.format(**{name: WORDS[name][features[name]] for name in FEATURES})


def _prompt(i: int, row: dict[str, float]) -> Prompt:
    features = {name: row[name] for name in FEATURES}
    outcome = float(row["affairs"] > 0.0)
    return Prompt(f"survey-{i + 1:04d}", user_message(describe(features)), outcome, (), features)


def _rows() -> list[dict[str, float]]:
    package = optional_import("statsmodels", "the survey task", "train")
    path = Path(package.__path__[0]) / "datasets" / "fair" / "fair.csv"
    try:
        table = arrow_csv.read_csv(path)
    except (OSError, ArrowInvalid) as error:
        raise RecordError(
            f"expected the survey that comes with statsmodels, got: {error}; reinstall statsmodels",
            str(path),
        ) from error
    missing = {*FEATURES, "affairs"} - set(table.column_names)
    if missing or table.num_rows != ROWS:
        raise RecordError(
            f"expected {ROWS} rows with the columns {', '.join(FEATURES)} and affairs, got "
            f"{table.num_rows} rows with {', '.join(table.column_names)}; install another version "
            "of statsmodels",
            str(path),
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    for i, row in enumerate(rows):
        for name in FEATURES:
            row[name] = float(row[name])
            if row[name] not in WORDS[name]:
                raise RecordError(
                    f"{name}: expected one of {', '.join(f'{v:g}' for v in WORDS[name])}, got "
                    f"{row[name]:g}; install another version of statsmodels",
                    str(path),
                    i + 2,
                )
    return rows


KIND = TaskKind(
    "survey",
    SurveyOptions,
    build,
    "P(a reader of a 1970s magazine reported an affair), from eight answers in words",
)
