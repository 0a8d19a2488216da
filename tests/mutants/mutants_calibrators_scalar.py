"""Wrong versions of the calibrators of one confidence."""

from __future__ import annotations

from mutant import Mutant

BASE = "levelhead.calibrators._base"
BINARY = "levelhead.calibrators._binary"
SCALING = "levelhead.calibrators.scaling"
STEPWISE = "levelhead.calibrators.stepwise"
VENN = "levelhead.calibrators._venn_abers"

TEST_BASE = "tests/calibrators/test_base.py"
TEST_SCALING = "tests/calibrators/test_scaling.py"
TEST_STEPWISE = "tests/calibrators/test_stepwise.py"

MUTANTS = [
    Mutant(
        target=SCALING,
        old="return sigmoid(log_odds(c, self.eps_) / self.temperature_)",
        new="return sigmoid(log_odds(c, self.eps_) * self.temperature_)",
        why="takes the temperature for the slope",
        tests=[f"{TEST_SCALING}::test_a_temperature_by_hand"],
    ),
    Mutant(
        target=SCALING,
        old="(rows.weight - hits) / (wrong + 2.0)",
        new="(rows.weight - hits) / (right + 2.0)",
        why="Platt's target of a wrong row depends on the number of wrong rows",
        tests=[f"{TEST_SCALING}::test_platts_targets"],
    ),
    Mutant(
        target=BINARY,
        old="key=lambda f: f.objective)",
        new="key=lambda f: f.objective)\n"
        "    best = dataclasses.replace(free, parameters=np.maximum(free.parameters, 0.0))",
        why="sets the negative parameter to 0 and does not fit the others again",
        tests=[f"{TEST_SCALING}::test_a_beta_parameter_with_the_wrong_sign_is_left_out"],
    ),
    Mutant(
        target=BINARY,
        old="RIDGE = 1e-9",
        new="RIDGE = 1e-3",
        why="a ridge that is seen in ordinary fits",
        tests=[f"{TEST_SCALING}::test_two_parameters_go_through_two_accuracies"],
    ),
    Mutant(
        target=BINARY,
        old="value = weight @ np.log1p(small) + np.where(up, misses, hits) @ np.abs(e)",
        new="value = weight @ (np.maximum(e, 0.0) + np.log1p(small)) - hits @ e",
        why="the textbook form of the loss loses a small one to rounding, and the line search stalls",
        tests=[f"{TEST_SCALING}::test_two_separated_rows_converge"],
    ),
    Mutant(
        target=BINARY,
        old="min(float(inside.min()), 1.0 - float(inside.max()))",
        new="1.0 - float(inside.max())",
        why="the distance from 0 does not count, and clipping ties the lowest confidences",
        tests=[f"{TEST_SCALING}::test_where_it_clips_by_hand"],
    ),
    Mutant(
        target=BINARY,
        old="max(nearest / 2.0, SMALLEST_EPS)",
        new="max(nearest, SMALLEST_EPS)",
        why="a stated 100% is the same as the highest other statement",
        tests=[f"{TEST_SCALING}::test_confidences_of_the_fit_stay_apart"],
    ),
    Mutant(
        target=SCALING,
        old="np.clip(c, self.eps_, 1.0 - self.eps_)",
        new="np.clip(c, 1e-6, 1.0 - 1e-6)",
        why="beta clips at a fixed place, whatever the scale",
        tests=[f"{TEST_SCALING}::test_neither_scale_is_fitted_as_the_other"],
    ),
    Mutant(
        target=SCALING,
        old="low = high = float(self.eps)",
        new="low, high = LEAST, 0.5",
        why="a file whose two places to clip differ is taken",
        tests=[f"{TEST_SCALING}::test_where_it_clips_is_kept"],
    ),
    Mutant(
        target=STEPWISE,
        old="value + self.tie_break * c",
        new="value + self.tie_break * value",
        why="a step's confidences stay tied",
        tests=[f"{TEST_STEPWISE}::test_no_ordering_is_lost_on_held_out_rows"],
    ),
    Mutant(
        target=STEPWISE,
        old="mixed = (1.0 - self.tie_break) * value",
        new="mixed = value",
        why="the mixture's shares exceed 1, and every confidence is moved up",
        tests=[f"{TEST_STEPWISE}::test_a_tie_break_by_hand"],
    ),
    Mutant(
        target=STEPWISE,
        old="self.tie_break * (low + c * (high - low))",
        new="self.tie_break * c",
        why="mixed with the confidence and cut off at the interval, which ties what leaves it",
        tests=[f"{TEST_STEPWISE}::test_venn_abers_by_hand"],
    ),
    Mutant(
        target=STEPWISE,
        old="np.append(rows.hits / rows.weight, [1.0, 0.0])",
        new="np.append(rows.hits / rows.weight, [0.0, 1.0])",
        why="the added rows sharpen the ends and do not soften them",
        tests=[f"{TEST_STEPWISE}::test_the_prior_by_hand"],
    ),
    Mutant(
        target=STEPWISE,
        old="middle = upper - rows.weight / 2.0",
        new="middle = upper",
        why="a tie goes to the bin where it ends and not to the bin of its middle",
        tests=[f"{TEST_STEPWISE}::test_ties_are_never_split", TEST_STEPWISE],
    ),
    Mutant(
        target=STEPWISE,
        old="middle = self.high_ / (1.0 - self.low_ + self.high_)",
        new="middle = (self.high_ + self.low_) / 2.0",
        why="the middle of the interval, which is not the minimax point of the log loss",
        tests=[f"{TEST_STEPWISE}::test_venn_abers_by_hand"],
    ),
    Mutant(
        target=VENN,
        old="b = max(b, (place + 1) // 2)",
        new="b = max(b, place // 2)",
        why="a new row at a confidence of the fit is taken for one below it",
        tests=[f"{TEST_STEPWISE}::test_venn_abers_by_hand", TEST_STEPWISE],
    ),
    Mutant(
        target=BASE,
        old="counted = right if w is None else right[w > 0.0]",
        new="counted = right",
        why="a class whose rows all have weight 0 counts as seen",
        tests=[f"{TEST_BASE}::test_bad_rows_are_one_clear_sentence"],
    ),
]
