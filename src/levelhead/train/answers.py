"""The answers a task allows, as a tree of tokens, so that the probability of each can be computed.

Where the final answer is one of K strings behind an opening tag, the expectation over the answer can
be taken exactly: the tree says after which few prefixes the model must be asked, and which of its
next-token probabilities make up the probability of each string.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from levelhead._arrays import IntArray
from levelhead.errors import InvalidInputError

__all__ = ["AnswerBranch", "AnswerTrie"]


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerTrie:
    """The K answers of a task as paths through a tree of tokens.

    P(answer) = product of P(token | node) over its edges. An answer that is the beginning of another
    one ends with an edge to the first token of the closing tag ("7" beside "75": P(7) P(</ | 7)); any
    other answer ends with its own last token, because no other answer begins with it. The strings are
    then events that exclude one another, and what is left to 1 is the probability of no answer.

    Attributes:
        answers: the K strings.
        opening: the text after which an answer begins.
        closing: the text that ends it.
        opening_ids: the tokens that the tokenizer gives to `opening`.
        nodes: the proper prefixes to be evaluated, each the tokens since the opening; the root, (), is
            the first.
        edges: (E, 2) int64: index of a node, and the token that leaves it.
        paths: (K, depth) int64: the edges of each answer, filled up with -1.
    """

    answers: tuple[str, ...]
    opening: str
    closing: str
    opening_ids: tuple[int, ...]
    nodes: tuple[tuple[int, ...], ...]
    edges: IntArray
    paths: IntArray

    @classmethod
    def build(
        cls, tokenizer: Any, answers: Sequence[str], opening: str, closing: str
    ) -> AnswerTrie:
        """The tree of these answers as this tokenizer writes them between the two tags.

        Args:
            tokenizer: a Hugging Face tokenizer.
            answers: K different strings, none empty, e.g. "1" ... "99".
            opening: what stands before an answer, e.g. `<answer>`; not empty.
            closing: what stands behind it, e.g. `</answer>`; not empty.

        Returns:
            The tree. For "1" ... "99" with digits one by one it has ten nodes, the root and the nine
            first digits; where every answer is one token it has the root alone.

        Raises:
            InvalidInputError: no answers, an empty or repeated one, an empty tag, or a tokenizer that
                merges an answer with a tag, so that the answer has no tokens of its own.

        Edge cases: spaces in an answer count as they stand.
        Properties: the probabilities of the answers sum to at most 1 under any model.
        """
        if not answers:
            raise InvalidInputError("answers: expected at least one, got none")
        if not opening or not closing:
            raise InvalidInputError(
                "opening and closing: expected texts, got an empty one; the end of an answer must show"
            )
        opening_ids = tuple(_encode(tokenizer, opening))
        spelled: dict[tuple[int, ...], str] = {}
        ends: dict[tuple[int, ...], int] = {}
        for answer in answers:
            tokens, end = _spell(tokenizer, opening_ids, opening, answer, closing)
            if tokens in spelled:
                raise InvalidInputError(
                    f"answers: expected different ones, got {answer!r} and {spelled[tokens]!r} with "
                    f"the same tokens {list(tokens)}"
                )
            spelled[tokens], ends[tokens] = answer, end
        nodes, edges, paths = _tree(list(spelled), ends)
        return cls(tuple(answers), opening, closing, opening_ids, nodes, edges, paths)

    def start(self, token_ids: IntArray, tokenizer: Any) -> int | None:
        """Where the answer begins: the index of the token behind the first complete opening.

        Args:
            token_ids: (T,) int64, a completion.
            tokenizer: the tokenizer that the tree was built with.

        Returns:
            An index in 1..T (T where the completion ends with the opening), or None where the opening
            does not occur, or where one token holds its end and more: no token then begins the answer.

        Edge cases: the opening may be spelled with other tokens than the tokenizer would choose.
        """
        ids = [int(token) for token in token_ids]
        wanted = list(self.opening_ids)
        for i in range(len(ids) - len(wanted) + 1):
            if ids[i : i + len(wanted)] == wanted:
                text = _decode(tokenizer, ids[: i + len(wanted)])
                if text.find(self.opening) == len(text) - len(self.opening):
                    return i + len(wanted)
                break
        if self.opening not in _decode(tokenizer, ids):
            return None
        low, high = 1, len(ids)  # the shortest beginning that holds the opening
        while low < high:
            middle = (low + high) // 2
            if self.opening in _decode(tokenizer, ids[:middle]):
                high = middle
            else:
                low = middle + 1
        return low if _decode(tokenizer, ids[:low]).endswith(self.opening) else None


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerBranch:
    """A completion whose answer is to be evaluated exactly.

    Attributes:
        trie: the answers.
        start: index of the completion's token that begins the answer, 0..T: what stands before it is
            the prefix that all K answers continue.
    """

    trie: AnswerTrie
    start: int


def _tree(
    spelled: list[tuple[int, ...]], ends: dict[tuple[int, ...], int]
) -> tuple[tuple[tuple[int, ...], ...], IntArray, IntArray]:
    """Nodes, edges and paths of token sequences that all differ."""
    inner = {tokens[:depth] for tokens in spelled for depth in range(len(tokens))}
    nodes: dict[tuple[int, ...], int] = {}
    edges: dict[tuple[int, int], int] = {}
    steps: list[list[int]] = []
    for tokens in spelled:
        full = (*tokens, ends[tokens]) if tokens in inner else tokens
        path: list[int] = []
        for depth, token in enumerate(full):
            node = nodes.setdefault(full[:depth], len(nodes))
            path.append(edges.setdefault((node, token), len(edges)))
        steps.append(path)
    paths = np.full((len(steps), max(map(len, steps))), -1, dtype=np.int64)
    for row, path in zip(paths, steps, strict=True):
        row[: len(path)] = path
    return tuple(nodes), np.array(list(edges), dtype=np.int64), paths


def _spell(
    tokenizer: Any, opening_ids: tuple[int, ...], opening: str, answer: str, closing: str
) -> tuple[tuple[int, ...], int]:
    """The tokens of an answer between its tags, and the first token of the closing tag there."""
    if not answer:
        raise InvalidInputError("answers: expected texts, got an empty one")
    whole = opening + answer + closing
    ids = _encode(tokenizer, whole)
    first = len(opening_ids)
    last = _boundary(tokenizer, ids, whole, len(opening) + len(answer), len(closing))
    if tuple(ids[:first]) != opening_ids or last is None or last <= first:
        shown = ", ".join(repr(token) for token in tokenizer.convert_ids_to_tokens(ids))
        raise InvalidInputError(
            f"answers: expected {answer!r} to have tokens of its own between {opening!r} and "
            f"{closing!r}, got {shown}; choose tags that the tokenizer keeps apart from the answers"
        )
    return tuple(ids[first:last]), ids[last]


def _boundary(tokenizer: Any, ids: list[int], text: str, place: int, rest: int) -> int | None:
    """Index of the token that begins at a character of the text; None where none does."""
    if getattr(tokenizer, "is_fast", False):
        spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        begins = [int(span[0]) for span in spans["offset_mapping"]]
        crossing = any(s < place < e for s, e in spans["offset_mapping"])
        return None if crossing or place not in begins else begins.index(place)
    tail = _encode(tokenizer, text[len(text) - rest :])
    return len(ids) - len(tail) if ids[len(ids) - len(tail) :] == tail else None


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
