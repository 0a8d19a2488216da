"""Wrong versions of recipes: how they are read, checked and written."""

from __future__ import annotations

from mutant import Mutant

FOLDER = "tests/train/config"

MUTANTS = [
    Mutant(
        target="levelhead.train.config._yaml",
        old="    _kind.yaml_implicit_resolvers = {}  # none of YAML 1.1's\n",
        new="",
        why="YAML 1.1 as PyYAML has it: `action: off` is false, a learning rate of 1e-6 is text",
        tests=[f"{FOLDER}/test_yaml.py"],
    ),
    Mutant(
        target="levelhead.train.config._yaml",
        old="            if name in found:\n",
        new="            if False:\n",
        why="a key that stands twice takes the last value, silently",
        tests=[f"{FOLDER}/test_yaml.py"],
    ),
    Mutant(
        target="levelhead.train.config.sections",
        old='        extra="forbid",\n',
        new='        extra="ignore",\n',
        why="a misspelled key is dropped and the default trains for a week",
        tests=[f"{FOLDER}/test_problems.py"],
    ),
    Mutant(
        target="levelhead.train.config.sections",
        old="        strict=True,\n",
        new="",
        why="the text '3' and the number 3.0 pass for a whole number",
        tests=[f"{FOLDER}/test_sections.py"],
    ),
    Mutant(
        target="levelhead.train.config.recipe",
        old='row.scope == "group" or row.centered',
        new='row.scope == "group"',
        why="forgets the estimators that look beyond the group and are centered on it all the same",
        tests=[f"{FOLDER}/test_recipe.py"],
    ),
    Mutant(
        target="levelhead.train.config.recipe",
        old='    if kl.estimator == "k1" and kl.place == "loss":\n',
        new='    if kl.estimator == "k1" and kl.place == "reward":\n',
        why="k1 in the loss has no gradient on average: a penalty that does nothing",
        tests=[f"{FOLDER}/test_recipe.py"],
    ),
    Mutant(
        target="levelhead.train.config.reading",
        old='    parsed.sort(key=lambda one: one[0] != ("task", "kind"))\n',
        new="",
        why="a change of a task's option before that of its kind is lost",
        tests=[
            f"{FOLDER}/test_reading.py::test_another_kind_of_task_drops_the_options_of_the_old_one"
        ],
    ),
    Mutant(
        target="levelhead.train.config.reading",
        old="if not _touches(one, wrong)] if not still else []",
        new="] if not still else []",
        why="blames a key for a rule that was checked with the default of another, wrong one",
        tests=[f"{FOLDER}/test_problems.py"],
    ),
]
