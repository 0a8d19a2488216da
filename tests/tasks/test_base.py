"""What every task keeps, the split, and the way from options to a task."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from levelhead.elicitation import Elicited
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.tasks import (
    TABLE,
    ArithmeticOptions,
    OracleOptions,
    Prompt,
    Task,
    TaskOptions,
    make_task,
)
from levelhead.tasks._base import Options, event_task, shuffled, split, user_message

EVENT = Prompt("e", user_message("Rain?"), 1.0)
QUESTION = Prompt("q", user_message("Capital of France?"), None, ("Paris",))


def judge(answer: str, prompt: Prompt) -> float | None:
    return None if prompt.prompt_id == "unknown" else float(answer in prompt.targets)


def question_task(**changes: Any) -> Task:
    given: dict[str, Any] = {"train": (QUESTION,), "verify": judge, **changes}
    return Task("t", "answer", "answer_confidence_tags", **given)


def test_an_event_task_reads_percentages_and_lists_every_answer() -> None:
    task = event_task("rain", [EVENT], [])
    assert task.answers[0] == "1"
    assert task.answers[98] == "99"
    assert len(task.answers) == 99
    for answer, value in zip(task.answers, task.values, strict=True):
        said = task.elicit(f"{task.opening}{answer}{task.closing}")
        assert said.confidence == value
        assert said.status == "ok"
    assert task.default_reward == "log"
    assert (
        task.correct(Elicited(None, None, "missing"), EVENT) == 1.0
    )  # what happened, whoever says


def test_an_answer_task_judges_the_parsed_answer() -> None:
    task = question_task()
    assert task.default_reward == "rlcr"
    said = task.elicit("<answer>Paris</answer><confidence>0.5</confidence>")
    assert task.correct(said, QUESTION) == 1.0
    assert task.correct(Elicited("Rome", 0.5, "ok"), QUESTION) == 0.0
    assert task.correct(Elicited(None, 0.5, "ok"), QUESTION) == 0.0
    assert task.correct(Elicited("Rome", 0.5, "ok"), replace(QUESTION, prompt_id="unknown")) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train": ()}, "train: task 't' expected prompts, got none"),
        ({"verify": None}, "verify: task 't' asks for answers, expected a function that judges"),
        ({"answers": ("1", "2"), "values": (0.1,)}, "each of the 2 answers, got 1"),
        ({"elicitation": "percent_tags"}, "did you mean 'percent_tag'?"),
        ({"train": (replace(QUESTION, targets=()),)}, "prompt 'q': expected at least one right"),
        ({"evaluation": (replace(QUESTION, messages=()),)}, "prompt 'q': expected a message"),
        (
            {"train": (replace(QUESTION, messages=user_message(" \n")),)},
            "message with text, got no",
        ),
        ({"kind": "event"}, "prompt 'q': expected an outcome of 0 or 1, got None"),
    ],
)
def test_a_task_that_cannot_be_trained_on_is_refused(changes: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {
        "name": "t", "kind": "answer", "elicitation": "answer_confidence_tags",
        "train": (QUESTION,), "verify": judge, **changes,
    }  # fmt: skip
    with pytest.raises(InvalidInputError) as caught:
        Task(**given)
    assert text in str(caught.value)


def test_an_outcome_between_0_and_1_is_refused() -> None:
    with pytest.raises(
        InvalidInputError, match=r"prompt 'e': expected an outcome of 0 or 1, got 0.5"
    ):
        event_task("t", [EVENT, replace(EVENT, outcome=0.5)], [])


def test_a_shuffle_follows_from_the_seed_and_the_texts_alone() -> None:
    items = [str(i) for i in range(200)]
    once = shuffled(items, 3)
    assert sorted(once) == sorted(items)
    assert once != items
    assert once != shuffled(items, 4)
    assert shuffled(items[::-1], 3) == once
    more = shuffled([*items, "x", "y"], 3)
    assert [item for item in more if item in set(items)] == once  # ranks stay when items are added
    # Uniform: the mean rank of a given item over many seeds is the middle.
    ranks = [shuffled(items, seed).index("7") for seed in range(300)]
    assert abs(sum(ranks) / 300 - 99.5) < 4 * 57.7 / 300**0.5


def test_a_split_never_parts_a_unit_and_holds_out_enough() -> None:
    units = [f"u{i % 37}" for i in range(200)]
    for seed in range(20):
        part = split(units, 50, seed)
        assert sorted(part.train + part.evaluation) == list(range(200))
        assert not {units[i] for i in part.train} & {units[i] for i in part.evaluation}
        sizes = Counter(units)
        assert 50 <= len(part.evaluation) < 50 + max(sizes.values())
    assert split(units, 50, 0) != split(units, 50, 1)
    assert split(units, 0, 0).evaluation == ()


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        split(["a", "a", "b"], 3, 0)
    assert str(caught.value) == (
        "evaluation: expected fewer rows than the 3 that there are (in 2 units that stay "
        "together), got 3; lower it"
    )


def test_every_kind_has_one_name_and_a_description_of_every_option() -> None:
    for name, kind in TABLE.items():
        assert kind.name == name
        assert kind.options.model_fields["kind"].default == name
        assert kind.description
        for option, field in kind.options.model_fields.items():
            assert field.description, f"{name}.{option} says nothing"


def test_the_union_of_options_knows_every_kind() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(TaskOptions)
    mapping = adapter.json_schema()["discriminator"]["mapping"]
    assert set(mapping) == set(TABLE)
    assert adapter.validate_python({"kind": "oracle", "factors": 2}) == OracleOptions(factors=2)
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "oracle", "factor": 2})


def test_a_mapping_makes_the_same_task_as_its_options() -> None:
    given = {"kind": "oracle", "train": 5, "evaluation": 3}
    assert make_task(given) == make_task(OracleOptions(train=5, evaluation=3))


def test_all_problems_of_options_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        make_task({"kind": "oracle", "factors": 9, "train": 0, "facotrs": 1})
    text = str(caught.value)
    assert "task.factors: " in text
    assert "got 9" in text
    assert "task.train: " in text
    assert "got 0" in text
    assert "task.facotrs: Extra inputs are not permitted" in text


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match="expected one of .*, got 'orcale'; did you mean 'oracle'"
    ):
        make_task({"kind": "orcale"})
    with pytest.raises(ConfigError, match="task.kind"):
        make_task({})
    with pytest.raises(InvalidInputError, match="expected one of .*OracleOptions.*got 'Options'"):
        make_task(Options())


def test_options_cannot_be_changed_later() -> None:
    options = OracleOptions()
    with pytest.raises(ValidationError):
        options.train = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("options", [OracleOptions(), ArithmeticOptions(train=9, evaluation=3)])
def test_a_task_can_cross_a_process_boundary(options: Options) -> None:
    task = make_task(options)
    assert pickle.loads(pickle.dumps(task)) == task
