"""Wrong versions of what all diagnoses share: how samples are read, and the report of both models."""

from __future__ import annotations

from mutant import Mutant

ALL = "tests/cli/diagnose/test_all.py"
SAMPLES = "tests/cli/diagnose/test_samples.py"

MUTANTS = [
    Mutant(
        target="levelhead.cli.diagnose._audit",
        old="return np.asarray(cast(Any, pc).is_in(mine, theirs.unique(), skip_nulls=True))",
        new="return np.ones(len(one), dtype=bool)",
        why="judges each model on prompts of its own, beside a change on those that both have",
        tests=[f"{ALL}::test_both_models_are_judged_on_the_prompts_that_both_have"],
    ),
    Mutant(
        target="levelhead.cli.diagnose._all",
        old="finish([with_log(first, log), *rest], report",
        new="finish([first, *rest], report",
        why="loses what the readers found odd",
        tests=[f"{ALL}::test_a_model_beside_itself"],
    ),
    Mutant(
        target="levelhead.cli.diagnose._samples",
        old="return [message_text(chat, name, Path(argument)) for chat in chats]",
        new="return [str(chat) for chat in chats]",
        why="takes the question and the names of the roles for what the model wrote",
        tests=[f"{SAMPLES}::test_chats_are_what_the_assistant_said_last"],
    ),
    Mutant(
        target="levelhead.cli.diagnose._samples",
        old="models[0] == models[1] and second in (None, first)",
        new="models[0] == models[1] and second is None",
        why="compares a model with itself where its path is written twice",
        tests=[f"{SAMPLES}::test_the_second_path_is_the_first_where_names_tell_the_models_apart"],
    ),
    Mutant(
        target="levelhead.diagnose.report",
        old="return points(value) if share else signed(value)",
        new="return signed(value)",
        why="prints a difference of shares as a fraction beside shares in percent",
        tests=["tests/diagnose/test_report.py::test_a_measure_in_words"],
    ),
    Mutant(
        target="levelhead._text",
        old="(round(p, digits) <= level) != (p <= level)",
        new="False",
        why="a p-value above the level reads as the level, at which it would have counted",
        tests=["tests/test_text.py::test_a_p_value_reads_on_its_side_of_the_level"],
    ),
    Mutant(
        target="levelhead.readers.columns",
        old='if detected == "percent_tag" and self.found.kind == "answer":',
        new="if False:",
        why="reads the answer 37 as a confidence of 37%",
        tests=[f"{SAMPLES}::test_a_number_in_an_answer_tag_is_an_answer"],
    ),
    Mutant(
        target="levelhead._text",
        old="if abs(end) >= ROUNDING else",
        new="if True else",
        why="an interval from 0 on reads as one below or above it",
        tests=["tests/test_text.py::test_an_interval_has_no_sign_before_0"],
    ),
    Mutant(
        target="levelhead._text",
        old="if 0.9995 <= value < 1.0:",
        new="if 0.9995 < value < 1.0:",
        why="1,999 of 2,000 reads as all of them",
        tests=["tests/test_text.py::test_what_is_not_all_never_reads_as_all"],
    ),
]
