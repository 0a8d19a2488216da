"""Wrong versions of the linter."""

from __future__ import annotations

from mutant import Mutant

LINT = "levelhead.lint"

MUTANTS = [
    Mutant(
        target=f"{LINT}.verl",
        old='        if name == "grpo":\n            kind, found = "plain", switch',
        new='        if name.startswith("g"):\n            kind, found = "plain", switch',
        why="believes the switch for every estimator; grpo_vectorized does not read it",
        tests=["tests/lint/rules/test_group_std.py", "tests/lint/rules/test_std_switch_ignored.py"],
    ),
    Mutant(
        target=f"{LINT}.verl",
        old="        given[key] = _override(key, text, word)",
        new="        given.setdefault(key, _override(key, text, word))",
        why="the first of two equal overrides wins; Hydra takes the last",
        tests=["tests/lint/test_verl.py::test_hydra_syntax"],
    ),
    Mutant(
        target=f"{LINT}.settings",
        old="                self.unread.setdefault(found.key, found)\n                return None",
        new="                self.unread.setdefault(found.key, found)\n                continue",
        why="takes the default where the file's own value cannot be read: a guess",
        tests=["tests/lint/test_settings.py"],
    ),
    Mutant(
        target=f"{LINT}._shell",
        old="            self._merge(self.earlier.pop(), self.scopes[-1])",
        new="            self.scopes[-1].update(self.earlier.pop())",
        why="the last branch of an if decides a variable",
        tests=["tests/lint/test_shell.py::test_a_variable_that_branches_set_is_unknown_after_them"],
    ),
    Mutant(
        target=f"{LINT}.trl",
        old="    if foreign:\n",
        new="    if foreign and not trainers:\n",
        why="judges a trainer of the user's by what TRL's would do",
        tests=["tests/lint/test_trl.py::test_another_trainer_may_do_as_it_likes"],
    ),
    Mutant(
        target=f"{LINT}._python",
        old="            complete = False\n        else:\n            found[key] = ",
        new="            continue\n        if True:\n            found[key] = ",
        why="overlooks that a dictionary takes in another one, and assumes defaults",
        tests=["tests/lint/test_python.py::test_a_dictionary_within_a_dictionary"],
    ),
    Mutant(
        target=f"{LINT}.openrlhf",
        old='        if kind == "batch_std":\n            kind, found = "plain", switch',
        new='        if kind != "plain":\n            kind, found = "plain", switch',
        why="believes the switch for group_norm, which OpenRLHF does not",
        tests=["tests/lint/test_openrlhf.py", "tests/lint/rules/test_std_switch_ignored.py"],
    ),
    Mutant(
        target=f"{LINT}.rules.confidence_weight",
        old="    bound = max_calibration_weight(name)",
        new="    bound = 1.0",
        why="takes the bound of Brier for every rule",
        tests=["tests/lint/rules/test_confidence_weight.py"],
    ),
    Mutant(
        target=f"{LINT}.rules.small_batch_std",
        old="if prompts.value < ENOUGH:",
        new="if prompts.value <= ENOUGH:",
        why="32 prompts were measured to be harmless",
        tests=["tests/lint/rules/test_small_batch_std.py"],
    ),
    Mutant(
        target=f"{LINT}.report",
        old='.replace(":", "%3A").replace(",", "%2C")',
        new="",
        why="a comma in a path ends the property of an annotation",
        tests=["tests/lint/test_report.py::test_annotations_are_escaped"],
    ),
    Mutant(
        target=f"{LINT}._yaml",
        old="for source in reversed(sources):",
        new="for source in sources:",
        why="of several merged mappings the first counts",
        tests=["tests/lint/test_yaml.py"],
    ),
    Mutant(
        target=f"{LINT}._python",
        old="one.place.block == place.block and ",
        new="",
        why="takes an attribute for set that only a branch sets",
        tests=["tests/lint/test_python.py"],
    ),
    Mutant(
        target=f"{LINT}._shell",
        old='        elif operator == "||" or not self.sure:',
        new='        elif operator == "||":',
        why="takes what follows && for unconditional",
        tests=["tests/lint/test_shell.py"],
    ),
    Mutant(
        target=f"{LINT}.settings",
        old="            if key in self.defaults and self.hidden is None:",
        new="            if key in self.defaults:",
        why="takes a default for granted beside an argument that may set anything",
        tests=["tests/lint/test_settings.py", "tests/lint/test_verl.py"],
    ),
    Mutant(
        target=f"{LINT}.trl",
        old='"luspo": "sum"',
        new='"luspo": "token_mean"',
        why="luspo divides by the number of sequences",
        tests=["tests/lint/test_trl.py::test_what_the_loss_types_do"],
    ),
    Mutant(
        target=f"{LINT}.verl",
        old='dict.fromkeys(("low_var_kl", "k3"), "reverse")',
        new='dict.fromkeys(("low_var_kl", "k3"), "exp")',
        why="k3 in the loss has the gradient of the other divergence",
        tests=["tests/lint/rules/test_strong_kl.py"],
    ),
    Mutant(
        target=f"{LINT}.own",
        old='"log": ("eta", "eta"), ',
        new="",
        why="the worst log score depends on the clip of the recipe",
        tests=["tests/lint/test_own.py", "tests/lint/rules/test_format_floor.py"],
    ),
]
