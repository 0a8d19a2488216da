"""Wrong versions of `levelhead.advantages`, most of them seen in a trainer or easy to write."""

from __future__ import annotations

from mutant import Mutant

BASELINES = "tests/advantages/test_baselines.py"
NORMALIZED = "tests/advantages/test_normalized.py"
RANKED = "tests/advantages/test_ranked.py"
HISTORY = "tests/advantages/test_history.py"
GROUPS = "tests/advantages/test_groups.py"
TABLE = "tests/advantages/test_table.py"
CONTRACTS = "tests/contracts/test_advantages.py::test_an_estimator_keeps_its_contracts"


def _in(module: str, old: str, new: str, why: str, *tests: str) -> Mutant:
    return Mutant(target=f"levelhead.advantages.{module}", old=old, new=new, why=why, tests=tests)


MUTANTS = [
    _in(
        "baselines",
        "deviations *= size / (size - 1)",
        "deviations *= 1.0",
        "the baseline includes the own reward",
        f"{BASELINES}::test_by_hand",
    ),
    _in(
        "baselines",
        "deviations *= size / (size - 1)",
        "deviations *= (size - 1) / size",
        "the factor upside down",
        f"{CONTRACTS}[rloo]",
    ),
    _in(
        "baselines",
        "return centered(block) + block / block.shape[1]",
        "return centered(block) + block / (block.shape[1] - 1)",
        "the notebook divides by G, not by G - 1",
        f"{BASELINES}::test_by_hand",
    ),
    _in(
        "_groups",
        "/ block.shape[1]\n    return apart",
        "/ (block.shape[1] - 1)\n    return apart",
        "a mean that is divided by G - 1",
        f"{CONTRACTS}[grpo_no_std]",
    ),
    _in(
        "_groups",
        "apart = block - block[:, :1]",
        "apart = block - 0.0",
        "the mean of equal numbers is not the number",
        f"{BASELINES}::test_a_constant_group_gets_exactly_zero",
    ),
    _in(
        "_groups",
        "kernel(dense) if dense.shape[1] > 1 else np.zeros_like(dense)",
        "kernel(dense) if dense.shape[1] > 1 else dense",
        "a group of one keeps its raw reward, as in verl",
        f"{BASELINES}::test_a_group_with_one_reward_that_counts",
    ),
    _in(
        "_groups",
        "    keep = _scorable(r, valid)\n",
        "    r = np.nan_to_num(r, posinf=np.inf, neginf=-np.inf)\n    keep = _scorable(r, valid)\n",
        "what cannot be scored counts as 0",
        f"{BASELINES}::test_what_cannot_be_scored_is_left_out",
    ),
    _in(
        "_groups",
        "if (heads[1:] > heads[:-1]).all() or _distinct(heads):",
        "if True:",
        "groups are taken to lie side by side",
        f"{GROUPS}::test_a_group_in_two_places_is_one_group",
    ),
    _in(
        "_groups",
        'order = order[np.argsort((apart[order] >> 16).astype(np.uint16), kind="stable")]',
        'order = np.argsort((apart >> 16).astype(np.uint16), kind="stable")',
        "the second pass of the radix sort forgets the first",
        f"{GROUPS}::test_the_order_is_numpys_stable_one",
    ),
    _in(
        "_groups",
        "(deviations.shape[1] - ddof))",
        "(deviations.shape[1] - 1 + ddof))",
        "ddof the wrong way round",
        f"{NORMALIZED}::test_grpo_by_hand",
    ),
    _in(
        "_groups",
        "return high - low <= ROUNDING * np.maximum(np.abs(high), np.abs(low))",
        "return high == low",
        "rewards that differ by rounding are standardized",
        f"{NORMALIZED}::test_rewards_that_are_equal_up_to_a_float32s_rounding_get_zero",
    ),
    _in(
        "normalized",
        "    scale = spread(deviations, ddof) + eps\n    scale[constant(block)] = np.inf",
        "    scale = np.sqrt(spread(deviations, ddof) ** 2 + eps)\n"
        "    scale[constant(block)] = np.inf",
        "eps inside of the square root",
        f"{NORMALIZED}::test_eps_is_added_to_the_deviation_and_not_to_the_variance",
    ),
    _in(
        "normalized",
        "    scale = spread(deviations, ddof) + eps\n    scale[constant(block)] = np.inf",
        "    scale = np.full(len(block), block.std(ddof=ddof) + eps)\n"
        "    scale[constant(block)] = np.inf",
        "the deviation over the batch instead of the group",
        f"{NORMALIZED}::test_each_group_has_its_own_deviation",
    ),
    _in(
        "normalized",
        "    scale[scale == 0.0] = np.inf  # squares of less than 1e-160 vanish\n",
        "",
        "nothing guards eps = 0",
        f"{NORMALIZED}::test_differences_whose_squares_vanish_stay_finite",
    ),
    _in(
        "normalized",
        "return _by_batch(layout.apply(centered), layout.values(), ddof, eps)",
        "return layout.apply(lambda block: _by_batch(centered(block), block.ravel(), ddof, eps))",
        "the batch is taken to be the groups of one size",
        f"{NORMALIZED}::test_batch_deviation_by_hand",
    ),
    _in(
        "normalized",
        "return _by_batch(layout.apply(centered), layout.values(), ddof, eps)",
        "return _by_batch(layout.apply(lambda b: _grpo(b, ddof, eps)), layout.values(), ddof, eps)",
        "normalized twice, by the group and by the batch",
        f"{CONTRACTS}[batch_std]",
    ),
    _in(
        "normalized",
        "    whitened = _whitened(values, ddof, eps)\n",
        "    whitened = _whitened(layout.apply(centered)[: values.size], ddof, eps)\n",
        "whitening of what has a group baseline already",
        f"{NORMALIZED}::test_whitening_by_hand",
    ),
    _in(
        "normalized",
        "    squares, same = _others(block)\n",
        "    _, same = _others(block)\n"
        "    rest = block.sum(1, keepdims=True) - block\n"
        "    rest_squares = (block**2).sum(1, keepdims=True) - block**2\n"
        "    squares = np.maximum(rest_squares - rest**2 / (size - 1), 0.0)\n",
        "the sum of squares minus the square of the sum",
        f"{NORMALIZED}::test_grpo_and_leave_one_out_equal_the_standard_library",
    ),
    _in(
        "normalized",
        "scale[same | (scale == 0.0)] = 1.0",
        "scale[scale == 0.0] = 1.0",
        "a success among failures is divided by eps",
        f"{NORMALIZED}::test_others_that_are_equal_leave_the_deviation_undivided",
    ),
    _in(
        "normalized",
        "scale = np.sqrt(squares / (size - 1 - ddof)) + eps",
        "scale = np.sqrt(squares / (size - ddof)) + eps",
        "the others are G - 1, not G",
        f"{NORMALIZED}::test_leave_one_out_deviation_by_hand",
    ),
    _in(
        "history",
        "            deviations = centered(block)\n            parts.append(",
        "            deviations = centered(block)\n"
        "            self._update(rows, spread(deviations, self.ddof))\n            parts.append(",
        "the scale moves before it is used, so the outcome at hand enters",
        f"{CONTRACTS}[ema_std]",
        f"{HISTORY}::test_a_visit_is_divided_by_the_past_and_then_counts",
    ),
    _in(
        "history",
        "moved = self.decay * self.scales(ids) + (1.0 - self.decay) * means",
        "moved = (1.0 - self.decay) * self.scales(ids) + self.decay * means",
        "decay is the weight of the past, not of the visit",
        f"{HISTORY}::test_ddof_and_decay_0",
    ),
    _in(
        "history",
        "            varied = ~constant(block)\n            ids",
        "            varied = np.ones(len(block), dtype=np.bool_)\n            ids",
        "visits without a spread bring the scale to 0",
        f"{HISTORY}::test_visits_without_a_spread_do_not_count",
    ),
    _in(
        "history",
        "/ np.bincount(place)\n",
        "/ 1.0\n",
        "rows of one prompt are added up",
        f"{HISTORY}::test_rows_of_one_prompt_see_the_same_scale_and_count_with_their_mean",
    ),
    _in(
        "ranked",
        "* (-2.0 / (size - 1))",
        "* (2.0 / (size - 1))",
        "the lowest reward is ranked first",
        f"{RANKED}::test_ranks_by_hand",
    ),
    _in(
        "ranked",
        "(size - 1.0 - last) - first",
        "(size - 1.0) - 2.0 * place",
        "ties are broken by position",
        f"{RANKED}::test_ranks_by_hand",
    ),
    _in(
        "ranked",
        'out = best / np.einsum("ij->i", best)[:, None] - 1.0 / block.shape[1]',
        "out = best - 1.0 / block.shape[1]",
        "everybody who ties gets the whole win",
        f"{RANKED}::test_first_by_hand",
    ),
    _in(
        "ranked",
        "weights = np.exp((block - extremes(block)[1][:, None]) / tau)",
        "weights = np.exp(block - extremes(block)[1][:, None])",
        "the temperature is forgotten",
        f"{RANKED}::test_shares_by_hand",
    ),
    _in(
        "ranked",
        "    weights -= 1.0 / block.shape[1]\n",
        "",
        "no baseline",
        f"{RANKED}::test_shares_by_hand",
    ),
    _in(
        "ranked",
        "(two[:, 1] - two[:, 0])[:, None]",
        "(two[:, 1] - block.mean(axis=1))[:, None]",
        "the mean in place of the second best",
        f"{RANKED}::test_best_by_hand",
    ),
    _in(
        "baselines",
        "after = np.where(here, error + gamma * lam * after, after)",
        "after = np.where(here, error + gamma * lam * after, gamma * lam * after)",
        "what a tool wrote is discounted as if it were time",
        f"{BASELINES}::test_gae_skips_padding_and_what_a_tool_wrote",
    ),
    _in(
        "baselines",
        "following = np.where(here, v[:, t], following)",
        "following = v[:, t]",
        "the value of a masked token is bootstrapped from",
        f"{BASELINES}::test_gae_skips_padding_and_what_a_tool_wrote",
    ),
    _in(
        "normalized",
        "        left = _merged(outside, _every_second(level, 1))\n",
        "        left = _merged(outside, _every_second(level, 0))\n",
        "the own half is taken for the others",
        f"{NORMALIZED}::test_leave_one_out_in_groups_of_any_size",
    ),
    _in(
        "history",
        "return np.where(divisors > 0.0, divisors, np.inf)[:, None]",
        "return divisors[:, None]",
        "a scale of 0 divides",
        f"{HISTORY}::test_a_spread_whose_squares_vanish_divides_nothing",
    ),
]
