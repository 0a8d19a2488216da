"""Wrong versions of the tasks."""

from __future__ import annotations

from mutant import Mutant

SURVEY = [
    "tests/tasks/test_survey.py::test_the_rows_are_those_of_the_file",
    "tests/tasks/test_survey.py::test_the_split_is_4366_to_2000_with_one_rate",
    "tests/tasks/test_survey.py::test_a_seed_is_a_split_and_any_beginning_is_a_sample",
]

MUTANTS = [
    Mutant(
        target="levelhead.tasks._base",
        old='hashlib.sha256(f"{seed}:{key(item)}".encode())',
        new='hashlib.sha256(f"{key(item)}".encode())',
        why="every seed gives the same order",
        tests=[
            "tests/tasks/test_base.py::test_a_shuffle_follows_from_the_seed_and_the_texts_alone"
        ],
    ),
    Mutant(
        target="levelhead.tasks._base",
        old="        if elicited.answer is None:\n            return 0.0",
        new="        if elicited.answer is None:\n            return None",
        why="no answer cannot be judged, so silence is not wrong",
        tests=["tests/tasks/test_base.py::test_an_answer_task_judges_the_parsed_answer"],
    ),
    Mutant(
        target="levelhead.tasks.survey",
        old='row["affairs"] > 0.0',
        new='row["affairs"] >= 1.0',
        why="reads the time spent as a count: what is less than once a year did not happen",
        tests=SURVEY,
    ),
    Mutant(
        target="levelhead.tasks.survey",
        old="order = shuffled(rows, options.seed, key=lambda row: row[0])",
        new="order = rows",
        why="the file is sorted by outcome: any beginning of a part is all of one",
        tests=SURVEY,
    ),
    Mutant(
        target="levelhead.tasks.oracle",
        old="total / math.sqrt(options.factors)",
        new="total / options.factors",
        why="more factors make the truth duller",
        tests=["tests/tasks/test_oracle.py"],
    ),
    Mutant(
        target="levelhead.tasks._parts",
        old="        if other != part:",
        new="        if other > part:",
        why="what is trained on may be evaluated on",
        tests=["tests/tasks/test_parts.py"],
    ),
    Mutant(
        target="levelhead.tasks._parts",
        old="return json.dumps(prompt.messages) if options.id is None else prompt.prompt_id",
        new="return prompt.prompt_id",
        why="a question that is there twice may be on both sides",
        tests=["tests/tasks/test_parts.py"],
    ),
    Mutant(
        target="levelhead.tasks._rows",
        old="    if _is_nothing(value):\n        raise row.error(f",
        new="    if value == '':\n        raise row.error(f",
        why="a prompt tells of None and nan",
        tests=["tests/tasks/test_rows.py"],
    ),
    Mutant(
        target="levelhead.tasks._verify",
        old="if len(found) != 1 or len(found[0]) > MAX_DIGITS:",
        new="if not found or len(found[0]) > MAX_DIGITS:",
        why="the first of several numbers is the answer",
        tests=["tests/tasks/test_verify.py::test_one_number_is_read_exactly"],
    ),
    Mutant(
        target="levelhead.tasks._verify",
        old="(?=[0-9]{3}(?![0-9]))",
        new="(?=[0-9])",
        why="any comma in a number stands between thousands",
        tests=["tests/tasks/test_verify.py::test_one_number_is_read_exactly"],
    ),
    Mutant(
        target="levelhead.tasks.multiple_choice",
        old="lines[order.index(right)]",
        new="lines[order[right]]",
        why="takes a permutation for its inverse",
        tests=["tests/tasks/test_multiple_choice.py"],
    ),
    Mutant(
        target="levelhead.tasks.arithmetic",
        old="9 * 10 ** (digits - 1)",
        new="10**digits",
        why="numbers of so many digits may have one more",
        tests=["tests/tasks/test_arithmetic.py"],
    ),
]
