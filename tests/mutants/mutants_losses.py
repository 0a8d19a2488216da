"""Wrong versions of the losses."""

from __future__ import annotations

from mutant import Mutant

AGGREGATION = ["tests/losses/test_aggregation.py::test_the_parts_of_a_batch_add_up_to_it"]
SURROGATE = ["tests/losses/test_surrogate.py::test_the_clip_by_hand"]
KL = ["tests/losses/test_kl.py::test_k1_and_k3_are_unbiased_and_k2_is_not"]
VALUE = ["tests/losses/test_value.py::test_the_loss_by_hand"]
PARTS = ["tests/losses/test_answer.py::test_the_parts_by_hand"]

MUTANTS = [
    Mutant(
        target="levelhead.losses.aggregation",
        old="weights = 1.0 / (n_sequences * lengths.clamp(min=1).to(dtype))",
        new="weights = 1.0 / (lengths.shape[0] * lengths.clamp(min=1).to(dtype))",
        why="averages over the micro-batch, so that what is added depends on how it was cut",
        tests=AGGREGATION,
    ),
    Mutant(
        target="levelhead.losses.surrogate",
        old="return -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)",
        new="return -(ratio.clamp(low, high) * advantage)",
        why="clips every ratio outside the range, and so what loses as well",
        tests=SURROGATE,
    ),
    Mutant(
        target="levelhead.losses.kl",
        old="return torch.expm1(held) - held",
        new="return torch.expm1(-held) + held",
        why="k3 of the inverse ratio, whose mean is no KL of the policy",
        tests=KL,
    ),
    Mutant(
        target="levelhead.losses.value",
        old="losses = torch.maximum(error, clipped_error)",
        new="losses = torch.minimum(error, clipped_error)",
        why="takes the policy's minimum for the value, so that far errors have no gradient",
        tests=VALUE,
    ),
    Mutant(
        target="levelhead.losses.value",
        old="near = value.clamp(old - clip, old + clip)",
        new="near = old + (value - old).clamp(-clip, clip)",
        why="the formula as the papers write it: by its rounding some tokens count as clipped",
        tests=["tests/losses/test_value.py::test_nothing_inside_of_the_clip_counts_as_clipped"],
    ),
    Mutant(
        target="levelhead.losses.answer",
        old="return chance.sum(dim=1), (chance * above).sum(dim=1)",
        new="return chance.sum(dim=1), (chance * above).sum(dim=1) / chance.sum(dim=1).clamp(min=1e-9)",
        why="renormalizes over the answers, as if the policy could not fail",
        tests=PARTS,
    ),
    Mutant(
        target="levelhead.losses.answer",
        old="return AnswerLoss(prefix.loss - head",
        new="return AnswerLoss(prefix.loss / prefix_logprobs.shape[1] - head",
        why="averages the prefix over its tokens and not the head: biased, as they share no normalizer",
        tests=PARTS,
    ),
    Mutant(
        target="levelhead.losses.answer",
        old="from levelhead.advantages import rloo",
        new="from levelhead.advantages import grpo_no_std as rloo",
        why="a baseline that holds the sequence itself scales the prefix by (G - 1) / G, the head not",
        tests=PARTS,
    ),
    Mutant(
        target="levelhead.losses.answer",
        old="answered = has_answer & scorable",
        new="answered = scorable",
        why="reads an answer where none was begun",
        tests=PARTS,
    ),
]
