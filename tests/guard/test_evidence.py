"""Evidence: columns by their names, values checked, lists of any length, samples of one prompt."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard.evidence import COLUMNS, LEAST_LOGPROB, NAMES, Evidence, Lists
from levelhead.guard.features import TABLE
from levelhead.readers import ReadOptions, load
from levelhead.records import Kind, Predictions

TIGHT = 1e-12


def evidence(
    columns: dict[str, Any] | None = None, *, kind: Kind = "answer", n: int = 0, **other: Any
) -> Evidence:
    n = n or len(next(iter((columns or other).values())))
    confidence = other.pop("confidence", [0.5] * n)
    return Evidence(
        Predictions.from_arrays(kind, confidence, [1.0] * n, columns=columns or {}, **other)
    )


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, np.array(expected, dtype=np.float64), rtol=TIGHT, atol=TIGHT)


# ---- lists


def ragged(*rows: list[float]) -> Lists:
    return Lists(
        np.array([v for row in rows for v in row], dtype=np.float64),
        np.array([len(row) for row in rows], dtype=np.int64),
    )


def test_lists_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    rows = [list(rng.integers(0, 4, rng.integers(0, 5)).astype(float)) for _ in range(300)]
    lists = ragged(*rows)
    close(lists.reduce(np.add), [sum(r) if r else math.nan for r in rows])
    close(lists.reduce(np.minimum), [min(r, default=math.nan) for r in rows])
    close(lists.mean(), [sum(r) / len(r) if r else math.nan for r in rows])
    close(lists.spread(), [np.std(r, ddof=1) if len(r) > 1 else math.nan for r in rows])
    first, second = lists.top_two()
    close(first, [max(r, default=math.nan) for r in rows])
    ordered = [sorted(r, reverse=True) for r in rows]
    close(second, [r[1] if len(r) > 1 else -math.inf if r else math.nan for r in ordered])


def test_lists_without_rows_or_numbers() -> None:
    for lists in (ragged(), ragged([], [])):
        assert np.isnan(lists.mean()).all()
        assert np.isnan(lists.top_two()[1]).all()


# ---- columns and their names


def test_the_first_name_counts_and_every_name_is_found() -> None:
    for name, synonyms in COLUMNS.items():
        assert synonyms[0] == name
        for synonym in synonyms:
            one = evidence({synonym: pa.nulls(2)})
            assert one.has(name)
            assert not evidence({"x": pa.nulls(2)}).has(name)
    assert len(set(NAMES)) == len(NAMES) == sum(map(len, COLUMNS.values()))
    both = evidence({"answer_logprobs": [[-2.0]], "token_logprobs": [[-1.0]]})
    close(both.tokens.mean(), [-1.0])


@pytest.mark.parametrize(("columns", "need", "there"), [
    (("token_probs",), "token_logprobs", True),
    (("top1_logprobs",), "top_logprobs", False),
    (("top1_logprobs", "top2_logprobs"), "top_logprobs", True),
    (("top_probs",), "top_logprobs", True),
    (("logits",), "probs", True),
    (("answer",), "cluster", True),
    (("cluster",), "claim", False),
    (("cluster",), "cluster", True),
])  # fmt: skip
def test_what_serves_instead(columns: tuple[str, ...], need: str, there: bool) -> None:
    assert evidence({name: pa.nulls(1) for name in columns}).has(need) is there


def test_what_a_kind_has() -> None:
    needs = ("confidence", "event", "prompt_id", "claim", "cluster", "answer")
    answers = evidence({"answer": ["a"]})
    events = evidence({"answer": ["37"]}, kind="event", prompt_id=["x"])
    assert [answers.has(need) for need in needs] == [True, False, False, True, True, True]
    assert [events.has(need) for need in needs] == [True, True, True, True, True, False]
    assert events.answers.null_count == 1


# ---- the claim


def test_the_claim_of_an_event() -> None:
    p = [0.2, 0.5, 0.5 - 1e-12, 0.49, 1.0, 0.0, None, 0.07, 0.93]
    one = evidence(kind="event", confidence=p, n=len(p))
    close(one.stated, [0.8, 0.5, 0.5, 0.51, 1, 1, math.nan, 0.93, 0.93])
    assert one.stated[7] == one.stated[8]  # 1 - 0.07 is 0.9299999999999999
    close(one.claims_event, [0, 1, 1, 0, 1, 0, math.nan, 0, 1])
    answer = evidence(confidence=[0.2, None], n=2)
    close(answer.stated, [0.2, math.nan])
    close(answer.claims_event, [math.nan] * 2)


# ---- tokens


def test_log_probabilities_of_tokens() -> None:
    rows = [[-1.0, -2.0], None, [], [-math.inf], [-9999.0, 0.0], [0.005], [-1.0, None]]
    tokens = evidence({"token_logprobs": rows}).tokens
    close(
        tokens.mean(), [-1.5, math.nan, math.nan, LEAST_LOGPROB, LEAST_LOGPROB / 2, 0.0, math.nan]
    )
    close(tokens.reduce(np.minimum)[[0, 4, 6]], [-2.0, LEAST_LOGPROB, math.nan])


def test_probabilities_of_tokens_are_their_exponentials() -> None:
    tokens = evidence({"token_probs": [[0.5, 0.25], [0.0], [1.0, math.nan]]}).tokens
    close(tokens.reduce(np.add), [math.log(0.125), LEAST_LOGPROB, math.nan])


@pytest.mark.parametrize("kind", [
    pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 2),
    pa.list_(pa.int32()), pa.list_(pa.decimal128(5, 1)),
])  # fmt: skip
def test_lists_of_any_arrow_type(kind: pa.DataType) -> None:
    rows: list[Any] = [[-1, -2], None, [-3, -4]]
    column = pa.array(rows, kind)
    for some in (column, pa.chunked_array([column[:1], column[1:]]), column[:]):
        close(evidence({"token_logprobs": some}).tokens.mean(), [-1.5, math.nan, -3.5])
    sliced = pa.concat_arrays([column, column])[2:5]
    close(evidence({"token_logprobs": sliced}).tokens.mean(), [-3.5, -1.5, math.nan])


def test_a_column_of_nothing_is_no_evidence() -> None:
    for name in NAMES:
        one = evidence({name: [None, None]}, prompt_id=["a", "a"])
        for lists in (one.tokens, one.token_gaps, one.token_entropies, one.classes, one.judges):
            close(lists.mean(), [math.nan] * 2)
        close(one.clusters.entropy, [math.nan] * 2)
        assert one.texts.null_count == 2


GAPS = [
    ({"top_logprobs": [[[math.log(0.75), math.log(0.25)], [0.0, -math.inf]]]}, (0.5 + 1.0) / 2),
    ({"top2": [[[math.log(0.25), math.log(0.75)]]]}, 0.5),  # the order does not matter
    ({"top_logprobs": [[[math.log(0.75)]]]}, 0.75),  # a second that is not given has p = 0
    ({"top_logprobs": [[[math.log(0.5), math.log(0.1), math.log(0.3)]]]}, 0.2),
    ({"top_logprobs": [[[math.log(0.4), math.log(0.4)]]]}, 0.0),
    ({"top_probs": [[[0.75, 0.25], [0.5, 0.5]]]}, 0.25),
    ({"top_probs": [[[0.75]]]}, 0.75),
    ({"top_logprobs": [[[], [0.0]]]}, math.nan),
    ({"top_logprobs": [[None, [0.0]]]}, math.nan),
    ({"top_logprobs": [[[0.0, None]]]}, math.nan),
    ({"top_logprobs": [[None]]}, math.nan),
    ({"top_logprobs": [[]]}, math.nan),
    ({"top_logprobs": [None]}, math.nan),
    ({"top1_logprobs": [[math.log(0.75), 0.0]],
      "top2_logprobs": [[math.log(0.25), -math.inf]]}, 0.75),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "gap"), GAPS)
def test_gaps_between_the_two_likeliest_tokens(columns: dict[str, Any], gap: float) -> None:
    close(evidence(columns).token_gaps.mean(), [gap])


def test_gaps_of_several_rows_of_several_lengths() -> None:
    rows = [[[0.6, 0.4], [0.9]], None, [], [[0.5, 0.2, 0.1]], [[1.0, 0.0], None]]
    close(
        evidence({"top_probs": rows}).token_gaps.mean(), [0.55, math.nan, math.nan, 0.3, math.nan]
    )
    fixed = pa.array([[[0.6, 0.4]], None], pa.list_(pa.list_(pa.float64(), 2), 1))
    close(evidence({"top_probs": fixed}).token_gaps.mean(), [0.2, math.nan])


# ---- classes


def test_class_probabilities_and_logits() -> None:
    probs = evidence({"probs": [[0.2, 0.5, 0.3], None, [0.4, 0.6], [1.0, math.nan]]}).classes
    close(probs.reduce(np.maximum), [0.5, math.nan, 0.6, math.nan])
    z = [[1000.0, 1000.0 + math.log(3.0)], [0.0, -math.inf], [math.nan, 0.0], [-math.inf] * 2, None]
    logits = evidence({"logits": z}).classes
    close(logits.reduce(np.maximum), [0.75, 1.0, math.nan, math.nan, math.nan])
    close(logits.reduce(np.add)[:2], [1.0, 1.0])
    both = evidence({"probs": [[0.5, 0.5]], "logits": [[9.0, 0.0]]}).classes
    close(both.flat, [0.5, 0.5])


# ---- samples of one prompt


def test_samples_against_a_loop() -> None:
    rng = np.random.default_rng(3)
    n = 400
    prompts = [str(i) for i in rng.integers(0, 120, n)]
    said = [rng.choice(["a", "A) x", "7", "7.0", "b", None]) for _ in range(n)]
    key = {"a": "a", "A) x": "a", "7": "7", "7.0": "7", "b": "b"}
    one = evidence({"answer": said}, prompt_id=prompts)
    share, others, clusters, entropy = (np.full(n, np.nan) for _ in range(4))
    for i in range(n):
        mates = [key[said[j]] for j in range(n) if prompts[j] == prompts[i] and said[j]]
        if len(mates) < 2:
            continue
        counts = [mates.count(k) for k in set(mates)]
        clusters[i] = len(counts)
        entropy[i] = -sum(c / len(mates) * math.log(c / len(mates)) for c in counts)
        if said[i]:
            equal = mates.count(key[said[i]])
            share[i], others[i] = equal / len(mates), (equal - 1) / (len(mates) - 1)
    close(one.samples.share, share)
    close(one.samples.others, others)
    close(one.clusters.clusters, clusters)
    close(one.clusters.entropy, entropy)
    assert not np.signbit(one.clusters.entropy[one.clusters.entropy == 0.0]).any()


def test_clusters_come_from_their_own_column_where_there_is_one() -> None:
    columns = {"answer": ["a", "b", "c", "c"], "cluster": [1, 1, 2, None]}
    one = evidence(columns, prompt_id=["p"] * 4)
    close(one.samples.share, [0.25, 0.25, 0.5, 0.5])
    close(one.clusters.clusters, [2.0] * 4)
    close(one.clusters.share, [2 / 3, 2 / 3, 1 / 3, math.nan])


def test_samples_of_an_event_agree_in_what_they_claim() -> None:
    one = evidence(kind="event", confidence=[0.9, 0.6, 0.1, None, 0.7], n=5, prompt_id=["p"] * 5)
    close(one.samples.share, [0.75, 0.75, 0.25, math.nan, 0.75])
    close(one.clusters.clusters, [2.0] * 5)


def test_rows_without_a_prompt_are_alone() -> None:
    one = evidence({"answer": ["a", "a", "a", "a"]}, prompt_id=["p", "p", None, None])
    close(one.samples.share, [1.0, 1.0, math.nan, math.nan])
    none = evidence({"answer": ["a", "a"]})
    close(none.samples.share, [math.nan] * 2)


def test_whole_numbers_beyond_a_float_are_rounded() -> None:
    close(evidence({"judge_scores": [[2**62 + 1]]}).judges.mean(), [2.0**62])


# ---- values that cannot be

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("tokens", {"token_logprobs": [[-1.0], [-1.0, 0.5]]},
     "token_logprobs: expected log-probabilities (at most 0), got 0.5 in row 2; correct it"),
    ("tokens", {"answer_logprobs": ["[-1.0]", "-1.0 -2.0"]},
     "answer_logprobs: expected JSON lists of log-probabilities (at most 0), such as [0.5, 0.25], got "
     "'-1.0 -2.0' in row 2"),
    ("tokens", {"answer_logprobs": ["-1.0", None]},
     "answer_logprobs: expected lists of log-probabilities (at most 0), got a column of type double"),
    ("tokens", {"token_logprobs": [[-1.0], [-1.0, 0.5]]},
     "token_logprobs: expected log-probabilities (at most 0), got 0.5 in row 2"),
    ("tokens", {"token_logprobs": [-1.0, -2.0]}, "got a column of type double; convert it, or leave"),
    ("tokens", {"token_logprobs": [["-1.0"], []]}, "got a column of type list<"),
    ("tokens", {"token_probs": [[], [0.5, 1.5]]},
     "token_probs: expected probabilities in [0, 1], got 1.5 in row 2"),
    ("token_entropies", {"token_entropies": [[0.5], [0.1, -0.5]]},
     "token_entropies: expected finite entropies >= 0, got -0.5 in row 2"),
    ("token_entropies", {"token_entropies": [[math.inf], []]}, "got inf in row 1"),
    ("token_gaps", {"top2": [[[0.75, 0.25]], []]},
     "top2: expected log-probabilities (at most 0), got 0.75 in row 1"),
    ("token_gaps", {"top_probs": [None, [[0.5, 0.5], [0.5, -0.25]]]},
     "top_probs: expected probabilities in [0, 1], got -0.25 in row 2"),
    ("token_gaps", {"top_logprobs": [[-1.0, -2.0], []]},
     "top_logprobs: expected a list of [first, second] log-probabilities (at most 0) for each token, "
     "got a column of type list<"),
    ("token_gaps", {"top1_logprobs": [[-1.0], [-1.0]], "top2_logprobs": [[-1.0], []]},
     "top2_logprobs: expected as many values as in top1_logprobs, 1, got 0 in row 2"),
    ("classes", {"class_probs": [[0.5, 0.5], [0.5, 0.6]]},
     "class_probs: expected class probabilities that sum to 1, got a sum of 1.1 in row 2"),
    ("classes", {"probs": [[0.5, 0.5], [2.0, -1.0]]}, "probs: expected probabilities in [0, 1], got 2"),
    ("classes", {"logits": [[0.5, math.inf], None]},
     "logits: expected logits below infinity, got inf in row 1"),
    ("judges", {"judge_scores": [[3.0], [math.inf]]},
     "judge_scores: expected finite numbers, got inf in row 2"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "columns", "words"), WRONG)
def test_values_that_cannot_be_are_refused(what: str, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        getattr(evidence(columns), what)


def test_shares() -> None:
    close(evidence({"p_true": [0, None, 1]}).share("p_true"), [0.0, math.nan, 1.0])
    flags = pa.array([True, None, False])
    close(evidence({"contradiction": flags}).share("contradiction"), [1.0, math.nan, 0.0])
    close(evidence({"x": flags}).share("contradiction"), [math.nan] * 3)
    for values, words in (
        ([0.5, 1.5], "p_true: expected numbers in [0, 1], got 1.5 in row 2; percentages must be "),
        ([0.5, -0.1], "p_true: expected numbers in [0, 1], got -0.1 in row 2; correct it"),
        (
            ["0.5", "x"],
            "p_true: expected numbers in [0, 1], got 'x' in row 2; correct it, or leave",
        ),
        (
            ["0.5", "50"],
            "p_true: expected numbers in [0, 1], got 50 in row 2; percentages must be ",
        ),
        ([[0.5], []], "p_true: expected numbers in [0, 1], got a column of type list<"),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(words)):
            evidence({"p_true": values}).share("p_true")


def test_a_number_of_judge_scores_is_one_judge() -> None:
    columns: tuple[Any, ...] = ([3.0, None, 5.0], ["3", "", "5.0"], pa.array([3, None, 5]))
    for scores in columns:
        judges = evidence({"judge_scores": scores}).judges
        close(judges.mean(), [3.0, math.nan, 5.0])
        close(judges.spread(), [math.nan] * 3)
    close(evidence({"judge_scores": ["3", "[1, 2]"]}).judges.mean(), [3.0, 1.5])
    with pytest.raises(InvalidInputError, match="got inf in row 2"):
        _ = evidence({"judge_scores": [None, math.inf]}).judges


# ---- the same from CSV, which has nothing but text


def test_csv_and_json_lines_hold_the_same_evidence(tmp_path: Path) -> None:
    rows = [
        {"confidence": 0.5, "correct": 1, "prompt_id": "a", "p_true": 0.25, "pass_rate": 1,
         "token_logprobs": [-0.5, -1.5], "top_logprobs": [[-0.1, -2.5], [-0.2]], "judge_scores": [1, 4],
         "probs": [0.25, 0.75], "answer": "37"},
        {"confidence": 0.9, "correct": 0, "prompt_id": "b", "p_true": None, "pass_rate": 0.5,
         "token_logprobs": None, "top_logprobs": [], "judge_scores": [2.5],
         "probs": None, "answer": "x"},
    ]  # fmt: skip
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)  # a list as Python prints it, which is JSON here; None as nothing
    with (tmp_path / "b.jsonl").open("w") as file:
        file.writelines(f"{row}\n".replace("'", '"').replace("None", "null") for row in rows)
    options = ReadOptions(evidence=NAMES)
    found = [Evidence(load([tmp_path / name], options)[name[0]]) for name in ("a.csv", "b.jsonl")]
    assert found[0].has("token_logprobs")
    for feature in TABLE.values():
        if all(map(found[1].has, feature.needs)):
            close(feature.function(found[0]), feature.function(found[1]))
    close(found[0].tokens.mean(), [-1.0, math.nan])
    close(found[0].share("p_true"), [0.25, math.nan])
    close(found[0].token_gaps.sizes, [2, 0])


# ---- what the documentation says

REPAIR = Path(__file__).resolve().parents[2] / "docs" / "repair.md"


def documented() -> dict[tuple[str, ...], set[str]]:
    """The table of evidence in the documentation: names of columns -> features."""
    lines = REPAIR.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| column, or instead |"))
    rows: dict[tuple[str, ...], set[str]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        columns, _, features = line.strip("|").split("|")
        rows[tuple(re.findall(r"`(\w+)`", columns))] = set(re.findall(r"`(\w+)`", features))
    return rows


def computed(columns: list[str], kind: Kind = "answer") -> set[str]:
    found = evidence({c: pa.nulls(2) for c in columns}, kind=kind, n=2, prompt_id=["a", "a"])
    return {name for name, feature in TABLE.items() if all(map(found.has, feature.needs))}


def test_the_documented_columns_are_those_that_are_found() -> None:
    rows = documented()
    assert list(rows) == list(COLUMNS.values())
    for names, features in rows.items():
        with_it, without = list(names), []
        if names[0] in ("top1_logprobs", "top2_logprobs"):  # one of them alone is nothing
            with_it, without = ["top1_logprobs", "top2_logprobs"], []
        assert computed(with_it) - computed(without) == features, names


def test_the_documentation_names_every_feature() -> None:
    text = REPAIR.read_text(encoding="utf-8")
    intro = text[text.index("**The evidence.**") : text.index("| column, or instead |")]
    always = set(re.findall(r"`(\w+)`", intro)) & set(TABLE)
    assert always == computed([]) | computed([], "event") | {"agreement", "agreement_others"}
    assert always | set().union(*documented().values()) == set(TABLE)
