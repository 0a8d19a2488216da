"""Audits on Ray: the result is that of one process, whatever happens to the workers."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.audit import collect as local
from levelhead.audit import on_ray
from levelhead.audit.model_records import MAX_PART_SLICES
from levelhead.audit.on_ray import collect_on_ray
from levelhead.cli import cli, main
from levelhead.errors import MissingDependencyError, RecordError
from levelhead.readers import ReadLog, ReadOptions, resolve


def told(*arguments: str) -> str:
    """What an audit says that fails."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as said:
        patch.setattr(sys, "argv", ["levelhead", "audit", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 2
    return said.getvalue()


HERE = importlib.util.find_spec("ray") is not None
# Ray Data warns of settings of its own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
needs_ray = pytest.mark.skipif(not HERE, reason="needs ray")


@pytest.mark.skipif(HERE, reason="ray is installed")
def test_without_ray_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"confidence": 0.5, "correct": 1}\n')
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[ray\]'"):
        collect_on_ray(resolve([file]), ReadOptions(), ReadLog(), missing="assert")
    assert "pip install 'levelhead[ray]'" in told("--engine", "ray", str(file))


def test_an_address_belongs_to_the_engine(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["audit", "--ray-address", "auto", str(tmp_path)])
    assert result.exit_code == 2
    assert "--ray-address belongs to --engine ray" in result.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models in shards of unequal length, with prompts, gaps, weights of 1, and slices."""
    folder = tmp_path_factory.mktemp("predictions")
    rng = np.random.default_rng(0)
    for model, sizes in {"base": (900, 40, 60, 3000), "tuned": (500, 500, 500, 500)}.items():
        (folder / model).mkdir()
        for i, n in enumerate(sizes):
            confidence = np.round(rng.beta(4, 2, n), 4)
            correct = rng.random(n) < confidence**2
            table = {
                "confidence": pa.array(confidence, mask=rng.random(n) < 0.03),
                "correct": correct.astype(int),
                "prompt_id": [f"{i}-{j // 3}" for j in range(n)],
                "subject": rng.choice(["law", "art", "math"], n),
            }
            pq.write_table(pa.table(table), folder / model / f"part-{i}.parquet")
    return folder


def alike(a: Any, b: Any, at: str = "") -> None:
    """Equal, floats to 1e-12."""
    if isinstance(a, float) and isinstance(b, float):
        assert a == pytest.approx(b, rel=0, abs=1e-12, nan_ok=True), at
    elif isinstance(a, dict):
        assert list(a) == list(b), at
        for key in a:
            alike(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            alike(x, y, f"{at}[{i}]")
    else:
        assert a == b, at


def audited(*arguments: str) -> Any:
    result = CliRunner().invoke(cli, ["audit", *arguments, "--json", "-", "--n-boot", "100"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    del found["created"]
    return found


@needs_ray
@pytest.mark.parametrize("limit", [10**6, 2500, 100])
def test_the_audit_is_that_of_one_process(
    cluster: Any, shards: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At 2,500 the model of 4,000 rows is tallied and that of 2,000 kept; tallies are not compared.
    monkeypatch.setattr("levelhead.audit.collect.MAX_ROWS", limit)
    monkeypatch.setattr("levelhead.audit.on_ray.MAX_ROWS", limit)
    between = ["--baseline"] if limit == 10**6 else []
    arguments = [str(shards / "tuned"), *between, str(shards / "base"), "--by", "subject"]
    alike(audited(*arguments, "--engine", "ray"), audited(*arguments))


@needs_ray
def test_unequal_shards_that_fit_are_kept(cluster: Any, shards: Path) -> None:
    log, options = ReadLog(), ReadOptions()
    sources = resolve([shards / "base"])
    merged = []
    found = collect_on_ray(
        sources, options, log, missing="assert", max_rows=4000, on_part=merged.append
    )["base"]
    whole = local.collect(sources, options, log, missing="assert", max_rows=4000)["base"]
    assert not found.streamed  # although one of four files holds three quarters of the rows
    assert found.predictions.confidence.tolist() == pytest.approx(
        whole.predictions.confidence.tolist(), nan_ok=True
    )
    assert found.files == whole.files
    assert merged == [1, 1, 1, 1]


@needs_ray
def test_a_worker_that_is_killed_costs_a_retry(
    cluster: Any, shards: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first worker to begin on the second file is killed at once; what it had is lost."""
    marker, first = tmp_path / "killed", on_ray._read_row

    def read_row(row: Any) -> dict[str, Any]:
        if pickle.loads(row["task"]).path.name == "part-1.parquet" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return first(row)

    monkeypatch.setattr(on_ray, "_read_row", read_row)
    sources = resolve([shards / "base"])
    found = collect_on_ray(sources, ReadOptions(), ReadLog(), missing="assert", max_rows=100)[
        "base"
    ]
    whole = local.collect(sources, ReadOptions(), ReadLog(), missing="assert", max_rows=100)["base"]
    assert marker.exists()
    assert (found.n_records, found.status_counts) == (whole.n_records, whole.status_counts)
    for a, b in zip(found.rows().__dict__.values(), whole.rows().__dict__.values(), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=0, atol=1e-12)


@needs_ray
def test_a_file_that_kills_every_worker_is_given_up(
    cluster: Any, shards: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def read_row(row: Any) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    monkeypatch.setattr(on_ray, "_read_row", read_row)
    monkeypatch.setattr(on_ray, "RETRIES", 1)
    said = told(str(shards / "base"), "--engine", "ray", "--json", "-").splitlines()[-1]
    assert said.startswith("levelhead: Ray gave up on a file: ")
    assert (
        "see that every worker has levelhead installed, reads the same files and has memory" in said
    )
    assert capfd.readouterr().out == ""


@needs_ray
def test_a_bad_file_is_one_sentence(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "part-1-2.jsonl").write_text('{"confidence": 0.5, "correct": 1}\n')
    (tmp_path / "part-2-2.jsonl").write_text('{"confidence": 7, "correct": 1}\n')
    there = told("--engine", "ray", str(tmp_path))
    assert there == told(str(tmp_path))
    assert "part-2-2.jsonl:1: " in there


@needs_ray
def test_what_a_worker_raises_is_one_sentence(
    cluster: Any, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_row(row: Any) -> dict[str, Any]:
        raise AttributeError("no such thing here")

    monkeypatch.setattr(on_ray, "_read_row", read_row)
    said = told(str(shards / "base"), "--engine", "ray")
    assert said.startswith(
        "levelhead: Ray gave up on a file: AttributeError: no such thing here; see"
    )
    assert said.count("\n") == 1


@needs_ray
def test_a_second_pass_reads_some_of_several_models(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One source of two models, one of which is small; a row that names no prompt warns."""
    (tmp_path / "run").mkdir()
    for i, n in enumerate((900, 30)):
        rows = {
            "confidence": [0.5] * n,
            "correct": [j % 2 for j in range(n)],
            "model": ["large" if j % 9 else "small" for j in range(n)],
            "prompt_id": [None if j == 0 else str(j) for j in range(n)],
        }
        pq.write_table(pa.table(rows), tmp_path / "run" / f"part-{i}.parquet")
    pq.write_table(pa.table({"confidence": [0.5], "correct": [1]}), tmp_path / "other.parquet")
    files = [str(tmp_path / "run"), str(tmp_path / "other.parquet")]
    for module in ("collect", "on_ray"):
        monkeypatch.setattr(f"levelhead.audit.{module}.MAX_ROWS", 150)
    there, here = audited(*files, "--engine", "ray"), audited(*files)
    alike(there, here)
    assert [model["name"] for model in there["models"]] == ["run/small", "run/large", "other"]
    assert any("1 of 900 rows have no prompt id" in text for text in there["warnings"])


@needs_ray
def test_many_slices_are_refused_only_where_the_rows_do_not_fit(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = MAX_PART_SLICES + 100
    for i, rows in enumerate((n, 1)):
        ids = [str(j) for j in range(rows)]
        table = {"confidence": [0.5] * rows, "correct": [1] * rows, "id": ids}
        pq.write_table(pa.table(table), tmp_path / f"part-{i}.parquet")
    for module in ("collect", "on_ray"):
        monkeypatch.setattr(f"levelhead.audit.{module}.MAX_ROWS", n + 1)
    arguments = [str(tmp_path), "--by", "id"]
    alike(audited(*arguments, "--engine", "ray"), audited(*arguments))
    monkeypatch.setattr("levelhead.audit.on_ray.MAX_ROWS", n)
    said = told(*arguments, "--engine", "ray")
    assert "part-0.parquet: --by id: expected at most 5,000 distinct values in a file, got" in said


@needs_ray
def test_formats_are_not_pooled(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "part-1-2.jsonl").write_text('{"confidence": 0.5, "correct": 1}\n')
    other = {
        "input": "q",
        "output": "<confidence>0.5</confidence>",
        "gts": "a",
        "score": 1.0,
        "step": 1,
    }
    (tmp_path / "part-2-2.jsonl").write_text(json.dumps(other) + "\n")
    with pytest.raises(RecordError, match="expected files of one format to audit as one model"):
        collect_on_ray(resolve([tmp_path]), ReadOptions(), ReadLog(), missing="assert")


@needs_ray
def test_an_interrupt_keeps_what_was_merged(cluster: Any, shards: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    log = ReadLog()
    sources = resolve([shards / "base"])
    found = collect_on_ray(sources, ReadOptions(), log, missing="assert", on_part=interrupt)
    assert found["base"].n_records == 900
    assert "interrupted: this covers the first 900 records only" in log.warnings


@needs_ray
def test_a_cluster_that_is_not_there_is_told(
    cluster: Any, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(**given: Any) -> None:
        raise ConnectionError(
            f"Could not find any running Ray instance at {given['address']}.\nMore"
        )

    monkeypatch.setattr(cluster, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster, "init", absent)
    assert told(str(shards / "base"), "--engine", "ray", "--ray-address", "auto") == (
        "levelhead: Ray cannot be started or reached at auto: Could not find any running Ray instance "
        "at auto; check the address (--ray-address or RAY_ADDRESS), or leave it out to use this "
        "machine\n"
    )


@needs_ray
def test_an_audit_of_a_bucket_is_that_of_the_files(
    cluster: Any, s3: Callable[[Path], str], shards: Path
) -> None:
    address = f"s3://key:secret@base/*.parquet?{s3(shards)}"
    there = audited(address, "--by", "subject", "--engine", "ray")
    alike(there, audited(address, "--by", "subject"))
    assert "secret" not in json.dumps(there)
    assert there["models"][0]["n_records"] == 4000
