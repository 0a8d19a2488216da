"""The survey: what is known of it, its words, its split, and a copy that is not the known one."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from levelhead.errors import InvalidInputError, RecordError
from levelhead.metrics import auroc
from levelhead.tasks import Prompt, SurveyOptions, Task, make_task, survey
from levelhead.tasks.survey import FEATURES, WORDS, describe

statsmodels = pytest.importorskip("statsmodels", reason="statsmodels has the survey")

HIDDEN = {"affairs", "outcome"}


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(SurveyOptions())


def arrays(prompts: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = np.array([[p.columns[name] for name in FEATURES] for p in prompts])
    return x, np.array([p.outcome for p in prompts])


def test_the_rows_are_those_of_the_file(task: Task) -> None:
    path = Path(statsmodels.__path__[0]) / "datasets" / "fair" / "fair.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    prompts = {p.prompt_id: p for p in (*task.train, *task.evaluation)}
    assert len(rows) == len(prompts) == 6366
    for i in range(0, 6366, 97):
        prompt = prompts[f"survey-{i + 1:04d}"]
        assert prompt.columns == {name: float(rows[i][name]) for name in FEATURES}
        assert prompt.outcome == (1.0 if float(rows[i]["affairs"]) > 0 else 0.0)
        assert not HIDDEN & set(prompt.columns)


def test_the_split_is_4366_to_2000_with_one_rate(task: Task) -> None:
    assert (len(task.train), len(task.evaluation)) == (4366, 2000)
    rates = [float(arrays(part)[1].mean()) for part in (task.train, task.evaluation)]
    # 2,053 of the 6,366 women reported an affair.
    assert sum(p.outcome or 0 for p in (*task.train, *task.evaluation)) == 2053
    assert abs(rates[0] - 2053 / 6366) < 5e-4
    assert abs(rates[1] - 2053 / 6366) < 5e-4


def test_a_seed_is_a_split_and_any_beginning_is_a_sample(task: Task) -> None:
    def ids(prompts: Any) -> set[str]:
        return {p.prompt_id for p in prompts}

    again, other = make_task(SurveyOptions()), make_task(SurveyOptions(seed=1, evaluation=100))
    assert again == task
    assert not ids(other.evaluation) <= ids(task.evaluation)
    assert not ids(other.train) & ids(other.evaluation)
    few = make_task(SurveyOptions(train=500))
    assert few.train == task.train[:500]
    assert few.evaluation == task.evaluation
    assert abs(arrays(few.train)[1].mean() - 0.3225) < 4 * (0.3225 * 0.6775 / 500) ** 0.5


def test_a_logistic_regression_on_the_columns_ranks_as_is_known(task: Task) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the oracle")
    (x, y), (x_new, y_new) = arrays(task.train), arrays(task.evaluation)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    model = linear.LogisticRegression(C=1e6).fit((x - mean) / sd, y)
    assert abs(auroc(model.predict_proba((x - mean) / sd)[:, 1], y) - 0.743) < 0.01
    assert abs(auroc(model.predict_proba((x_new - mean) / sd)[:, 1], y_new) - 0.743) < 0.02


def test_every_answer_has_words_of_its_own_in_a_short_prompt(task: Task) -> None:
    lengths: list[int] = []
    for prompt in task.train:
        text = prompt.messages[0]["content"]
        lengths.append(len(text.split()))
        for name in FEATURES:
            assert WORDS[name][prompt.columns[name]] in text
        assert "magazine survey in the 1970s" in text
        assert "<answer></answer>" in text
    assert np.mean(lengths) <= 72
    assert max(lengths) <= 80
    # Different features, different words: nothing is lost.
    texts = Counter((p.messages[0]["content"], tuple(p.columns.values())) for p in task.train)
    assert len({text for text, _ in texts}) == len({values for _, values in texts}) == len(texts)


def test_the_prompt_reads_as_a_person_would_write_it() -> None:
    features = dict(zip(FEATURES, (3.0, 27.0, 9.0, 2.0, 2.0, 14.0, 3.0, 5.0), strict=True))
    assert describe(features) == (
        "A married woman answered a magazine survey in the 1970s. She is in her late twenties, "
        "married for about nine years, with two children. She is mildly religious, rates her "
        "marriage as fair and attended some college. She does white-collar work; her husband works "
        "in management or business. How likely is it that she reported an affair? Answer with a "
        "percentage from 1 to 99 in <answer></answer> tags."
    )


HEADER = ",".join([*FEATURES, "affairs"])


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (None, None, "expected the survey that comes with statsmodels, got: "),
        ("a,b\n1,2\n", None, "expected 6366 rows with the columns rate_marriage, age, "),
        (f"{HEADER}\n" + "3,32,9,3,3,17,2,5,0\n" * 9, None, "expected 6366 rows with the columns"),
        (
            f"{HEADER}\n3,33,9,3,3,17,2,5,0\n" + "3,32,9,3,3,17,2,5,0\n" * 6365,
            2,
            "age: expected one of 17.5, 22, 27, 32, 37, 42, got 33; install another version of",
        ),
    ],
)
def test_another_copy_of_the_survey_is_refused(
    text: str | None, line: int | None, problem: str, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "datasets" / "fair" / "fair.csv"
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    package = SimpleNamespace(__path__=[str(tmp_path)])
    monkeypatch.setattr(survey, "optional_import", lambda *_: package)
    with pytest.raises(RecordError) as caught:
        make_task(SurveyOptions())
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert caught.value.problem.startswith(problem)


def test_the_outcome_is_not_told(task: Task) -> None:
    """Two women of equal words may differ in what they reported: the words do not give it away."""
    seen: dict[str, set[Any]] = {}
    for prompt in task.train:
        seen.setdefault(prompt.messages[0]["content"], set()).add(prompt.outcome)
    assert sum(len(outcomes) == 2 for outcomes in seen.values()) > 100
    assert isinstance(task.train[0], Prompt)


def test_a_balanced_survey_has_as_many_of_either(task: Task) -> None:
    balanced = make_task(SurveyOptions(balanced=True, evaluation=1200))
    assert (len(balanced.train), len(balanced.evaluation)) == (4106 - 1200, 1200)
    both = (*balanced.train, *balanced.evaluation)
    assert sum(p.outcome or 0 for p in both) == 2053
    assert sum(p.outcome or 0 for p in balanced.evaluation) == 600
    assert {p.prompt_id for p in both if p.outcome} == {
        p.prompt_id for p in (*task.train, *task.evaluation) if p.outcome
    }


def test_more_rows_than_there_are_cannot_be_held_out() -> None:
    with pytest.raises(InvalidInputError, match="fewer than the 4106 rows that there are"):
        make_task(SurveyOptions(balanced=True, evaluation=5000))
