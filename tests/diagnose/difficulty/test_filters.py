"""Filters over samples and data sets, against cases worked out by hand."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from levelhead._registry import load_callable
from levelhead.advantages import grpo, grpo_no_std
from levelhead.diagnose.difficulty._filters import (
    cap_advantages,
    difficulty_weights,
    dynamic_sampling,
    filter_parquet,
    filtered_advantages,
    prompt_filter,
    rare_success_gate,
)
from levelhead.diagnose.difficulty._shortcuts import read_traces
from levelhead.errors import DataWarning, InvalidInputError, RecordError
from levelhead.testing import check_advantage
from levelhead.train.config import load

needs_datasets, needs_verl = (
    pytest.mark.skipif(
        importlib.util.find_spec(name) is None,
        reason=f"{name} is not installed here; `make test-peers` has it",
    )
    for name in ("datasets", "verl")
)

NAN = float("nan")


def test_only_groups_with_both_outcomes_stay() -> None:
    correct = [1, 0, 1, 1, 0, 0, 1, NAN, 1]
    groups = ["a", "b", "a", "b", "c", "c", "d", "d", "e"]
    kept = dynamic_sampling(correct, groups)
    assert kept.tolist() == [g == "b" for g in groups]  # d has one that can be scored


def test_weights_are_largest_at_even_odds() -> None:
    correct, groups = [1, 0, 1, 1, 1, 0, NAN, NAN], [1, 1, 2, 2, 2, 2, 3, 3]
    np.testing.assert_allclose(
        difficulty_weights(correct, groups), [1, 1, 0.75, 0.75, 0.75, 0.75, 0, 0]
    )
    np.testing.assert_allclose(
        difficulty_weights([1, 0], [1, 1], pass_rate=[0.1, 0.1]), [0.36, 0.36]
    )


def test_the_weight_of_a_group_is_too_small_by_one_sample() -> None:
    rng = np.random.default_rng(0)
    correct = (rng.random(400_000) < 0.2).astype(float)
    found = difficulty_weights(correct, np.arange(400_000) // 4).mean()
    assert found == pytest.approx(4 * 0.2 * 0.8 * 3 / 4, abs=0.003)


def test_a_cap_leaves_what_is_small() -> None:
    assert cap_advantages([2.5, -0.3, -7.0], limit=0.5).tolist() == [0.5, -0.3, -0.5]


def test_a_lone_success_must_be_clean() -> None:
    lone = [1, 0, 0, 0, 0]
    for clean, stays in ((True, True), (False, False)):
        assert rare_success_gate(lone, [3] * 5, [clean, 0, 0, 0, 0]).tolist() == [stays] * 5
    assert rare_success_gate([1, 0, 0, 0], [3] * 4, [False] * 4).all()  # 1/4 is not rare
    assert rare_success_gate([1, 1] + [0] * 18, [3] * 20, [False] * 20).all()  # two of twenty
    assert rare_success_gate([1, 0], [3, 3], [False, True], max_rate=0.5).sum() == 0
    two = rare_success_gate([*lone, *lone], [1] * 5 + [2] * 5, [False] * 5 + [True] * 5)
    assert two.tolist() == [False] * 5 + [True] * 5
    # unscored samples do not make a success rarer
    assert rare_success_gate([1, 0, NAN, NAN, NAN], [1] * 5, [False] * 5).all()


def test_filters_in_a_row_are_an_estimator() -> None:
    rewards = np.array([1.0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    groups = [1] * 8 + [2] * 2
    plain = filtered_advantages(rewards, groups)
    np.testing.assert_array_equal(plain, grpo(rewards, groups))
    both = filtered_advantages(rewards, groups, weight=True, limit=1.0)
    expected = np.minimum(grpo(rewards, groups) * 4 * (1 / 8) * (7 / 8), 1.0)
    np.testing.assert_allclose(both[:8], expected[:8])
    assert both[8:].tolist() == [0.0, 0.0]
    known = filtered_advantages(
        [1, NAN, 0, 1], [1] * 4, valid=[1, 1, 1, 0], estimator="grpo_no_std"
    )
    assert known.tolist() == [0.5, 0.0, -0.5, 0.0]


def test_dynamic_sampling_changes_the_statistics_of_a_batch() -> None:
    rewards, groups = [1.0, 0, 1, 1], [1, 1, 2, 2]
    found = filtered_advantages(
        rewards, groups, estimator="batch_std", dynamic=True, options={"eps": 0.0}
    )
    np.testing.assert_allclose(found, [0.5**0.5, -(0.5**0.5), 0, 0])
    with_all = filtered_advantages(rewards, groups, estimator="batch_std", options={"eps": 0.0})
    np.testing.assert_allclose(with_all[:2], [1.0, -1.0])  # std of 1 0 1 1 is 1/2


def test_a_reward_with_calibration_needs_its_own_success() -> None:
    rewards = [1.6, 0.2, 0.3, 1.9]
    kept = filtered_advantages(
        rewards, [1, 1, 2, 2], estimator="grpo_no_std", dynamic=True, success=1
    )
    np.testing.assert_allclose(kept, grpo_no_std(rewards, [1, 1, 2, 2]))
    at_half = filtered_advantages([0.5, 0.4], [1, 1], estimator="grpo_no_std", dynamic=True)
    np.testing.assert_allclose(at_half, [0.05, -0.05])  # a success from 0.5 on
    gone = filtered_advantages(
        rewards, [1, 2, 2, 1], estimator="grpo_no_std", dynamic=True, success=1
    )
    assert not gone.any()


def test_it_passes_the_checks_of_every_estimator() -> None:
    check_advantage(filtered_advantages, gradient="biased")


def test_prompts_are_kept_by_band_whatever_type_their_ids_have() -> None:
    keep = prompt_filter({"3": "impossible", "4": "medium"}, column="extra_info.index")
    rows = {"extra_info": [{"index": 3}, {"index": 4}, {"index": 5}]}
    assert keep(rows) == [False, True, True]
    strict = prompt_filter({"3": "easy"}, column="id", keep=["medium"], unseen=False)
    assert strict({"id": [3, 4]}) == [False, False]


def test_a_single_row_is_told_from_a_batch() -> None:
    """Without `batched=True` a list would be true for every row, and all would stay."""
    keep = prompt_filter({"a": "impossible", "7": "medium"})
    assert [keep({"prompt_id": one}) for one in ("a", "7", 7, "new")] == [False, True, True, True]
    nested = prompt_filter({"3": "trivial"}, column="extra_info.index")
    assert [nested({"extra_info": {"index": i}}) for i in (3, 4)] == [False, True]


def test_ids_are_read_from_arrays_tensors_and_arrow() -> None:
    keep = prompt_filter({"0": "impossible", "1": "medium"}, column="i", unseen=False)
    for ids in (np.array([0, 1]), torch.tensor([0, 1]), [torch.tensor(0), np.int64(1)]):
        assert keep({"i": ids}) == [False, True]
    assert keep({"i": torch.tensor(1)}) is True
    assert keep(cast(Any, pa.table({"i": [0, 1]}))) == [False, True]
    nested = prompt_filter({"0": "impossible"}, column="x.i")
    assert nested({"x": [{"i": torch.tensor(0)}, {"i": torch.tensor(1)}]}) == [False, True]
    assert nested(cast(Any, pa.table({"x": [{"i": 0}, {"i": 1}]}))) == [False, True]


def test_ids_of_which_none_has_a_band_are_warned_about() -> None:
    keep = prompt_filter({"p1": "impossible"}, column="i")
    with pytest.warns(DataWarning, match=r"column i: .* none of them in a batch of 2, such as '1'"):
        assert keep({"i": [1, 2]}) == [True, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keep({"i": ["p1", "p2"]}) == [False, True]
        assert keep({"i": []}) == []


def test_a_recipe_takes_the_filters_with_their_options() -> None:
    name = "levelhead.diagnose.difficulty:filtered_advantages"
    recipe = load(
        None,
        [
            f"algorithm.estimator={name}",
            "algorithm.estimator_options={estimator: grpo, dynamic: true, limit: 1.0}",
        ],
    )
    rewards, groups = np.array([1.0, *[0.0] * 7, 1.0, 1.0, np.nan]), np.array([0] * 8 + [1] * 3)
    estimator = load_callable(recipe.algorithm.estimator)
    found = estimator(rewards, groups, **recipe.algorithm.estimator_options)
    np.testing.assert_allclose(found, [1.0, *[-1 / np.sqrt(8)] * 7, 0, 0, 0], atol=1e-5)


@needs_datasets
@pytest.mark.filterwarnings("ignore")  # what its dependencies warn about is theirs
def test_a_data_set_is_filtered_however_it_is_formatted() -> None:
    datasets: Any = importlib.import_module("datasets")
    names = ("impossible", "hard", "medium", "easy", "trivial", "uncertain")
    data = datasets.Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": f"{i}?"}] for i in range(12)],
            "prompt_id": [f"p{i}" for i in range(12)],
            "extra_info": [{"index": i, "split": "train"} for i in range(12)],
        }
    )
    by_name = prompt_filter({f"p{i}": names[i % 6] for i in range(12)})
    by_index = prompt_filter({str(i): names[i % 6] for i in range(12)}, column="extra_info.index")
    wanted = [f"p{i}" for i in range(12) if i % 6 not in (0, 4)]
    for form in (None, "numpy", "torch", "pandas", "arrow"):
        for keep in (by_name, by_index):
            kept = data.with_format(form).filter(keep, batched=True, batch_size=5)
            assert kept.with_format(None)["prompt_id"][:] == wanted, form
    assert data.filter(by_name)["prompt_id"][:] == wanted
    streamed = data.to_iterable_dataset().filter(by_name, batched=True)
    assert [row["prompt_id"] for row in streamed] == wanted
    with pytest.raises(InvalidInputError, match="rows: .* got a list; leave out input_columns"):
        data.filter(by_name, batched=True, input_columns=["prompt_id"])


@needs_verl
@pytest.mark.filterwarnings("ignore")
def test_a_batch_of_verl_is_filtered() -> None:
    """As verl holds it: rewards of tokens in tensors, the rest in arrays of objects."""
    tokens = torch.zeros(18, 4)
    tokens[[0, 6, 7, *range(12, 18)], -1] = 1.0  # one right of six, two, and all
    texts = ["The answer is 391."] + ["3 * 4 = 12, so that the answer is 12."] * 17
    data = importlib.import_module("verl").DataProto.from_dict(
        tensors={"token_level_scores": tokens},
        non_tensors={
            "uid": np.array([f"u{i // 6}" for i in range(18)], dtype=object),
            "clean": np.array(list(~read_traces(texts).flagged(np.nan)), dtype=object),
        },
    )
    scores, uid = data.batch["token_level_scores"].sum(-1), data.non_tensor_batch["uid"]
    mixed = data.select_idxs(dynamic_sampling(scores, uid))
    assert mixed.non_tensor_batch["uid"].tolist() == ["u0"] * 6 + ["u1"] * 6
    gate = rare_success_gate(scores, uid, data.non_tensor_batch["clean"])
    assert data.select_idxs(gate).non_tensor_batch["uid"].tolist() == ["u1"] * 6 + ["u2"] * 6
    weights = difficulty_weights(scores, uid)
    np.testing.assert_allclose(weights[::6], [4 * 1 / 6 * 5 / 6, 4 * 2 / 6 * 4 / 6, 0.0])


def test_a_parquet_file_keeps_its_types_and_order(tmp_path: Path) -> None:
    source, target = tmp_path / "all.parquet", tmp_path / "some.parquet"
    table = pa.table(
        {
            "prompt": [[{"role": "user", "content": f"{i}?"}] for i in range(6)],
            "extra_info": [{"index": i, "split": "train"} for i in range(6)],
        }
    )
    pq.write_table(table, source, row_group_size=2)
    bands = {str(i): ("impossible", "hard", "trivial")[i % 3] for i in range(6)}
    assert filter_parquet(source, target, prompt_filter(bands, column="extra_info.index")) == (2, 6)
    assert pq.read_table(target).equals(table.take([1, 4]))
    assert pq.ParquetFile(target).num_row_groups == 2  # the second of three has none that stays
    assert filter_parquet(source, source, prompt_filter(bands, column="extra_info.index")) == (2, 6)
    assert pq.read_table(source).num_rows == 2


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="correct: .* got 0.5 at index 0"):
        dynamic_sampling([0.5, 1], [1, 1])
    with pytest.raises(InvalidInputError, match="pass_rate: expected 2 values, got 1"):
        difficulty_weights([1, 0], [1, 1], pass_rate=[0.5])
    with pytest.raises(InvalidInputError, match="pass_rate: .* got 1.5 at index 1"):
        difficulty_weights([1, 0], [1, 1], pass_rate=[0.5, 1.5])
    with pytest.raises(InvalidInputError, match="advantages: expected finite numbers, got nan"):
        cap_advantages([NAN])
    with pytest.raises(InvalidInputError, match="limit: expected a number above 0, got 0"):
        cap_advantages([1.0], limit=0)
    with pytest.raises(InvalidInputError, match=r"max_rate: expected a number in \(0, 1\], got 2"):
        rare_success_gate([1, 0], [1, 1], [1, 1], max_rate=2)
    with pytest.raises(InvalidInputError, match="did you mean 'rloo'"):
        filtered_advantages([1.0], [1], estimator="rlo")
    with pytest.raises(
        InvalidInputError, match="keep: expected names of bands, got the text 'hard'"
    ):
        prompt_filter({}, keep="hard")
    with pytest.raises(InvalidInputError, match="band: expected one of"):
        prompt_filter({"a": "harder"})
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt_id": ["a"]}), path)
    none = prompt_filter({"a": "impossible"})
    with pytest.raises(
        RecordError, match="at least one prompt that the filter keeps, got none of 1"
    ):
        filter_parquet(path, tmp_path / "b.parquet", none)
    with pytest.raises(InvalidInputError, match="column: expected one of prompt_id, got 'id'"):
        filter_parquet(path, tmp_path / "b.parquet", prompt_filter({}, column="id"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
    (tmp_path / "c.parquet").write_text("no")
    with pytest.raises(RecordError, match="expected a Parquet file of prompts"):
        filter_parquet(tmp_path / "c.parquet", path, none)
