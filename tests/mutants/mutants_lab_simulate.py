"""Wrong versions of the simulated training: world, optimizer, samplers, clip, evaluation."""

from __future__ import annotations

from mutant import Mutant

SAMPLER = "levelhead.lab.sampler"
COMPOSITION = "tests/lab/test_sampler.py::test_a_group_has_the_composition_of_independent_draws"
SUMS = "tests/lab/test_sampler.py::test_sums_of_a_group_are_those_of_its_samples"
RATIO, RATIO_TESTS = "levelhead.lab.ratio_loss", ["tests/lab/test_ratio_loss.py"]
ACTORS = "levelhead.lab._actors"
VALUE_TESTS = [
    "tests/lab/test_simulate.py::test_the_value_model_moves_after_the_advantages",
    "tests/lab/test_simulate.py::test_the_value_model_learns_the_mean_reward",
]
POLICY_TESTS = ["tests/lab/test_policy.py"]
EVALUATE, EVALUATE_TESTS = "levelhead.lab.evaluate", ["tests/lab/test_evaluate.py"]

MUTANTS = [
    Mutant(
        target="levelhead.lab.world",
        old="    category = rng.choice(n_categories, n_questions)\n"
        "    rates = rng.uniform(0.0, 1.0, n_categories)\n",
        new="    rates = rng.uniform(0.0, 1.0, n_categories)\n"
        "    category = rng.choice(n_categories, n_questions)\n",
        why="draws the rates first: other questions than the paper's",
        tests=["tests/lab/test_world.py"],
    ),
    Mutant(
        target="levelhead.lab.policy",
        old="            params *= 1.0 - lr * self.weight_decay",
        new="            params *= 1.0 - self.weight_decay",
        why="a weight decay that is not scaled by the learning rate",
        tests=POLICY_TESTS,
    ),
    Mutant(
        target="levelhead.lab.policy",
        old="        buffer += self.eps / spread",
        new="        buffer += self.eps",
        why="eps inside of the bias correction, as older papers have it",
        tests=POLICY_TESTS,
    ),
    Mutant(
        target=RATIO,
        old="            np.multiply(self._plus, policy <= self._high, out=out)\n"
        "            out += self._minus * (policy >= self._low)",
        new="            inside = (policy <= self._high) & (policy >= self._low)\n"
        "            np.multiply(self._plus + self._minus, inside, out=out)",
        why="drops the gradient on both sides of the clip, not only on the one that gains",
        tests=RATIO_TESTS,
    ),
    Mutant(
        target=RATIO,
        old="            np.multiply(self._plus, policy <= self._high, out=out)\n"
        "            out += self._minus * (policy >= self._low)",
        new="            np.add(self._plus, self._minus, out=out)",
        why="the notebook's clip, which is computed and never applied",
        tests=RATIO_TESTS,
    ),
    Mutant(
        target=RATIO,
        old="        out = self._share_plus * (policy > self._high)",
        new="        out = self._share_plus * (policy >= self._high)",
        why="an unclipped term that is equal counts as clipped",
        tests=["tests/lab/test_ratio_loss.py", "tests/lab/test_simulate.py"],
    ),
    Mutant(
        target=SAMPLER,
        old="        chance[:, 2 * g + 1 :] = by_light[:, 2:]",
        new="        chance[:, 2 * g + 1 :] = by_light[:, :1:-1]",
        why="the numbers of light samples in the wrong order",
        tests=[COMPOSITION],
    ),
    Mutant(
        target=SAMPLER,
        old="        light[self._members, self._heavy] = 0.0\n",
        new="",
        why="light samples may still come out as heavy symbols",
        tests=[COMPOSITION],
    ),
    Mutant(
        target=SAMPLER,
        old="        lone[:, :, 0] = rewards\n",
        new="        lone[:, :, -1] = rewards\n",
        why="puts the light sample where a heavy one is looked up",
        tests=[SUMS],
    ),
    Mutant(
        target=SAMPLER,
        old="np.ones_like(lone), g - 1 - second, second",
        new="np.ones_like(lone), g - second, second",
        why="counts the first heavy symbol once too often",
        tests=[SUMS],
    ),
    Mutant(
        target=SAMPLER,
        old="                is_other = words[used : used + length] < limit[n:]",
        new="                is_other = words[:length] < limit[n:]",
        why="uses the same random numbers for every place in a group",
        tests=[COMPOSITION],
    ),
    Mutant(
        target="levelhead.lab._inversion",
        old='np.searchsorted(self.edges, keys, side="right")',
        new='np.searchsorted(self.edges, keys, side="left")',
        why="a number on a threshold belongs to the symbol above",
        tests=["tests/lab/test_sampler.py::test_symbols_split_the_numbers_at_their_thresholds"],
    ),
    Mutant(
        target="levelhead.lab._batches",
        old="        place = np.minimum(place.astype(np.int64), g - 1)\n",
        new="        place = np.zeros(cell.size, np.int64)\n",
        why="always lets the first sample deviate: too few of the likeliest symbol are left",
        tests=[
            "tests/lab/test_sampler.py::test_remembered_groups_have_the_composition_of_independent_draws"
        ],
    ),
    Mutant(
        target="levelhead.lab._batches",
        old="        advantages = deviations / (self.scales[owners] + self.eps)\n",
        new="        advantages = deviations / (np.std(deviations, axis=0, ddof=1) + self.eps)\n",
        why="divides by the scale of this visit, which is GRPO again",
        tests=["tests/lab/test_sampler.py::test_remembered_scales_are_those_of_ema_std"],
    ),
    Mutant(
        target=ACTORS,
        old="value, 2.0 * (self.samples * value - earned) / self.n_samples",
        new="value, 2.0 * (earned - self.samples * value) / self.n_samples",
        why="the value model runs away from the rewards",
        tests=VALUE_TESTS,
    ),
    Mutant(
        target=ACTORS,
        old="        rates = world.empirical_rates if world.outcomes",
        new="        rates = world.rates if world.outcomes",
        why="takes the true rates where only outcomes have been observed",
        tests=["tests/lab/test_simulate.py::test_the_exact_gradient_follows_its_formula"],
    ),
    Mutant(
        target=EVALUATE,
        old="(others @ values[c] + values[c][token]) / n",
        new="(others @ values[c] + values[c][token]) / (n - 1)",
        why="divides by the number of the other samples",
        tests=EVALUATE_TESTS,
    ),
    Mutant(
        target=EVALUATE,
        old="(p > 0.5) == (outcome == 1.0)",
        new="(p >= 0.5) == (outcome == 1.0)",
        why="a prediction of one half takes a side",
        tests=EVALUATE_TESTS,
    ),
    Mutant(
        target=SAMPLER,
        old="limit = np.rint(second * 2.0**32)",
        new="limit = np.rint(second * 1.03 * 2.0**32)",
        why="the heavy samples beside light ones divide three percent wrong",
        tests=[
            "tests/lab/test_sampler.py::"
            "test_the_heavy_symbols_of_mixed_groups_divide_as_they_should"
        ],
    ),
    Mutant(
        target="levelhead.lab._inversion",
        old="edges = np.rint(cumulative * (2.0**32 / total)).astype(np.int64)",
        new="edges = np.rint(cumulative * (2.0**16 / total)).astype(np.int64) << 16",
        why="thresholds of 16 bits lose the rare symbols",
        tests=["tests/lab/test_sampler.py::test_thresholds_have_32_bits"],
    ),
    Mutant(
        target="levelhead.lab._history",
        old="float(-plogp.sum(axis=1) @ share)",
        new="float(-plogp.sum(axis=1).mean())",
        why="the mean over categories instead of questions",
        tests=[
            "tests/lab/test_simulate.py::test_the_entropy_of_a_history_is_a_mean_over_questions"
        ],
    ),
    Mutant(
        target="levelhead.lab._history",
        old="if self.clip is None or made == 0:",
        new="if self.clip is None:",
        why="no update has clipped nothing",
        tests=[
            "tests/lab/test_simulate.py::test_nothing_is_clipped_or_not_before_the_first_update"
        ],
    ),
    Mutant(
        target=ACTORS,
        old="lr=run.value_lr, weight_decay=run.weight_decay)",
        new="lr=run.value_lr, weight_decay=0.0)",
        why="the value model has no weight decay",
        tests=["tests/lab/test_simulate.py::test_the_value_model_decays_like_the_policy"],
    ),
    Mutant(
        target="levelhead.lab.simulate",
        old="TINY = 1e-17",
        new="TINY = 1e-9",
        why="what should only keep moments alive makes a tenth of a step",
        tests=[
            "tests/lab/test_simulate.py::"
            "test_a_category_that_nothing_is_learned_about_does_not_move"
        ],
    ),
]
