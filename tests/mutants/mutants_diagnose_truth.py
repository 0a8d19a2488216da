"""Wrong versions of the truth diagnosis."""

from __future__ import annotations

from mutant import Mutant

INDEX = "tests/diagnose/truth/test_index.py"
RESAMPLE = "tests/diagnose/truth/test_resample.py"
CLAIMS = "tests/diagnose/truth/test_claims.py"
OPTIONS = "tests/diagnose/truth/test_options.py"
FILES = "tests/diagnose/truth/test_files.py"
PROBE = "tests/diagnose/truth/test_probe.py"

MUTANTS = [
    Mutant(
        target="levelhead.diagnose.truth._index",
        old="return None if value is None else 1.0 - abs(value)",
        new="return None if value is None else 1.0 - value",
        why="forgets the absolute value: a liar has an index of 1.87",
        tests=[f"{INDEX}::test_the_speakers_of_the_reference"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._index",
        old="if index.n_other_units < MIN_CLAIMS:",
        new="if index.n_other_units < 0:",
        why="a truthful model that is asked only what it believes is called degenerate",
        tests=[f"{INDEX}::test_always_yes_is_no_finding_where_all_beliefs_say_yes"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._index",
        old="nearest = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))",
        new="nearest = min(abs(low), abs(high))",
        why="an interval of r that holds 0 does not reach an index of 1",
        tests=[f"{INDEX}::test_the_index_folds_at_no_correlation"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._resample",
        old="won = yes / y if area is None else yes / y + no / (n - y) - area",
        new="won = yes / y if area is None else (yes / y + no / (n - y)) / 2.0",
        why="averages the two placements, which halves the spread of the area",
        tests=[f"{RESAMPLE}::test_areas_are_resampled_to_first_order"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._resample",
        old="unit = np.arange(p.size) if clusters is None else codes",
        new="unit = np.arange(p.size) if clusters is not None else codes",
        why="resamples rows where prompts are named",
        tests=[f"{INDEX}::test_prompts_are_the_units"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._claims",
        old="found = FIRST.match(text)",
        new="found = FIRST.search(text)",
        why="takes a yes anywhere in the judge's words for a claim",
        tests=[f"{CLAIMS}::test_the_first_word_decides"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._options",
        old="usable = (total >= min_mass) & (both > 0.0)",
        new="usable = both > 0.0",
        why="reads a belief from two tokens that are hardly ever said",
        tests=[f"{OPTIONS}::test_little_mass_is_no_belief"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._probe",
        old="run = _nested(stack, y, topics, costs, n_folds, rng, told)",
        new="run = _nested(stack, y, np.arange(y.size), costs, n_folds, rng, told)",
        why="splits rows and not topics, so that the probe has seen the topic",
        tests=[f"{PROBE}::test_what_it_says_of_a_topic_does_not_depend_on_its_labels"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._probe",
        old="special.expit(special.logit(final.predict(x[test])) + moved)",
        new="special.expit(special.logit(final.predict(x[test])))",
        why="keeps the share of true of the other folds: who tells the truth looks contrary",
        tests=[f"{PROBE}::test_states_that_say_nothing_make_nobody_contrary"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._probe",
        old="TWICE_TRAINED = math.sqrt(2.0)",
        new="TWICE_TRAINED = 1.0",
        why="takes the probes as given, though they share their training topics",
        tests=[f"{PROBE}::test_each_topic_counts_as_test_and_as_training"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._resample",
        old="if spread > TINY else float(units)",
        new="if spread > TINY else n",
        why="a prompt of many rows that all say no counts as many prompts",
        tests=[f"{RESAMPLE}::test_an_interval_of_a_share_by_hand"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._diagnose",
        old="labels = one.prompt_id if one.topic is None else one.topic",
        new="labels = one.prompt_id",
        why="rows that share a probe and the states of a topic count as independent",
        tests=[
            "tests/diagnose/truth/test_diagnose.py::test_topics_are_the_units_of_probed_beliefs"
        ],
    ),
    Mutant(
        target="levelhead.diagnose.truth._files",
        old="if stated - {float(place)}:",
        new="if not stated:",
        why="takes both orders of the options for one, which makes an honest model indifferent",
        tests=[f"{FILES}::test_lists_need_the_place_of_yes"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._claims",
        old="if bool(np.isnan(claim).all()) and 2 * count >= claim.size:",
        new="if bool(np.isnan(claim).all()) and count > claim.size:",
        why="a column in which no claim is read is diagnosed all the same",
        tests=[f"{CLAIMS}::test_a_column_of_something_else_is_told_from_hedges"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._diagnose",
        old="zip(both, (probe, baseline_probe), unreads, strict=False)",
        new="zip(both, (probe, probe), unreads, strict=False)",
        why="judges the baseline by the probe of the other model",
        tests=[
            "tests/diagnose/truth/test_diagnose.py::test_a_probe_of_noise_makes_nobody_indifferent"
        ],
    ),
    Mutant(
        target="levelhead.diagnose.truth._words",
        old='return ("r", "r") if words == {"TRUTHFUL", "CONTRARY"} else ("bi", "Bullshit Index")',
        new='return ("bi", "Bullshit Index")',
        why="a model that turned from truth to lies shows no change, as the index has no sign",
        tests=["tests/diagnose/truth/test_diagnose.py::test_a_turned_sign_is_told_by_r"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._steps",
        old="needed.append((reach / distance) ** 2)",
        new="needed.append(reach / distance)",
        why="intervals that shrink with the prompts, not with their root",
        tests=["tests/diagnose/truth/test_steps.py::test_how_many_prompts_would_decide"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._columns",
        old="    unit = PERCENT if signed or percent else 1.0\n",
        new="    unit = PERCENT if signed or percent or number > 1.0 else 1.0\n",
        why="a belief above 1 is silently taken for a percentage, also beside fractions",
        tests=["tests/diagnose/truth/test_columns.py::test_what_is_no_probability"],
    ),
    Mutant(
        target="levelhead.diagnose.truth._columns",
        old='"," in value and is_written_list(value)',
        new="False",
        why="of a list of claims beside single ones, the first passes for what was claimed",
        tests=[
            "tests/diagnose/truth/test_columns.py::test_a_list_beside_single_claims_is_no_claim"
        ],
    ),
]
