"""Reading safetensors files, as the safetensors library writes them."""

from __future__ import annotations

import concurrent.futures
import json
import mmap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates import _tensors
from levelhead.diagnose.updates._tensors import Files, open_checkpoint
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)


def test_slices_are_what_was_saved(tmp_path: Path) -> None:
    want = torch.arange(5000, dtype=torch.float32).reshape(50, 100).bfloat16()
    save_file({"x": want, "y": torch.ones(3, dtype=torch.float16)}, tmp_path / "m.safetensors")
    found = open_checkpoint(tmp_path / "m.safetensors", "BASE").tensors
    assert set(found) == {"x", "y"}
    assert (found["x"].shape, found["x"].code, found["x"].size) == ((50, 100), "BF16", 5000)
    flat = want.view(torch.int16).numpy().reshape(-1).astype(np.uint16)
    with Files() as files:
        for start, stop in ((0, 5000), (4999, 5000), (17, 4200)):
            assert np.array_equal(files.read(found["x"], start, stop), flat[start:stop])
            files.drop(found["x"], start, stop)
        assert np.array_equal(files.read(found["x"], 0, 5000), flat)  # also after it was let go of


def test_shards_and_a_single_file_of_any_name(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    assert list(open_checkpoint(tmp_path, "BASE").tensors) == ["a"]
    save_file({"b": torch.zeros(3)}, tmp_path / "two.safetensors")
    places = {"a": "one.safetensors", "b": "two.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    found = open_checkpoint(tmp_path, "BASE").tensors
    assert {name: one.path.name for name, one in found.items()} == places


def test_many_shards_are_not_all_held_open(tmp_path: Path) -> None:
    for i in range(40):
        save_file({"x": torch.full((4,), float(i))}, tmp_path / f"{i}.safetensors")
    with Files() as files:
        for i in [*range(40), 0]:
            one = open_checkpoint(tmp_path / f"{i}.safetensors", "BASE").tensors["x"]
            assert files.read(one, 0, 4).view(np.float32).tolist() == [float(i)] * 4
            assert len(files._open) <= 16


def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(50_000)}, path)
    one = open_checkpoint(path, "BASE").tensors["x"]
    with Files() as files:
        files.read(one, 0, 50_000)
        with path.open("r+b") as file:
            file.truncate(100_000)
        assert not files.read(one, 0, 20_000).any()
        # Not read as far as its pages are touched: that would end the process.
        with pytest.raises(
            InvalidInputError, match="'x', got 100000: the file was cut off while it"
        ):
            files.read(one, 0, 50_000)
    path.write_bytes(b"")
    with Files() as files, pytest.raises(InvalidInputError, match="got an empty file"):
        files.read(one, 0, 1)


def test_many_threads_read_many_files(tmp_path: Path) -> None:
    for i in range(20):
        save_file({"x": torch.full((4,), float(i))}, tmp_path / f"{i}.safetensors")
    found = [open_checkpoint(tmp_path / f"{i}.safetensors", "BASE").tensors["x"] for i in range(20)]
    with Files() as files, concurrent.futures.ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda i: files.read(found[i % 20], 0, 1).view(np.float32)[0], range(2000))
        assert list(read) == [float(i % 20) for i in range(2000)]


def _bytes(header: object, tail: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "first 8 bytes are not the length of a header"),
        (b"\x80\x02}q\x00(X\x01\x00\x00", "convert it from .bin"),
        ((9).to_bytes(8, "little") + b"not JSON!", "expected a safetensors header with dtype"),
        (_bytes([1]), "expected a safetensors header"),
        ((200_000).to_bytes(8, "little") + b"[" * 200_000, "expected a safetensors header"),
        (
            _bytes({"x": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}, b"1234"),
            "expected a safetensors header",
        ),
        (
            _bytes(
                {"x": {"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 4]}}, b"1234"
            ),
            "expected a safetensors header",
        ),
        (
            _bytes({"x": {"dtype": "F32", "shape": [1.7], "data_offsets": [0, 4]}}, b"1234"),
            "expected a safetensors header",
        ),
        (_bytes({"x": {"dtype": "F32", "shape": [2]}}), "expected a safetensors header"),
        (_bytes({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), "it is cut off"),
        (
            _bytes({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
            "expected a safetensors header",
        ),
        (
            _bytes({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234"),
            "expected a safetensors header",
        ),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=words) as error:
        open_checkpoint(tmp_path, "BASE")
    assert str(path) in str(error.value)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="TUNED: expected a folder or file of safetensors"):
        open_checkpoint(tmp_path / "nowhere", "TUNED")
    with pytest.raises(InvalidInputError, match="BASE: expected .*got no .safetensors file"):
        open_checkpoint(tmp_path, "BASE")
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "two.safetensors")
    with pytest.raises(InvalidInputError, match="got 2 files such as one.safetensors"):
        open_checkpoint(tmp_path, "BASE")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="BASE: expected adapter_model.safetensors beside"):
        open_checkpoint(tmp_path, "BASE")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("no", "expected JSON with a"),
        ("{}", "expected JSON with a"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "expected the shard 'gone.safetensors'"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "expected names of files beside it"),
        ('{"weight_map": {"z": "one.safetensors"}}', "expected tensor 'z' in 'one.safetensors'"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, index: str, words: str) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InvalidInputError, match=words):
        open_checkpoint(tmp_path, "BASE")


def test_a_file_is_asked_for_ahead_of_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = torch.arange(30_000, dtype=torch.int32).view(torch.float32)
    save_file({"a": whole[:20_001], "b": whole[20_001:]}, tmp_path / "model.safetensors")
    for ahead in (0, 1, mmap.PAGESIZE, 100_000, 10**9):
        monkeypatch.setattr(_tensors, "AHEAD", ahead)
        with Files() as files:
            for name, start, size in (("a", 0, 20_001), ("b", 20_001, 9_999)):
                one = open_checkpoint(tmp_path, "BASE").tensors[name]
                for at in range(0, size, 3000):
                    bits = files.read(one, at, min(at + 3000, size))
                    assert bits.tolist() == list(range(start + at, start + min(at + 3000, size)))


def test_numbers_at_odd_places(tmp_path: Path) -> None:
    header = {"x": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}
    for blank in (b"", b" "):
        text = json.dumps(header).encode() + blank
        data = np.arange(4, dtype="<u2").tobytes()
        (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
        with Files() as files:
            one = open_checkpoint(tmp_path / "m.safetensors", "BASE").tensors["x"]
            bits = files.read(one, 1, 4)
            assert bits.tolist() == [1, 2, 3]
            assert bits.flags.aligned
