"""Wrong versions of the readers of other tools' logs."""

from __future__ import annotations

from mutant import Mutant

READERS = "levelhead.readers"

MUTANTS = [
    Mutant(
        target=f"{READERS}.lm_eval",
        old="        if name != self.filter:\n",
        new="        if False:\n",
        why="the file repeats every document once per filter, and each would count",
        tests=["tests/readers/test_lm_eval.py"],
    ),
    Mutant(
        target=f"{READERS}.lm_eval",
        old='len(text.encode("utf-8", "surrogatepass"))',
        new="len(text)",
        why="acc_norm divides by bytes; characters are fewer wherever the text is not ASCII",
        tests=["tests/readers/test_lm_eval.py"],
    ),
    Mutant(
        target=f"{READERS}.lm_eval",
        old="        if not alone:\n",
        new="        if False:\n",
        why="the metric of the filtered response would be missing or given to every repeat",
        tests=["tests/readers/test_lm_eval.py"],
    ),
    Mutant(
        target=f"{READERS}.inspect_log",
        old="        rows.partial += 1\n        return None\n",
        new="        rows.partial += 1\n        return 0.0\n",
        why="partly right is counted as wrong in silence",
        tests=["tests/readers/test_inspect_log.py"],
    ),
    Mutant(
        target=f"{READERS}._zip",
        old="        self._file.seek(name_length + extra_length, 1)\n",
        new="        self._file.seek(name_length, 1)\n",
        why="a local header may carry extra fields, such as 64-bit sizes, before the bytes",
        tests=["tests/readers/test_zip.py"],
    ),
    Mutant(
        target=f"{READERS}._zip",
        old="len(data) != info.file_size or zlib.crc32(data) != info.CRC",
        new="zlib.crc32(data[: info.file_size]) != info.CRC",
        why="a member that lies about its size would be cut off and parsed",
        tests=["tests/readers/test_zip.py"],
    ),
    Mutant(
        target=f"{READERS}._logs",
        old="            self._parsing = dataclasses.replace(options, elicitation=name)\n",
        new="            pass\n",
        why="detection text by text takes <answer>4</answer> for a confidence of 4%",
        tests=["tests/readers/test_lm_eval.py", "tests/readers/test_verl.py"],
    ),
    Mutant(
        target=f"{READERS}._logs",
        old='"mean": _mean, "min": min',
        new='"mean": min, "min": _mean',
        why="the rules for token probabilities change places",
        tests=["tests/readers/test_chat_logprobs.py"],
    ),
    Mutant(
        target=f"{READERS}._labels",
        old="    if total != len(labels):\n",
        new="    if total > len(labels):\n",
        why="labels of another file with more rows would be joined by order",
        tests=["tests/readers/test_labels.py"],
    ),
    Mutant(
        target=f"{READERS}._labels",
        old="            if key in rows:\n                raise",
        new="            if False:\n                raise",
        why="of two labels of one id the last would win in silence",
        tests=["tests/readers/test_labels.py"],
    ),
    Mutant(
        target=f"{READERS}.lm_polygraph",
        old="    if u is None or math.isnan(u):\n",
        new="    u = 0.0 if u is None or math.isnan(u) else u\n    if u is None:\n",
        why="an unparsed confidence becomes the most confident answer",
        tests=["tests/readers/test_lm_polygraph.py"],
    ),
    Mutant(
        target=f"{READERS}.uqlm",
        old='_CORRECTNESS = (\n    "correct",',
        new='_CORRECTNESS = (\n    "exact_match",\n    "correct",',
        why="uqlm's exact_match is agreement among samples, not agreement with the truth",
        tests=["tests/readers/test_uqlm.py"],
    ),
    Mutant(
        target=f"{READERS}.lm_eval",
        old="    return min(readings[0]), float(best in readings[0])\n",
        new="    return min(readings[-1]), float(best in readings[-1])\n",
        why="where nothing agrees with the log, the unlikelier reading of the target wins",
        tests=["tests/readers/test_lm_eval.py"],
    ),
    Mutant(
        target=f"{READERS}._labels",
        old="    elif labels.key_columns:\n",
        new="    elif False:\n",
        why="labels whose ids the log does not know would be joined by order",
        tests=["tests/readers/test_labels.py"],
    ),
]
