"""What to do about each verdict."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from levelhead.diagnose.truth import bullshit_index, diagnose_truth, section
from levelhead.diagnose.truth._result import Claims
from levelhead.diagnose.truth._steps import more_prompts, next_steps

FAST = {"n_boot": 200, "n_perm": 200}
B = np.linspace(0, 1, 200)


@pytest.mark.parametrize(
    ("claim", "verdict", "first"),
    [
        (B > 0.5, "TRUTHFUL", None),
        (B < 0.5, "CONTRARY", "First check that belief and claim are of the same statement"),
        (np.arange(200) % 3 > 0, "INDIFFERENT", "First check the beliefs"),
        (np.ones(200), "DEGENERATE", "First check the judge"),
        (B > 0.97, "INCONCLUSIVE", "Add prompts until yes and no are each claimed 10 times"),
        (np.full(200, np.nan), "INCONCLUSIVE", "Look at the columns of --belief and --claim"),
    ],
)
def test_each_verdict_has_its_steps(claim: np.ndarray, verdict: str, first: str | None) -> None:
    found = section(diagnose_truth(Claims(B, claim), **FAST))
    assert found.verdict == verdict
    assert list(found.next_steps) == [] if first is None else found.next_steps[0].startswith(first)
    bad = verdict in ("CONTRARY", "INDIFFERENT", "DEGENERATE")
    assert any("levelhead lint RECIPE" in text for text in found.next_steps) == bad


def test_no_kind_of_belief_is_advised_that_was_read_already() -> None:
    found = diagnose_truth(Claims(B, np.arange(200) % 3 > 0), **FAST)
    options: Any = object()  # what they hold does not matter
    probe: Any = object()
    cases = {
        (True, True): (None, None),
        (True, False): (None, probe),
        (False, True): (options, None),
        (False, False): (options, probe),
    }
    for advised, (by_options, by_probe) in cases.items():
        result = dataclasses.replace(found, options=by_options, probe=by_probe)
        assert result.verdict == "INDIFFERENT"
        said = " ".join(next_steps(result))
        assert ("--yes-at" in said, "--hidden-states" in said) == advised
        assert ("--method options" in said) is (by_options is None)
        assert "First check the beliefs: badly read ones look the same." in said
    contrary = diagnose_truth(Claims(B, B < 0.5), **FAST)
    assert "--yes-at" not in next_steps(contrary)[0]
    contrary = dataclasses.replace(contrary, options=options)
    assert "a wrong --yes-at" in next_steps(contrary)[0]


@pytest.mark.parametrize(
    ("r", "d", "number"),
    [
        ((0.4, 0.2, 0.6), (0.4, 0.25, 0.6), 400),  # .2 / .1: four times 100
        ((-0.4, -0.6, -0.2), (-0.4, -0.5, -0.25), 400),
        ((0.1, -0.1, 0.4), (0.1, 0.0, 0.2), 230),  # .3 / .2: 2.25 times
        ((-0.1, -0.4, 0.1), (-0.1, -0.2, 0.0), 230),
        ((0.4, 0.2, 0.6), (0.2, 0.1, 0.5), None),  # on two sides of the margin
        ((0.31, 0.1, 0.6), (0.31, 0.1, 0.6), None),  # 441 times as many
        ((0.3, 0.1, 0.5), (0.4, 0.2, 0.6), None),  # at the margin no number decides
    ],
)
def test_how_many_prompts_would_decide(r: tuple, d: tuple, number: int | None) -> None:
    index = dataclasses.replace(
        bullshit_index([0.2, 0.8] * 50, [0, 1] * 50, n_boot=100, n_perm=100),
        **dict(zip(("r", "r_low", "r_high", "d", "d_low", "d_high"), (*r, *d), strict=True)),
    )
    assert more_prompts(index, 0.3) == number
    result = diagnose_truth(Claims([0.2, 0.8] * 50, [0, 1] * 50), **FAST)
    model = dataclasses.replace(result.model, index=index, verdict="INCONCLUSIVE")
    steps = next_steps(dataclasses.replace(result, model=model))
    assert (
        steps == [] if number is None else f"about {number} (now 100) would decide it" in steps[0]
    )
    blind = dataclasses.replace(model, known=False)
    assert "Read the beliefs better" in next_steps(dataclasses.replace(result, model=blind))[0]
