"""Trees of answers under tokenizers that split, join and merge."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from levelhead.errors import InvalidInputError
from levelhead.train.answers import AnswerTrie

PERCENT = [str(k) for k in range(1, 100)]


def make_tokenizer(pattern: str, words: list[str]) -> PreTrainedTokenizerFast:
    """One token per match of the pattern."""
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


WORDS = ["?", "<", "answer", ">", "</", "x", *map(str, range(1, 100)), "0", "5%", ">7", "100"]
DIGITS = make_tokenizer(r"</|answer|.", WORDS)
WHOLE = make_tokenizer(r"</|answer|\d+|.", WORDS)
STUCK = make_tokenizer(r"</|answer|>7|.", WORDS)


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def spelled(trie: AnswerTrie, answer: str) -> list[str]:
    """The tokens on the way of an answer."""
    path = trie.paths[trie.answers.index(answer)]
    return [WORDS[token] for token in trie.edges[path[path >= 0], 1]]


def test_split_digits_have_ten_nodes() -> None:
    trie = AnswerTrie.build(DIGITS, PERCENT, "<answer>", "</answer>")
    assert [WORDS[node[0]] if node else "" for node in trie.nodes] == ["", *"123456789"]
    assert all(len(node) <= 1 for node in trie.nodes)
    assert len(trie.edges) == 9 + 9 + 90  # first digits, ends of one-digit answers, second digits
    assert spelled(trie, "7") == ["7", "</"]
    assert spelled(trie, "75") == ["7", "5"]
    assert trie.paths.shape == (99, 2)


def test_whole_numbers_have_the_root_alone() -> None:
    trie = AnswerTrie.build(WHOLE, PERCENT, "<answer>", "</answer>")
    assert trie.nodes == ((),)
    assert trie.paths.tolist() == [[k] for k in range(99)]
    assert spelled(trie, "75") == ["75"]


def test_any_answer_that_begins_another_ends_with_the_closing_tag() -> None:
    trie = AnswerTrie.build(DIGITS, ["1", "10", "100"], "<answer>", "</answer>")
    assert [spelled(trie, a) for a in trie.answers] == [
        ["1", "</"],
        ["1", "0", "</"],
        ["1", "0", "0"],
    ]


def test_start() -> None:
    trie = AnswerTrie.build(DIGITS, PERCENT, "<answer>", "</answer>")
    text = ids(DIGITS, "xx<answer>75</answer><answer>")
    assert trie.start(np.array(text), DIGITS) == 5
    assert trie.start(np.array(text[:5]), DIGITS) == 5
    assert trie.start(np.array(text[:4]), DIGITS) is None
    assert trie.start(np.array([], np.int64), DIGITS) is None


def test_start_behind_another_spelling_comes_first() -> None:
    words = [*WORDS, "a", "nswer"]
    other = make_tokenizer(r"</|answer|.", words)
    trie = AnswerTrie.build(other, PERCENT, "<answer>", "</answer>")
    spelling = [words.index(word) for word in ("x", "<", "a", "nswer", ">", "7")]
    text = [*spelling, *ids(other, "<answer>")]
    assert trie.start(np.array(text), other) == 5


def test_no_start_inside_a_token() -> None:
    trie = AnswerTrie.build(STUCK, ["1", "2"], "<answer>", "</answer>")
    assert trie.start(np.array(ids(STUCK, "<answer>75")), STUCK) is None
    assert trie.start(np.array(ids(STUCK, "<answer>15")), STUCK) == 3


@pytest.mark.parametrize(
    ("tokenizer", "answers", "text"),
    [
        (
            STUCK,
            PERCENT,
            "answers: expected '7' to have tokens of its own between '<answer>' and '</answer>', got "
            "'<', 'answer', '>7', '</', 'answer', '>'; choose tags",
        ),
        (DIGITS, [], "answers: expected at least one, got none"),
        (DIGITS, ["1", ""], "answers: expected texts, got an empty one"),
        (
            DIGITS,
            ["1", "1"],
            "answers: expected different ones, got '1' and '1' with the same tokens",
        ),
    ],
)
def test_errors(tokenizer: PreTrainedTokenizerFast, answers: list[str], text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        AnswerTrie.build(tokenizer, answers, "<answer>", "</answer>")
    assert str(caught.value).startswith(text)


def test_a_closing_tag_that_merges() -> None:
    tokenizer = make_tokenizer(r"5%|answer|.", WORDS)
    with pytest.raises(InvalidInputError, match=r"expected '15' to have tokens of its own .* '5%'"):
        AnswerTrie.build(tokenizer, ["14", "15"], "<answer>", "%")


def test_tags_must_be_texts() -> None:
    with pytest.raises(
        InvalidInputError, match="opening and closing: expected texts, got an empty"
    ):
        AnswerTrie.build(DIGITS, PERCENT, "<answer>", "")
