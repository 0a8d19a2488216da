"""Wrong versions of the embedded model and of the rendering of prompts."""

from __future__ import annotations

from mutant import Mutant

EMBEDDED = "levelhead.train.embedded"
WARMUP = "levelhead.train._warmup"
MODEL = "levelhead.train.model"

MUTANTS = [
    Mutant(
        target=EMBEDDED,
        old=r"""    r"|\p{N}"  # one digit""",
        new=r"""    r"|\p{N}+"  # one digit""",
        why="numbers merge into one token, so that the answers' tree is no longer ten nodes",
        tests=["tests/train/test_embedded.py::test_tokenizer_words_digits_and_tags"],
    ),
    Mutant(
        target=EMBEDDED,
        old="AddedToken(tag, special=False, normalized=False)",
        new="AddedToken(tag, special=True, normalized=False)",
        why="the tags are special tokens: decoding drops them and no answer is ever found",
        tests=["tests/train/test_embedded.py::test_tokenizer_words_digits_and_tags"],
    ),
    Mutant(
        target=EMBEDDED,
        old="vocab_size=vocabulary - len(whole),",
        new="vocab_size=vocabulary,",
        why="the tags come on top of the size that was asked for",
        tests=["tests/train/test_embedded.py::test_tokenizer_respects_its_size"],
    ),
    Mutant(
        target=EMBEDDED,
        old="AddedToken(n, special=False, normalized=False, single_word=True)",
        new="AddedToken(n, special=False, normalized=False)",
        why="the numbers are cut out of years and of names",
        tests=[
            "tests/train/test_embedded.py::test_numbers_that_are_answers_are_one_token_where_they_stand_alone"
        ],
    ),
    Mutant(
        target=WARMUP,
        old="-((places - center) ** 2) / (2.0 * width**2)",
        new="-((places - center) ** 2) / (2.0 * width)",
        why="a width is taken for a variance, and the two directions no longer reach the bells",
        tests=["tests/train/test_warmup.py::test_bells_by_hand"],
    ),
    Mutant(
        target=WARMUP,
        old="deciding = packed.which[torch.from_numpy(np.flatnonzero(at == self.opened))]",
        new="deciding = packed.which[torch.from_numpy(np.flatnonzero(at == 0))]",
        why="the numbers are asked for before the tag, where none may be said",
        tests=[
            "tests/train/test_warmup.py::test_the_numbers_are_practiced_where_the_answer_is_decided"
        ],
    ),
    Mutant(
        target=WARMUP,
        old="return {beginning: counts / counts.sum() for beginning, counts in found.items()}",
        new="return {b: (counts > 0) / (counts > 0).sum() for b, counts in found.items()}",
        why="every next token alike, however many answers go on with it",
        tests=["tests/train/test_warmup.py::test_continuations_count_phrases_and_not_tokens"],
    ),
    Mutant(
        target=WARMUP,
        old="held = [{*ids, *itertools.pairwise(ids)} for ids in prompts]",
        new="held = [{*ids} for ids in prompts]",
        why="pairs of neighbors are not asked for: five or more years and children look alike",
        tests=["tests/train/test_warmup.py::test_marks_by_hand"],
    ),
    Mutant(
        target=MODEL,
        old='if system is not None and messages[0].get("role") != "system":',
        new="if system is not None:",
        why="two system messages where the prompt brings its own",
        tests=["tests/train/test_model.py::test_render_keeps_the_prompts_own_system_message"],
    ),
    Mutant(
        target=MODEL,
        old='ids = np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)',
        new="ids = np.asarray(tokenizer.encode(text + tokenizer.eos_token), dtype=np.int64)",
        why="a special token at the end of the prompt, so that the reply begins after a stop",
        tests=["tests/train/test_model.py::test_render_by_hand"],
    ),
    Mutant(
        target=MODEL,
        old="found.update(ids[:1] if ids and ids[0] in tokenizer.all_special_ids else [])",
        new="found.update([])",
        why="a base model with a chat template never stops at the end of its turn",
        tests=["tests/train/test_model.py::test_stop_tokens_find_the_templates_own_mark"],
    ),
]
