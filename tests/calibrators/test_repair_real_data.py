"""A model's published overconfidence, repaired: fitted on half of the genes, judged on the others.

The predictions are those of "Uncalibrated Reasoning" (arXiv:2508.11800): the probability that a
perturbed gene has an effect on a phenotype, four samples of each of 1,402 prompts. The prompts of one
gene share much of their outcome (it affects all of its phenotypes, or none), so the halves are halves
of the genes, and what chance explains is drawn gene by gene.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from levelhead import metrics, readers
from levelhead.calibrators import Choice, choose
from levelhead.readers import ReadOptions

LEVEL = 0.05
STRICTLY_MONOTONE = ("identity", "temperature", "platt", "beta")
"""What cannot tie two confidences that differ, and so keeps the AUROC to the last digit."""

TIES_COST = 1e-9
"""Rounding: what is chosen keeps the order of any two confidences, steps included."""


@dataclasses.dataclass(frozen=True)
class Halves:
    """Stated probabilities, outcomes, genes and prompts, and which rows are fitted on."""

    stated: np.ndarray
    outcome: np.ndarray
    gene: np.ndarray
    prompt: np.ndarray
    fit: np.ndarray


@dataclasses.dataclass(frozen=True)
class Held:
    """A choice made on one half, and the other half as stated and as calibrated."""

    choice: Choice
    stated: np.ndarray
    repaired: np.ndarray
    outcome: np.ndarray
    gene: np.ndarray


@pytest.fixture(scope="module")
def halves(shared_data: Path) -> Halves:
    folder = shared_data / "crispr" / "predictions" / "final_grpo"
    (predictions,) = readers.load([folder], ReadOptions(by=("pert",))).values()
    assert predictions.prompt_id is not None
    known = ~np.isnan(predictions.confidence)
    gene = np.array(predictions.columns["pert"].to_pylist())[known]
    prompt = np.array(predictions.prompt_id.to_pylist())[known]
    # The hash of the name alone: a split that nobody chose.
    fit = np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in gene])
    return Halves(predictions.confidence[known], predictions.label[known], gene, prompt, fit)


def repaired(halves: Halves, methods: Sequence[str] | None) -> Held:
    fit = halves.fit
    choice = choose(
        halves.stated[fit], halves.outcome[fit], methods=methods, groups=halves.gene[fit]
    )
    stated = halves.stated[~fit]
    return Held(
        choice, stated, choice.calibrator.predict(stated), halves.outcome[~fit], halves.gene[~fit]
    )


@pytest.fixture(scope="module")
def held(halves: Halves) -> Held:
    return repaired(halves, None)


@pytest.fixture(scope="module")
def smooth(halves: Halves) -> Held:
    return repaired(halves, STRICTLY_MONOTONE)


def test_the_halves_are_of_like_size_and_share_no_gene_nor_prompt(halves: Halves) -> None:
    fit = halves.fit
    assert fit.size == 5607  # of 5,608 answers one states nothing
    assert 0.4 < fit.mean() < 0.6
    assert not set(halves.gene[fit]) & set(halves.gene[~fit])
    assert not set(halves.prompt[fit]) & set(halves.prompt[~fit])


def test_the_stated_probabilities_are_far_from_true(held: Held) -> None:
    before = metrics.ece_excess_test(held.stated, held.outcome, clusters=held.gene, n_draws=400)
    assert before.ece > 0.25
    assert before.p_value < 0.01


@pytest.mark.parametrize("which", ["held", "smooth"])
def test_the_repaired_ones_are_within_chance_of_true(
    which: str, request: pytest.FixtureRequest
) -> None:
    one: Held = request.getfixturevalue(which)
    after = metrics.ece_excess_test(one.repaired, one.outcome, clusters=one.gene, n_draws=400)
    assert after.ece < 0.1
    assert after.p_value > LEVEL


def test_a_smooth_choice_keeps_the_order_exactly(smooth: Held) -> None:
    before = metrics.auroc(smooth.stated, smooth.outcome)
    assert metrics.auroc(smooth.repaired, smooth.outcome) >= before - 1e-9


def test_a_choice_among_all_keeps_the_order_up_to_ties(held: Held) -> None:
    order = np.argsort(held.stated, kind="stable")
    assert (np.diff(held.repaired[order]) >= 0.0).all()
    before = metrics.auroc(held.stated, held.outcome)
    assert metrics.auroc(held.repaired, held.outcome) >= before - TIES_COST


@pytest.mark.parametrize("which", ["held", "smooth"])
def test_trust_of_the_claims_rises_from_worse_than_silence_to_better(
    which: str, request: pytest.FixtureRequest
) -> None:
    one: Held = request.getfixturevalue(which)
    before = metrics.trust(*metrics.top_label(one.stated, one.outcome), t0=0.5)
    after = metrics.trust(*metrics.top_label(one.repaired, one.outcome), t0=0.5)
    assert before < -1.0 < 0.0 < after


@pytest.mark.parametrize("which", ["held", "smooth"])
def test_log_loss_falls_below_that_of_knowing_only_the_base_rate(
    which: str, request: pytest.FixtureRequest
) -> None:
    one: Held = request.getfixturevalue(which)
    base = one.outcome.mean()
    entropy = -base * np.log(base) - (1 - base) * np.log1p(-base)
    assert metrics.nll(one.stated, one.outcome) > 1.0
    assert metrics.nll(one.repaired, one.outcome) < entropy
