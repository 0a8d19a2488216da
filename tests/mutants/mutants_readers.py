"""Wrong readers: each loses, invents or mislabels a record without any error."""

from __future__ import annotations

from mutant import Mutant

COLUMNS, HOSTILE = ["tests/readers/test_columns.py"], ["tests/readers/test_hostile.py"]
UNFOLD = "tests/readers/test_unfold.py"
NAMED = "tests/readers/test_unfold_named.py"
RLCR = ["tests/readers/test_rlcr.py"]

MUTANTS = [
    Mutant(
        target="levelhead.readers._values",
        old="                self._refuse(values, stated, int(beyond.argmax()), place)\n",
        new="                values[beyond] /= 100.0\n",
        why="values above 1 are silently taken for percentages, also beside fractions",
        tests=COLUMNS,
    ),
    Mutant(
        target="levelhead.readers._values",
        old="    status[np.isnan(values) & (status == 0)] = MISSING\n",
        new="    values[np.isnan(values)] = 0.0\n",
        why="a missing confidence becomes 0, which gives a wrong answer a perfect score",
        tests=HOSTILE,
    ),
    Mutant(
        target="levelhead.readers._values",
        old="        return self.first + i if self.lines is None else int(self.lines[i])\n",
        new="        return i + 1 if self.lines is None else int(self.lines[i])\n",
        why="errors name the row of the batch instead of the row of the file",
        tests=[
            "tests/readers/test_hostile.py::test_an_error_in_the_second_batch_names_the_row_of_the_file"
        ],
    ),
    Mutant(
        target="levelhead.readers.rlcr",
        old="    if arm.classes is not None or text is None:\n",
        new="    if text is None:\n",
        why="a zero that a classifier states is taken for a stand-in",
        tests=RLCR,
    ),
    Mutant(
        target="levelhead.readers.rlcr",
        old="        if published:\n            return {",
        new="        if not published:\n            return {",
        why="RLCR's own numbers are computed without its stand-ins, ours with them",
        tests=RLCR,
    ),
    Mutant(
        target="levelhead.readers._json",
        old='    return value if text[end:] in _ENDS and b"\\\\u" not in raw else None\n',
        new='    return value if b"\\\\u" not in raw else None\n',
        why="what follows an object on its line is dropped without a word",
        tests=HOSTILE,
    ),
    Mutant(
        target="levelhead.readers.sources",
        old='        if total and int(match["i"]) > int(total):\n            continue\n',
        new="        if not total:\n            continue\n",
        why="shards that do not say how many there are become models of their own",
        tests=["tests/readers/test_sources.py"],
    ),
    Mutant(
        target="levelhead.readers._columns",
        old='    return plain.lstrip(_AROUND).rstrip(_AROUND + ".")\n',
        new='    return plain.strip(_AROUND + ".")\n',
        why="the answer .5 counts as 5",
        tests=COLUMNS,
    ),
    Mutant(
        target="levelhead.records",
        old="            codes[codes < 0] = names + np.arange(unnamed)\n",
        new="            codes[codes < 0] = names\n",
        why="all rows without a prompt become samples of one prompt",
        tests=["tests/test_records.py"],
    ),
    Mutant(
        target="levelhead.records",
        old="            wrong |= ~ok & ~np.isnan(self.confidence)\n",
        new="            wrong |= ok & np.isnan(self.confidence)\n",
        why="a confidence of 7 passes where the status says that there is none",
        tests=["tests/test_records.py"],
    ),
    Mutant(
        target="levelhead.records",
        old="    named = any(b.prompt_id is not None for b in blocks)\n",
        new="    named = all(b.prompt_id is not None for b in blocks)\n",
        why="one shard without ids makes all samples independent in silence",
        tests=["tests/test_records.py"],
    ),
    Mutant(
        target="levelhead.records",
        old="    blank = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=pa.array(_NO_ID))\n",
        new="    blank = pc.is_null(texts)\n",
        why="rows with an empty id become samples of one prompt",
        tests=COLUMNS,
    ),
    Mutant(
        target="levelhead.readers._values",
        old="            if not 0.0 <= found <= 100.0:\n",
        new="            if not found <= 100.0:\n",
        why="-5% passes as a confidence",
        tests=HOSTILE,
    ),
    Mutant(
        target="levelhead.readers.columns",
        old='            data["row"] = place.numbers(n)\n',
        new='            data["row"] = np.arange(1, n + 1)\n',
        why="a confident error is cited by its row in the batch",
        tests=COLUMNS,
    ),
    Mutant(
        target="levelhead.readers._unfold",
        old="    places = (np.cumsum(known) - known)[row] + sample\n",
        new="    places = (np.cumsum(size) - size)[row] + sample\n",
        why="after a null in place of a list the samples get the values of other prompts",
        tests=[f"{UNFOLD}::test_lists_of_any_layout"],
    ),
    Mutant(
        target="levelhead.readers._unfold",
        old="        bad = (own >= 0) & (own != size)\n",
        new="        bad = own > size\n",
        why="a list that is too short gives its samples the values of the next prompt",
        tests=[f"{UNFOLD}::test_errors_name_the_row_and_the_sample"],
    ),
    Mutant(
        target="levelhead.readers._unfold_named",
        old="        found = [*self.single(self.answers), *self.doubtful]\n",
        new="        found = []\n",
        why="the right answer of a prompt is taken for what every sample answered",
        tests=[f"{UNFOLD}::test_what_one_value_says_of_a_prompt_is_not_what_a_sample_says"],
    ),
    Mutant(
        target="levelhead.readers._unfold_named",
        old="    if not is_list(kind) or _is_chat(kind):\n        return False\n    return element",
        new="    if not is_list(kind):\n        return False\n    return element",
        why="the messages of a chat become samples",
        tests=[f"{UNFOLD}::test_holds_samples"],
    ),
    Mutant(
        target="levelhead.readers._unfold_named",
        old="one=labelled and found.says_all(options)",
        new="one=False",
        why="the samples behind a majority's answer are counted as records, each with its confidence",
        tests=[f"{NAMED}::test_a_row_with_its_own_truth_and_confidence_is_one_record"],
    ),
    Mutant(
        target="levelhead.readers._unfold_named",
        old="        if not parsed and self.holds_classes(options):\n            return True\n",
        new="",
        why="what lists lie beside the probabilities of classes makes one record several",
        tests=[f"{NAMED}::test_a_row_with_its_own_truth_and_confidence_is_one_record"],
    ),
    Mutant(
        target="levelhead.readers._unfold_named",
        old="if holds_samples(schema[n]) or is_scalar(known[n], schema[n])",
        new="if True",
        why="a size of a picture beside a truth is refused as truths in lists",
        tests=[f"{NAMED}::test_a_row_with_its_own_truth_and_confidence_is_one_record"],
    ),
    Mutant(
        target="levelhead.readers._unfold",
        old="    _refuse_words(table, one, path)\n",
        new="",
        why="one row with a single confidence costs the confidences of all rows with lists",
        tests=[f"{UNFOLD}::test_no_list_is_read_as_the_text_of_itself"],
    ),
    Mutant(
        target="levelhead.readers._unfold",
        old="                _check_plain(name, own[name], place)\n",
        new="                pass\n",
        why="lists of confidences behind many single ones are lost",
        tests=[f"{UNFOLD}::test_no_list_is_read_as_the_text_of_itself"],
    ),
]
