"""The journal: what was written is there, whatever happened to the writer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.predict import journal as module
from levelhead.predict._replies import Choice, Reply
from levelhead.predict.journal import Journal, journal_path

TOLD = {"model": "m", "temperature": 1.0, "options": ["A"]}
ONE = Reply((Choice("caf\u00e9 \ud800 <b>", "why", "stop", None, (("A", -0.5),)),), 10, 5)
TWO = Reply((Choice("x"), Choice("", finish="length")))


def test_replies_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
        journal.add("two", TWO)
        journal.add("one", TWO)  # the first stays
    assert path.read_text().count("\n") == 3
    with Journal(path, TOLD) as journal:
        assert journal.before == 2
        assert (journal.get("one"), journal.get("two"), journal.get("no")) == (ONE, TWO, None)


def test_a_reply_is_on_its_way_to_the_disk_when_it_is_added(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", TOLD)
    journal.add("one", ONE)
    assert b'"one"' in journal.path.read_bytes()
    journal.close()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
        journal.add("two", TWO)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, TOLD) as journal:
        assert (journal.get("one"), journal.get("two")) == (ONE, None)
        journal.add("two", TWO)
    with Journal(path, TOLD) as journal:
        assert journal.get("two") == TWO


def test_a_torn_first_line_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text('{"levelhead.jour')
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    assert Journal(path, TOLD).get("one") == ONE


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    with pytest.raises(RecordError) as caught:
        Journal(path, TOLD | {"temperature": 0.5})
    assert str(caught.value) == (
        f"{path}: the journal was made with other settings: temperature was 1.0 and is now 0.5; "
        "give another --out, the old settings, or delete the journal to pay for all of it again"
    )


def test_a_run_without_a_reply_binds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    Journal(path, TOLD).close()
    assert not path.exists()
    with Journal(path, TOLD) as journal:
        head = path.read_bytes()
        journal.add("one", ONE)
    path.write_bytes(head)  # as a kill before the first reply leaves it
    with Journal(path, TOLD | {"model": "other"}) as journal:
        journal.add("one", ONE)
    with pytest.raises(RecordError, match='model was "other" and is now "m"'):
        Journal(path, TOLD)


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text('{"question": "what?"}\n')
    with pytest.raises(RecordError, match="expected a line of a journal of levelhead"):
        Journal(path, TOLD)
    assert path.read_text() == '{"question": "what?"}\n'


def test_a_broken_line_in_the_middle_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    path.write_bytes(path.read_bytes() + b"gar\nbage\n")
    with pytest.raises(RecordError, match=r"a\.journal:3: expected a line of a journal"):
        Journal(path, TOLD)


@pytest.mark.parametrize(
    "line",
    [
        b'{"key":"k","choices":[]}',
        b'{"key":"k","choices":[{"text":"a","finish":5}]}',
        b'{"key":"k","choices":[{"text":"a","top":[["A",1' + b"0" * 400 + b"]]}]}",
        b'{"key":"k","choices":[["a"]]}',
        b"[" * 100_000,
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD) as journal:
        journal.add("one", ONE)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(RecordError) as caught:
        Journal(path, TOLD)
    assert str(caught.value).startswith(f"{path}:3: expected a line of a journal of levelhead, got")
    assert str(caught.value).endswith("; take the line out, and its request is asked again")


def test_a_head_without_settings_is_no_head(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_text(
        '{"levelhead.journal":1,"settings":"x"}\n{"key":"k","choices":[{"text":"a"}]}\n'
    )
    with pytest.raises(RecordError, match=r"a\.journal:1: expected a line of a journal"):
        Journal(path, TOLD)


def test_what_is_added_is_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(module.os, "fsync", synced.append)
    monkeypatch.setattr(module, "SYNC_SECONDS", -1.0)
    with Journal(tmp_path / "a.journal", TOLD) as journal:
        journal.add("one", ONE)
        assert len(synced) == 1
        journal.add("two", TWO)
        assert len(synced) == 2


def test_a_full_disk_is_one_sentence_and_takes_what_fits_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.journal"
    full = True

    class Small(io.FileIO):
        def write(self, data: Any) -> int:
            if not full:
                return super().write(data)
            if len(data) > 20:
                return super().write(bytes(data)[:20])  # what there is room for
            raise OSError(28, "No space left on device")

    real = Journal._opened

    def opened(self: Journal) -> io.FileIO:
        file = real(self)
        file.close()
        return Small(path, "a+b")

    full = False
    monkeypatch.setattr(Journal, "_opened", opened)
    journal = Journal(path, TOLD)
    journal.add("one", ONE)
    before = path.read_bytes()
    full = True
    with pytest.raises(RecordError) as caught:
        journal.add("two", TWO)
    assert str(caught.value) == (
        f"{path}: the journal cannot be written: No space left on device; make room and run the "
        "same command again, it goes on where it was"
    )
    assert path.read_bytes() == before  # no half a line
    error = KeyError("first")
    journal.__exit__(KeyError, error, None)  # hides nothing
    journal = Journal(path, TOLD)
    with pytest.raises(RecordError):
        journal.add("two", TWO)
    full = False
    journal.close()  # tries again
    assert path.read_bytes().startswith(before)
    assert b'"two"' in path.read_bytes()


def test_a_journal_that_another_run_removes_meanwhile_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.journal"
    first = Journal(path, TOLD)
    early = path.open("a+b", buffering=0)  # as a second run does just before it locks
    first.close()  # without a reply: the file is removed
    assert not path.exists()
    files = [early]
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: files.pop() if files else real(self, *a, **k)
    )
    with Journal(path, TOLD) as second:
        second.add("one", ONE)
    assert b'"one"' in path.read_bytes()
    assert early.closed


def test_a_journal_in_the_place_of_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    ours = Journal(path, TOLD)
    path.unlink()
    path.write_text("another's")
    ours.close()
    assert path.read_text() == "another's"


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with Journal(path, TOLD), pytest.raises(RecordError, match="another levelhead predict writes"):
        Journal(path, TOLD)
    Journal(path, TOLD).close()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="the journal cannot be written here: No such file"):
        Journal(tmp_path / "no" / "a.journal", TOLD)


def test_its_place_is_beside_the_output() -> None:
    assert journal_path("x/a.parquet") == Path("x/a.parquet.journal")
