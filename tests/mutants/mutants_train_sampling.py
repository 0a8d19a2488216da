"""Wrong versions of sampling and decoding."""

from __future__ import annotations

from mutant import Mutant

SAMPLING = "levelhead.train.sampling"
DECODING = "levelhead.train._decoding"
BACKENDS = "levelhead.train.backends"
DRAWS = [
    "tests/train/test_sampling.py::test_a_grid_of_numbers_draws_every_token_as_often_as_it_is_likely",
    "tests/train/test_sampling.py::test_a_large_vocabulary_is_drawn_as_a_slow_running_sum_in_float64_would",
    "tests/train/test_sampling.py::test_the_ends_of_the_unit_interval_draw_no_impossible_token",
]
DECODERS = ["tests/train/test_decoding.py"]

MUTANTS = [
    Mutant(
        target=SAMPLING,
        old="index = (running <= target).sum(dim=1, keepdim=True)",
        new="index = (running < target).sum(dim=1, keepdim=True)",
        why="a number of 0 draws the first token even where it is impossible",
        tests=DRAWS,
    ),
    Mutant(
        target=SAMPLING,
        old="inside, target - before)",
        new="inside, target)",
        why="looks for the token in its block with the sum over all blocks",
        tests=DRAWS,
    ),
    Mutant(
        target=SAMPLING,
        old="removed = before >= sampling.top_p",
        new="removed = before + mass >= sampling.top_p",
        why="top_p leaves out the token that crosses the line",
        tests=[
            "tests/train/test_sampling.py::test_what_top_k_and_top_p_keep_is_what_transformers_keeps"
        ],
    ),
    Mutant(
        target=SAMPLING,
        old="counter = np.array([0, 0, 0, first + row], dtype=np.uint64)",
        new="counter = np.array([0, 0, 0, row], dtype=np.uint64)",
        why="every process draws the numbers of the first rows",
        tests=[
            "tests/train/test_sampling.py::"
            "test_the_numbers_of_a_row_depend_on_nothing_but_seed_step_and_row"
        ],
    ),
    Mutant(
        target=SAMPLING,
        old="rows, drawn, ended = rows[order], drawn[order], ended[order]",
        new="rows, drawn, ended = rows[: len(order)], drawn[order], ended[order]",
        why="rows that change places go on with the numbers of others",
        tests=["tests/train/test_sampling.py::test_logprobs_are_those_of_a_plain_forward"],
    ),
    Mutant(
        target=DECODING,
        old="self.position, self.owner = self.position[rows], self.owner[rows]",
        new="self.owner = self.owner[rows]",
        why="rows that change places keep the positions of those that left",
        tests=DECODERS,
    ),
    Mutant(
        target=DECODING,
        old="            self.bias = None if self.bias is None else self.bias[left]\n",
        new="",
        why="after a prompt is dropped the others are masked with its padding",
        tests=DECODERS,
    ),
    Mutant(
        target=DECODING,
        old="return out, total.log_().add_(top)",
        new="return out, top",
        why="the two parts of attention are weighted by their largest score",
        tests=DECODERS,
    ),
    Mutant(
        target=BACKENDS,
        old="holder.generation_config = GenerationConfig()",
        new="pass",
        why="the sampling options of the model's folder fill in for ours",
        tests=["tests/train/test_backends.py"],
    ),
]
