"""Commands of shell scripts: what is known without running them, and what is not."""

from __future__ import annotations

import subprocess
import time

import pytest

from levelhead.lint._shell import MAX_WORDS, commands, hidden


def texts(script: str) -> list[list[str]]:
    return [[word.text for word in command.words] for command in commands(script)]


PLAIN = [
    "X=y\nshow a 'b c' \"d $X\" e\\ f",
    'X=1\nshow $X ${X} ${X:-2} ${Y:-3} "${Y:-a b}" ${Y-z}',
    "X=1 Y=2; show $X$Y",
    "A=(a 'b c' d)\nA+=(e)\nshow \"${A[@]}\"",
    "V='a b  c'\nshow $V",
    "V='a b'\nshow \"$V\"",
    "show a \\\n  b \\\n  c",
    "show $((1024 * 4)) # comment",
    "n=3\nshow $((n * 2 + 1))",
    "V=a\nV+=b\nshow $V",
    "show a > /dev/null; show b 2>&1",
    "if true; then show a; fi",
    "show 'it''s' \"a\\\"b\" a#b",
    "V=$'a\\tb'\nshow x",
    "show {a,b} | cat",
]


@pytest.mark.parametrize("script", PLAIN[:-1])
def test_words_are_those_of_bash(script: str) -> None:
    show = "show() { for w in \"$@\"; do printf '<%s>' \"$w\"; done; printf '\\n'; }\n"
    told = subprocess.run(
        ["bash", "-c", show + script], capture_output=True, text=True, check=True
    ).stdout
    ours = "".join(
        "".join(f"<{word}>" for word in words[1:]) + "\n"
        for words in texts(script)
        if words[0] == "show"
    )
    hidden = "> /dev/null" in script
    assert ours == (f"<a>\n{told}" if hidden else told)


def test_what_has_to_run_is_unknown() -> None:
    (command,) = commands('run a=$(date +%s) b=`pwd` c=$HOME d=$1 e=${X//a/b} "f"')
    unknown = [word.unknown for word in command.words]
    assert unknown[0] == unknown[-1] == ""
    assert unknown[1] == "$(date +%s) is not run"
    assert unknown[3] == "$HOME is set outside of this file"
    assert all(unknown[1:6])


def test_a_variable_that_branches_set_is_unknown_after_them() -> None:
    script = "X=a\nif [ $Y ]; then\n  X=b\n  run $X\nelse\n  run $X\nfi\nrun $X\n"
    runs = [command.words[1] for command in commands(script) if command.words[0].text == "run"]
    assert [(word.text, bool(word.unknown)) for word in runs] == [
        ("b", False),
        ("a", False),
        ("$X", True),
    ]
    assert runs[2].unknown == "$X is set in a branch"


CONDITIONS = [
    ('N=8\n[ -n "$S" ] && N=1', ""),
    ('N=8\ntest -z "$S" || N=1', ""),
    ("N=8\n[[ $S && $T ]] && N=1", ""),
    ("N=8\n(( S > 1 )) && N=1", ""),
    ('N=8\ntest -z "$S" || { N=1; }', ""),
    ("N=8\nif a && b; then c; fi && N=1", ""),
    ("N=8\ntest $S &&\n  N=1", ""),
    ("N=8\nX=$(cat f) && N=1", ""),
    ("N=8\n( N=1; echo $N )", "8"),
    ("N=8\n(cd x && N=1)", "8"),
    ("N=8\ntest $S && N=8", "8"),
    ("A=1 && N=1", "1"),
    ("cd x && export N=1", "1"),
    ("N=8\ncase $S in a|b) M=1 ;; (c) M=2 ;; esac", "8"),
    ("N=8\nf() { M=1; }\ng () (\n  N=2\n)", "8"),
    ("N=8\ntest $S && M=1 || M=2\nN=3", "3"),
]


@pytest.mark.parametrize(("script", "value"), CONDITIONS)
def test_what_may_not_run_leaves_a_variable_unknown(script: str, value: str) -> None:
    word = commands(script + "\nrun $N")[-1].words[1]
    assert (word.text, word.unknown) == ((value, "") if value else ("$N", "$N is set in a branch"))


def test_within_a_chain_what_was_set_before_is_known() -> None:
    run = commands("N=8\ntest $S && N=1 && run $N")[-1]
    assert [word.text for word in run.words] == ["run", "1"]


