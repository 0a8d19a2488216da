"""Whether a file is among what a calibrator was fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from levelhead.recalibration import (
    fit_rows,
    fit_sketch,
    overlap,
)
from levelhead.records import Predictions

ROUNDING = 1e-12

Make = Callable[..., Predictions]


def test_what_was_fitted_on_is_recognized(answers: Make) -> None:
    p, other = answers(seed=1), answers(seed=2)
    sketch = fit_sketch(p, np.arange(100))
    assert overlap(p.take(np.arange(100)), sketch).rows == 1.0
    assert overlap(p.take(np.arange(100, 200)), sketch).rows == 0.0
    assert overlap(p.take(np.arange(100, 200)), sketch).prompts == 0.0
    assert overlap(other, sketch).rows == 0.0
    assert math.isnan(overlap(p, None).rows)
    # other samples of the same prompts are told by the prompt
    again = Predictions.from_arrays(
        "answer", np.full(200, 0.33), np.ones(200), prompt_id=p.prompt_id
    )
    assert overlap(again, sketch).rows == 0.0
    assert overlap(again, sketch).prompts == 0.5


def test_without_prompt_ids_the_whole_file_is_recognized() -> None:
    p = Predictions.from_arrays("answer", [0.9, 0.8, 0.7], [1, 0, 1])
    sketch = fit_sketch(p, np.arange(3))
    assert overlap(p, sketch).rows == 1.0
    assert overlap(p.take(np.arange(2)), sketch).rows == 0.0
    assert math.isnan(overlap(p, sketch).prompts)


def test_without_prompt_ids_neither_order_nor_a_missing_confidence_hides_a_file() -> None:
    rng = np.random.default_rng(0)
    confidence = [float(c) for c in rng.random(50)]
    label = (rng.random(50) < 0.5).astype(float)
    p = Predictions.from_arrays("answer", [None, *confidence[1:]], label)
    sketch = fit_sketch(p, fit_rows(p).rows)
    assert overlap(p, sketch).rows == 1.0
    assert overlap(p.take(rng.permutation(50)), sketch).rows == 1.0
    other = Predictions.from_arrays("answer", confidence[::-1], label)
    assert overlap(other, sketch).rows == 0.0


def test_ids_that_number_the_rows_of_every_file_are_no_alarm() -> None:
    def numbered(seed: int) -> Predictions:
        rng = np.random.default_rng(seed)
        confidence = rng.choice([0.7, 0.8, 0.9, 0.95], 400)
        label = (rng.random(400) < 0.7).astype(float)
        return Predictions.from_arrays("answer", confidence, label, prompt_id=range(400))

    p = numbered(0)
    sketch = fit_sketch(p, np.arange(400))
    for seed in range(1, 21):
        found = overlap(numbered(seed), sketch)
        assert (found.rows, found.prompts) == (0.0, 1.0)
    assert overlap(p, sketch).rows == 1.0
    mixed = Predictions.from_arrays(
        "answer",
        np.append(p.confidence[:200], numbered(1).confidence[200:]),
        np.append(p.label[:200], numbered(1).label[200:]),
        prompt_id=range(400),
    )
    assert overlap(mixed, sketch).rows > 0.5


def test_equal_class_scores_of_other_prompts_are_no_alarm() -> None:
    def votes(seed: int) -> Predictions:
        rng = np.random.default_rng(seed)
        share = rng.choice([0.25, 0.5, 0.75], 200)
        return Predictions.from_arrays(
            "answer",
            np.maximum(share, 1.0 - share),
            np.ones(200),
            prompt_id=[f"{seed}-{i}" for i in range(200)],
            columns={
                "probs": np.stack([share, 1.0 - share], axis=1).tolist(),
                "target_index": [0] * 200,
            },
        )

    sketch = fit_sketch(votes(0), np.arange(200))
    assert overlap(votes(0), sketch).rows == 1.0
    assert overlap(votes(1), sketch).rows == 0.0
