"""Which files are one model: folders, shards, single files, globs, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog, ReadOptions, load, resolve
from levelhead.readers.sources import Source, chosen, is_chosen, pooled

RECORD = '{"confidence": 0.9, "correct": 1}\n'


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORD * 2)
    return root


def models(*arguments: Path | str, log: ReadLog | None = None) -> dict[str, list[str]]:
    return {s.name: [f.name for f in s.files] for s in resolve(arguments, log=log)}


def test_single_files_are_models_named_after_them(tmp_path: Path) -> None:
    tree(tmp_path, "base.jsonl", "tuned.jsonl", "seed_1.jsonl", "seed_2.jsonl", "v1.2.jsonl")
    found = models(*sorted(tmp_path.iterdir()))
    assert list(found) == ["base", "seed_1", "seed_2", "tuned", "v1.2"]


@pytest.mark.parametrize(
    ("names", "model"),
    [
        ([f"preds-{i}-12.jsonl" for i in range(1, 13)], "run"),
        (["data-00000-of-00002.jsonl", "data-00001-of-00002.jsonl"], "run"),
        (["tuned-00000-of-00002.jsonl", "tuned-00001-of-00002.jsonl"], "tuned"),
        (["part-0000.jsonl", "part-0001.jsonl"], "run"),
        (["tuned_shard_3.jsonl", "tuned_shard_4.jsonl"], "tuned"),
        (["part-00000-ab-c000.snappy.jsonl", "part-00001-ab-c000.snappy.jsonl"], "run"),
    ],
)
def test_shards_of_one_set_are_one_model_in_their_order(
    names: list[str], model: str, tmp_path: Path
) -> None:
    folder = tree(tmp_path / "run", *names)
    log = ReadLog()
    shuffled = [folder / name for name in sorted(names, reverse=True)]
    assert models(*shuffled, log=log) == {model: names}
    assert log.notes[0].startswith(f"{len(names)} files ")
    assert log.notes[0].endswith(f"are one model: {model}")
    assert not log.warnings
    assert models(folder) == {"run": names}


def test_an_incomplete_set_is_said_aloud(tmp_path: Path) -> None:
    log = ReadLog()
    tree(tmp_path, "preds-1-8.jsonl", "preds-3-8.jsonl")
    found = models(tmp_path / "preds-1-8.jsonl", tmp_path / "preds-3-8.jsonl", log=log)
    assert found == {tmp_path.name: ["preds-1-8.jsonl", "preds-3-8.jsonl"]}
    assert "only 2 of 8 parts" in log.warnings[0]


def test_shards_in_different_folders_are_different_models(tmp_path: Path) -> None:
    tree(
        tmp_path, "a/preds-1-2.jsonl", "a/preds-2-2.jsonl", "b/preds-1-2.jsonl", "b/preds-2-2.jsonl"
    )
    assert list(models(str(tmp_path / "*" / "*.jsonl"))) == ["a", "b"]


def test_equal_names_get_their_folders(tmp_path: Path) -> None:
    tree(tmp_path, "x/base.jsonl", "y/base.jsonl", "z/tuned.jsonl")
    assert list(models(*sorted(tmp_path.rglob("*.jsonl")))) == ["x/base", "y/base", "tuned"]
    tree(tmp_path, "p/x/base.jsonl", "q/x/base.jsonl")
    found = models(tmp_path / "p/x/base.jsonl", tmp_path / "q/x/base.jsonl")
    assert len(found) == 2
    assert len(models(tmp_path / "x", tmp_path / "p/x")) == 2


def test_a_folder_is_one_model_and_a_folder_of_folders_several(tmp_path: Path) -> None:
    tree(
        tmp_path, "runs/a/1.jsonl", "runs/a/2.jsonl", "runs/b/deep/1.jsonl", "runs/.hidden/1.jsonl"
    )
    assert models(tmp_path / "runs") == {"a": ["1.jsonl", "2.jsonl"], "deep": ["1.jsonl"]}
    assert list(models(tmp_path / "runs" / "a")) == ["a"]
    (tmp_path / "runs" / "a" / "up").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "c").mkdir()
    (tmp_path / "runs" / "c" / "up").symlink_to(tmp_path / "runs")
    assert list(models(tmp_path / "runs")) == ["a", "deep"]


def test_what_lies_beside_predictions_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "base.jsonl", "metrics.json", "config.json", "notes.txt", ".cache.jsonl")
    assert models(tmp_path) == {tmp_path.name: ["base.jsonl"]}
    other = tree(tmp_path / "json", "metrics.json")
    (other / "preds.json").write_text(f"[{RECORD}]")
    (other / "config.json").write_text('{"lr": 1}')
    (other / "broken.json").write_text("{")
    assert models(other) == {"json": ["preds.json"]}


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path: Path) -> None:
    log = ReadLog()
    tree(tmp_path / "a", "base.jsonl", "notes.txt", "run.eval", "config.json", ".hidden.txt")
    models(tmp_path / "a", log=log)
    assert log.notes == [
        f"{tmp_path / 'a'}: skipped notes.txt (not a format of predictions)",
        f"{tmp_path / 'a'}: skipped config.json, run.eval (beside tables of predictions; name a "
        "file to read it)",
    ]
    log = ReadLog()
    tree(tmp_path / "b", "base.jsonl", *(f"{i}.log" for i in range(7)))
    models(tmp_path / "b", log=log)
    assert "skipped 0.log, 1.log, 2.log, 3.log, 4.log and 2 more (" in log.notes[0]
    log = ReadLog()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "preds.json").write_text(f"[{RECORD}]")
    (tmp_path / "c" / "config.json").write_text('{"lr": 1}')
    assert models(tmp_path / "c", log=log) == {"c": ["preds.json"]}
    assert log.notes == [
        f"{tmp_path / 'c'}: skipped config.json (their content is not a format of predictions)"
    ]
    log = ReadLog()
    models(tree(tmp_path / "d", "base.jsonl"), log=log)
    assert log.notes == []


def test_a_saved_dataset_lists_its_own_files(tmp_path: Path) -> None:
    tree(tmp_path, "data-00000-of-00001.arrow", "old.jsonl")
    listed = [{"filename": "data-00000-of-00001.arrow"}]
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": listed}))
    log = ReadLog()
    assert models(tmp_path, log=log) == {tmp_path.name: ["data-00000-of-00001.arrow"]}
    assert log.notes == [f"{tmp_path}: skipped old.jsonl (state.json does not list them)"]
    for broken in ("{", "[]", '{"_data_files": 3}', '{"_data_files": [{}]}'):
        (tmp_path / "state.json").write_text(broken)
        assert "old.jsonl" in models(tmp_path)[tmp_path.name]


def test_one_name_puts_everything_together(tmp_path: Path) -> None:
    tree(tmp_path, "a.jsonl", "b.jsonl")
    (source,) = resolve([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], name="baseline")
    assert source.name == "baseline"
    assert len(source.files) == 2


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    log = ReadLog()
    tree(tmp_path, "a.jsonl")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    found = models(tmp_path / "a.jsonl", tmp_path / "a.jsonl", tmp_path / "link.jsonl", log=log)
    assert found == {"a": ["a.jsonl"]}
    assert len(log.warnings) == 2


def test_a_name_with_the_characters_of_a_glob_is_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert models(tmp_path / "a[1].jsonl") == {"a[1]": ["a[1].jsonl"]}
    assert models(str(tmp_path / "a?.jsonl")) == {"a1": ["a1.jsonl"]}


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("*.parquet", "no file matches this pattern"),
        ("empty", "expected a folder with files of predictions"),
        ("bse.jsonl", "did you mean"),
        ("a\0b", "NUL byte"),
    ],
)
def test_what_cannot_be_resolved(argument: str, words: str, tmp_path: Path) -> None:
    tree(tmp_path, "base.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=words) as caught:
        resolve([f"{tmp_path}/{argument}"])
    assert str(caught.value).isprintable()
    with pytest.raises(RecordError, match="at least one file"):
        resolve([])


def test_load_names_models_as_resolve_does(tmp_path: Path) -> None:
    tree(tmp_path, "a/preds-1-2.jsonl", "a/preds-2-2.jsonl", "b.jsonl")
    found = load([tmp_path / "a", tmp_path / "b.jsonl"])
    assert {name: (p.model, len(p)) for name, p in found.items()} == {"a": ("a", 4), "b": ("b", 2)}


# ---- one model of several, several files as one model


def arms(path: Path, *models: str | None, first: int = 0) -> Path:
    """Two records of each model; None leaves the column out."""
    records: list[dict[str, object]] = []
    for i, model in enumerate([m for m in models for _ in range(2)]):
        record: dict[str, object] = {"confidence": 0.5, "correct": 1}
        record["prompt_id"] = f"q{first + i}"
        records.append(record if model is None else record | {"model": model})
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def sizes(*files: Path, log: ReadLog | None = None, **options: object) -> dict[str, int]:
    found = load(files, ReadOptions(**options), log)  # type: ignore[arg-type]
    assert all(name == predictions.model for name, predictions in found.items())
    return {name: len(predictions) for name, predictions in found.items()}


def test_one_model_of_several(tmp_path: Path) -> None:
    one, two = arms(tmp_path / "one.jsonl", "a", "b", "org/a"), arms(tmp_path / "two.jsonl", "a")
    assert sizes(one) == {"a": 2, "b": 2, "org/a": 2}
    assert sizes(one, only="b") == {"b": 2}
    assert sizes(one, only="a") == {"a": 2}, "the whole name comes before the end of another"
    assert sizes(one, two, only="two/a") == {"two/a": 2}
    assert sizes(one, two, only="b") == {"one/b": 2}
    plain = arms(tmp_path / "plain.jsonl", None)
    assert sizes(one, plain, only="plain") == {"plain": 2}
    with pytest.raises(InvalidInputError, match="--only: expected one of a, b, org/a, got 'c'"):
        sizes(one, only="c")


def test_files_as_one_model(tmp_path: Path) -> None:
    val, test = arms(tmp_path / "val.jsonl", None), arms(tmp_path / "test.jsonl", None, first=2)
    assert sizes(val, test) == {"val": 2, "test": 2}
    assert sizes(val, test, pool=None) == {"val": 2, "test": 2}, "nothing says that they are one"
    log = ReadLog()
    assert sizes(val, test, pool=True, log=log) == {"val+test": 4}
    assert log.notes == ["val, test are read as one model: val+test"]
    assert not log.warnings
    assert sizes(val, pool=True) == {"val": 2}


def test_files_whose_model_column_agrees(tmp_path: Path) -> None:
    val, test = arms(tmp_path / "val.jsonl", "m"), arms(tmp_path / "test.jsonl", "m", first=2)
    other = arms(tmp_path / "other.jsonl", "n", "m", first=4)
    assert sizes(val, test) == {"val/m": 2, "test/m": 2}, "an audit compares them"
    assert sizes(val, test, pool=None) == {"m": 4}
    assert sizes(val, test, pool=True) == {"m": 4}
    assert set(sizes(val, other, pool=None)) == {"val/m", "other/n", "other/m"}
    assert sizes(val, other, pool=None, only="m") == {"m": 4}
    with pytest.raises(InvalidInputError, match="--pool: .* choose one with --only NAME"):
        sizes(val, other, pool=True)


def test_ids_that_repeat_from_file_to_file_are_said(tmp_path: Path) -> None:
    val, test = arms(tmp_path / "val.jsonl", "m"), arms(tmp_path / "test.jsonl", "m", first=1)
    log = ReadLog()
    assert sizes(val, test, pool=None, log=log) == {"m": 4}
    assert log.warnings == [
        "1 of 3 prompt ids occur in more than one of the files and count as the same prompts; "
        "where they only number rows, put the file's name before them"
    ]


def test_names_of_sources_together() -> None:
    sources = [Source(f"s{i}", (Path(f"{i}"),)) for i in range(5)]
    assert pooled(sources) == Source("s0+s1+s2+2 more", tuple(Path(f"{i}") for i in range(5)))
    assert pooled(sources[:1]) == sources[0]
    assert is_chosen("run/base", "base")
    assert not is_chosen("run/database", "base")
    assert chosen({"a": 1, "b": 2}, None) == {"a": 1, "b": 2}
