"""Wrong versions of what levelhead gives to verl; their tests need no verl."""

from __future__ import annotations

from mutant import Mutant

ESTIMATORS, REWARDS = "levelhead.adapters.verl_estimators", "levelhead.adapters.verl_rewards"
SETTINGS, ENGINE = "levelhead.adapters._verl_settings", "levelhead.adapters.verl_engine"
IN_VERLS_FORM = "tests/adapters/test_verl_estimators.py"
SCORED = "tests/adapters/test_verl_rewards.py"
RENDERED = "tests/adapters/test_verl_engine.py"

MUTANTS = [
    Mutant(
        target=ESTIMATORS,
        old="as_given(np.where(mask, advantage, 0.0))",
        new="as_given(advantage)",
        why="leaves the mask to the loss, where padding and a tool's tokens count in some statistics",
        tests=[f"{IN_VERLS_FORM}::test_rloo_by_hand"],
    ),
    Mutant(
        target=ESTIMATORS,
        old="label = groups[present // n_runs] * n_runs + present % n_runs",
        new="label = groups[present // n_runs]",
        why="compares first turns with second ones",
        tests=[
            f"{IN_VERLS_FORM}::test_turns_are_compared_with_the_same_turn_of_the_others",
            f"{IN_VERLS_FORM}::test_turns_of_different_prompts_stay_apart",
        ],
    ),
    Mutant(
        target=REWARDS,
        old='"score": score(stated, truth) if readable else low,',
        new='"score": score(stated, truth) if readable else 0.0,',
        why="pays nothing for a broken format, which is more than any honest log score",
        tests=[f"{SCORED}::test_scores_by_hand", f"{SCORED}::test_honesty_pays_best"],
    ),
    Mutant(
        target=REWARDS,
        old='"confidence": said.confidence,',
        new='**({} if said.confidence is None else {"confidence": said.confidence}),',
        why="leaves out what is not there: verl takes the keys of the first response for all",
        tests=[f"{SCORED}::test_what_an_audit_needs_is_there"],
    ),
    Mutant(
        target=SETTINGS,
        old="size = recipe.rollout.prompts // algorithm.updates_per_rollout",
        new="size = recipe.rollout.prompts * recipe.rollout.group_size // algorithm.updates_per_rollout",
        why="counts a mini-batch in responses; verl counts prompts and multiplies",
        tests=[f"{RENDERED}::test_the_papers_runs_are_rendered"],
    ),
    Mutant(
        target=SETTINGS,
        old='Override("algorithm.norm_adv_by_std_in_grpo", name == "grpo", key)',
        new='Override("algorithm.norm_adv_by_std_in_grpo", True, key)',
        why="verl's default, under which GRPO without std is GRPO",
        tests=[f"{RENDERED}::test_the_papers_runs_are_rendered"],
    ),
    Mutant(
        target=SETTINGS,
        old="steps = optimizer.warmup_steps // _updates_per_step(recipe)",
        new="steps = optimizer.warmup_steps",
        why="verl's schedule moves once a step and not at every update",
        tests=[f"{RENDERED}::test_settings_by_hand"],
    ),
    Mutant(
        target=SETTINGS,
        old="epochs = steps // per_epoch + 1 if counted else steps",
        new="epochs = max(steps // per_epoch, 1) if counted else steps",
        why="counts full passes only, so that verl stops before the last steps",
        tests=[f"{RENDERED}::test_settings_by_hand"],
    ),
    Mutant(
        target=SETTINGS,
        old='counted = per_epoch > 0 and recipe.rollout.long_prompts != "drop"',
        new="counted = per_epoch > 0",
        why="counts prompts that verl will drop, so that verl stops before the last steps",
        tests=[f"{RENDERED}::test_settings_by_hand"],
    ),
    Mutant(
        target=SETTINGS,
        old='dropped = rollout.long_prompts == "drop"',
        new='dropped = rollout.long_prompts != "drop"',
        why="drops long prompts where they shall be an error, and the other way round",
        tests=[f"{RENDERED}::test_settings_by_hand"],
    ),
    Mutant(
        target=SETTINGS,
        old='yield Override(f"{ROLLOUT}.val_kwargs.temperature", tests.temperature,',
        new='yield Override(f"{ROLLOUT}.val_kwargs.temperature", rollout.temperature,',
        why="evaluates at the temperature of the rollouts",
        tests=[f"{RENDERED}::test_settings_by_hand"],
    ),
    Mutant(
        target=ENGINE,
        old="found = _enough_passes(recipe, found, replaced)",
        new="found = list(found)",
        why="counts passes of the recipe's data where the user has others",
        tests=[f"{RENDERED}::test_there_are_enough_passes"],
    ),
    Mutant(
        target=ENGINE,
        old="found = [leaf for one in found for leaf in _opened(one, replaced)]",
        new="found = list(found)",
        why="sets the whole mapping and then one of its keys, which verl's Hydra refuses",
        tests=[f"{RENDERED}::test_a_setting_below_one_of_ours_wins_as_well"],
    ),
    Mutant(
        target=REWARDS,
        old="return () if _is_nothing(ground_truth) else (str(ground_truth),)",
        new="return () if ground_truth is None else (str(ground_truth),)",
        why="a missing right answer is the text nan, so that every answer is wrong",
        tests=[f"{SCORED}::test_wrong_options_and_truths_are_refused"],
    ),
]