def test_an_array_that_grows_in_a_branch_keeps_what_it_had() -> None:
    script = 'A=(a b)\nif [ $X ]; then A+=(c); fi\nrun "${A[@]}"\n'
    words = commands(script)[-1].words
    assert [(word.text, word.unknown) for word in words[1:]] == [
        *(("a", ""), ("b", ""), ("$A", "$A grows in a branch"))
    ]


HIDDEN = [
    ("python x.py a=1 $MORE b=2", "$MORE"),
    ("python x.py a=1 $(cat more)", "$(cat more)"),
    ("python x.py --lr $LR a=$B", None),
    ("$PYTHON x.py a=1", None),
    ("python x.py a=1 $@", None),
]


@pytest.mark.parametrize(("script", "key"), HIDDEN)
def test_an_argument_that_may_be_anything(script: str, key: str | None) -> None:
    found = hidden(commands(script)[-1].words)
    assert (None if found is None else found.key) == key


def test_arrays_and_words_do_not_grow_without_end() -> None:
    doubled = commands("a=(x x)\n" + 'a=("${a[@]}" "${a[@]}")\n' * 40 + 'run "${a[@]}"')[-1]
    assert len(doubled.words) <= MAX_WORDS + 1
    assert {word.unknown for word in doubled.words[1:]} == {"it is too long"}
    longer = commands("V=" + "x" * 90_000 + "\n" + "V+=$V\n" * 40 + "run $V")[-1]
    assert len(longer.words) == 1 or longer.words[1].unknown == "it is too long"


def test_a_long_word_takes_no_more_than_its_share() -> None:
    started = time.process_time()
    commands("run " + "x" * 500_000 + " '" + "y" * 500_000 + "' \"" + "z" * 500_000 + '"')
    assert time.process_time() - started < 20  # it takes a hundredth of that, and took more


def test_equal_branches_leave_it_known() -> None:
    script = "X=a\nif [ $Y ]; then X=a; fi\nrun $X"
    assert commands(script)[-1].words[1].text == "a"


def test_a_loop_variable_is_unknown() -> None:
    run = next(c for c in commands("for a in x y; do run $a; done") if c.words[0].text == "run")
    assert run.words[1].unknown == "$a runs through a list"


def test_the_arguments_of_the_script_are_left_out() -> None:
    assert texts('run a $@ "$@" ${@:2} b') == [["run", "a", "b"]]


def test_lines_are_those_of_the_words() -> None:
    (command,) = commands('A=(\n  # no\n  one\n  two\n)\nrun \\\n  zero \\\n  "${A[@]}"\n')
    assert [(word.text, word.line) for word in command.words] == [
        ("run", 6),
        ("zero", 7),
        ("one", 3),
        ("two", 4),
    ]


def test_a_here_document_becomes_a_variable_or_a_script() -> None:
    script = "N=8\nread -r -d '' args <<EOF\nmodule \\\n  --n $N --d $WHERE/x\nEOF\nrun $args\n"
    words = commands(script)[-1].words
    assert [word.text for word in words] == ["run", "module", "--n", "8", "--d", "$WHERE/x"]
    assert [bool(word.unknown) for word in words] == [False] * 5 + [True]
    assert [word.line for word in words[1:4]] == [3, 4, 4]
    assert ["train", "x"] in texts("sbatch <<'EOF'\n#!/bin/bash\ntrain x\nEOF\nshow done\n")
    assert texts("cat <<-EOF > f\n\ta\n\tEOF\nrun b")[-1] == ["run", "b"]


def test_a_command_in_quotes() -> None:
    found = texts("N=4\nsrun bash -c \"python -m some.module n=$N x='y z'\"")
    assert ["python", "-m", "some.module", "n=4", "x=y z"] in found


BROKEN = [
    *("'", '"', "$(", "${", "`", "A=(", "<<EOF", "<<EOF\n", "\\", "$((1/0))", "(((((", "a=(b=(c"),
    *("fi fi fi", ";;", "\x00\x01", "case x in a) b ;; esac", "${x:-${y:-${z:-a}}}", "else"),
    *("X=$X$X\n" * 60, "A='x'\n" + "A=$A$A$A$A\n" * 40),
]


@pytest.mark.parametrize("script", BROKEN)
def test_broken_scripts_are_read_to_their_end(script: str) -> None:
    assert isinstance(commands(script), list)
