"""The gene perturbation files, real and planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import RecordError
from levelhead.tasks import CrisprOptions, make_task

TEXT = (
    "I plan a screen of a phenotype with the following marker genes: ```{}```.\n\nHow likely is a "
    "CRISPRi perturbation applied to {} to have a strong effect?"
)


def plant(folder: Path, name: str, rows: list[tuple[str, Any]]) -> None:
    pq.write_table(
        pa.table(
            {
                "prompt": [[{"role": "user", "content": text}] for text, _ in rows],
                "reward_model": [{"ground_truth": truth, "style": "rule"} for _, truth in rows],
            }
        ),
        folder / name,
    )


def planted(folder: Path, train: list[tuple[str, Any]], val: list[tuple[str, Any]]) -> Any:
    plant(folder, "train.pq", train)
    plant(folder, "val.pq", val)
    return make_task(CrisprOptions(path=folder))


A = (TEXT.format("MYC, TP53", "VPS33A"), 0.0)
B = (TEXT.format("MYC, TP53", "HLA-A"), 1.0)


def test_gene_and_phenotype_are_parsed_from_the_prompt(tmp_path: Path) -> None:
    task = planted(tmp_path, [A], [B])
    (one,), (two,) = task.train, task.evaluation
    assert one.columns == {"gene": "VPS33A", "phenotype": "MYC, TP53"}
    assert (two.columns["gene"], two.outcome) == ("HLA-A", 1.0)
    assert two.prompt_id.startswith("HLA-A/")
    assert one.messages == ({"role": "user", "content": A[0]},)


def test_the_paper_reads_the_first_tag_and_we_the_last(tmp_path: Path) -> None:
    said = "<answer>20.7</answer> or rather <answer>80</answer>"
    assert planted(tmp_path, [A], [B]).elicit(said).confidence == 0.8
    paper = make_task(CrisprOptions(path=tmp_path, parser="paper"))
    assert paper.elicit(said).confidence == 0.2


@pytest.mark.parametrize(
    ("train", "val", "problem"),
    [
        ([A, ("How likely is rain?", 1.0)], [B], "train.pq:2: prompt: expected 'perturbation appl"),
        ([A, (B[0], None)], [B], "train.pq:2: reward_model.ground_truth: expected 0 or 1, got not"),
        ([A, (A[0], 1.0)], [B], "train.pq:2: reward_model.ground_truth: expected one outcome for"),
        ([A], [B, (A[0] + " ", 0.0)], "val.pq:2: expected genes that are not trained on, got 'VPS"),
        ([A, (B[0], 0.7)], [B], "train.pq:2: reward_model.ground_truth: expected 0 or 1"),
    ],
)
def test_a_wrong_row_is_named(train: Any, val: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        planted(tmp_path, train, val)
    assert str(caught.value).startswith(f"{tmp_path}/{problem}")


def test_a_folder_is_expected(tmp_path: Path) -> None:
    planted(tmp_path, [A], [B])
    with pytest.raises(RecordError, match=r"expected a folder with train.pq, val.pq and test.pq"):
        make_task(CrisprOptions(path=tmp_path / "train.pq"))
    with pytest.raises(RecordError, match=r"test\.pq: expected a file, found none of that name"):
        make_task(CrisprOptions(path=tmp_path, evaluation="test"))


def test_the_published_files(shared_data: Path) -> None:
    folder = shared_data / "crispr" / "task_verl"
    task = make_task(CrisprOptions(path=folder, evaluation="test"))
    assert (len(task.train), len(task.evaluation)) == (6386, 1402)
    genes = [{p.columns["gene"] for p in part} for part in (task.train, task.evaluation)]
    assert [len(one) for one in genes] == [1401, 301]
    assert len({p.prompt_id for p in (*task.train, *task.evaluation)}) == 6386 + 1402
    assert sum(p.outcome or 0 for p in task.evaluation) == 680
    # The same rows as the table that the prompts were made from.
    rows = pq.read_table(folder.parent / "task" / "test.pq").to_pylist()
    assert sorted((*p.columns.values(), p.outcome) for p in task.evaluation) == sorted(
        (row["pert"], row["pheno_markers"], float(row["hit"])) for row in rows
    )
    # The file is sorted by phenotype; the first prompts are a sample of the 37.
    assert len({p.columns["phenotype"] for p in task.evaluation[:200]}) > 25
