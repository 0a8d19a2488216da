"""The methods, driven by hand: which requests they make, and what they make of the replies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from levelhead.errors import InvalidInputError
from levelhead.predict._calls import Call
from levelhead.predict._replies import Choice, Reply
from levelhead.predict.methods import Said, elicit, option_shares
from levelhead.predict.questions import Questions
from levelhead.predict.settings import Settings
from levelhead.tasks import Prompt
from levelhead.tasks._base import user_message
from levelhead.tasks._verify import Verifier


def asked(text: str = "Capital of Italy?", kind: Any = "answer", **options: Any) -> Questions:
    prompt = Prompt("p", user_message(text), targets=("Rome",), **options)
    form = "percent_tag" if kind == "event" else "answer_confidence_tags"
    return Questions("q", kind, (prompt,), form, Verifier("exact") if kind == "answer" else None)


def drive(steps: Any, replies: Sequence[Reply]) -> tuple[list[Call], Said]:
    """The requests of one sample, and what it came to."""
    calls = [next(steps)]
    for reply in replies:
        try:
            calls.append(steps.send(reply))
        except StopIteration as end:
            return calls, end.value
    raise AssertionError("it asks on")


def said(*texts: str, **options: Any) -> Reply:
    return Reply(tuple(Choice(text, finish="stop", **options) for text in texts))


def first(questions: Questions, settings: Settings) -> Any:
    return elicit(questions, settings)[0][1]


def test_a_stated_confidence_is_read() -> None:
    steps = first(asked(), Settings("m", seed=3, max_tokens=9, temperature=0.5, body={"top_k": 2}))
    text = "<think><confidence>0.1</confidence></think><answer>Rome</answer> <confidence>80%"
    calls, found = drive(steps, [said(f"{text}</confidence>")])
    assert len(calls) == 1
    body = calls[0].body
    assert calls[0].path == "chat/completions"
    assert (body["model"], body["max_tokens"], body["temperature"], body["top_k"]) == (
        "m",
        9,
        0.5,
        2,
    )
    assert body["messages"][0]["content"].startswith("Capital of Italy?\n\nThink it through")
    assert 0 <= body["seed"] < 2**31
    assert (found.elicited.answer, found.elicited.confidence) == ("Rome", 0.8)


def test_reasoning_that_never_ends_states_nothing() -> None:
    found = drive(
        first(asked(), Settings("m")),
        [said("<think> <answer>Rome</answer><confidence>0.9</confidence>")],
    )[1]
    assert (found.elicited.status, found.elicited.confidence) == ("missing", None)


def test_a_refusal_is_a_refusal() -> None:
    reply = Reply((Choice("", finish="stop", refusal="I cannot help with that."),))
    found = drive(first(asked(), Settings("m")), [reply])[1]
    assert (found.elicited.status, found.text) == ("refusal", "I cannot help with that.")


def test_shares_by_hand() -> None:
    # Yes 0.5 + 0.1 (" yes"), No 0.2, and 0.2 on others: 0.6 / 0.8 and 0.2 / 0.8.
    top = [("Yes", 0.5), ("\u2581yes", 0.1), ("No", 0.2), ("Well", 0.15)]
    shares, outside = option_shares([(t, math.log(p)) for t, p in top], ["Yes", "No"])
    assert shares == pytest.approx([0.75, 0.25])
    assert outside == pytest.approx(0.2)


def test_an_article_is_no_option_and_nothing_is_nothing() -> None:
    shares, outside = option_shares([(" a", -0.1), ("B", math.log(0.05))], ["A", "B"])
    assert shares == [0.0, 1.0]
    assert outside == pytest.approx(0.95)
    shares, outside = option_shares([("Hm", -0.1)], ["A", "B"])
    assert all(map(math.isnan, shares))
    assert outside == 1.0


def test_options_of_a_question() -> None:
    questions = asked("Which?\nA) Rome\nB) Oslo\nC) Bern")
    top = (("B", math.log(0.3)), ("A", math.log(0.1)), ("D", math.log(0.5)))
    calls, found = drive(
        first(questions, Settings("m", method="options")), [Reply((Choice("D", top=top),))]
    )
    body = calls[0].body
    assert (body["max_tokens"], body["temperature"]) == (1, 1.0)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert body["messages"][0]["content"].endswith(
        "the letter of the right option and nothing else."
    )
    assert found.elicited.answer == "B"
    assert found.elicited.confidence == pytest.approx(0.75)
    assert found.elicited.provenance == "computed"
    assert found.details["option_shares"] == pytest.approx([0.25, 0.75, 0.0])
    assert found.details["outside"] == pytest.approx(0.6)


def test_options_of_an_event_give_the_probability_of_yes() -> None:
    top = (("No", math.log(0.6)), ("Yes", math.log(0.2)))
    steps = first(asked(kind="event"), Settings("m", method="options"))
    calls, found = drive(steps, [Reply((Choice("No", top=top),))])
    assert (
        calls[0].body["messages"][0]["content"].endswith("Answer with Yes or No and nothing else.")
    )
    assert (found.elicited.answer, found.elicited.confidence) == ("No", pytest.approx(0.25))


def test_without_logprobs_nothing_can_be_read() -> None:
    found = drive(first(asked(kind="event"), Settings("m", method="options")), [said("Yes")])[1]
    assert (found.elicited.status, found.elicited.confidence) == ("unparsable", None)
    found = drive(first(asked(), Settings("m", method="p-true")), [said("Rome"), said("True")])[1]
    assert (found.elicited.status, found.elicited.answer) == ("unparsable", "Rome")


FILTERED = Reply((Choice("", finish="content_filter"),))
REFUSED = Reply((Choice("", finish="stop", refusal="No."),))


@pytest.mark.parametrize("refused", [FILTERED, REFUSED])
def test_a_refusal_needs_no_logprobs(refused: Reply) -> None:
    found = drive(first(asked(kind="event"), Settings("m", method="options")), [refused])[1]
    assert found.elicited.status == "refusal"
    found = drive(first(asked(), Settings("m", method="p-true")), [refused])[1]
    assert found.elicited.status == "refusal"
    found = drive(first(asked(), Settings("m", method="p-true")), [said("Rome"), refused])[1]
    assert (found.elicited.status, found.elicited.answer) == ("refusal", "Rome")


def test_words_before_a_filter_are_no_answer() -> None:
    cut = Reply((Choice("I can", finish="content_filter"),))
    calls, found = drive(first(asked(), Settings("m", method="p-true")), [cut])
    assert (len(calls), found.elicited.status) == (1, "refusal")


def test_the_judge_sees_the_whole_conversation() -> None:
    turns = (
        {"role": "user", "content": "My name is Bob."},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "What is my name?"},
    )
    questions = Questions("q", "answer", (Prompt("p", turns),), "answer_confidence_tags")
    steps = first(questions, Settings("m", method="p-true", system="You are kind."))
    calls, _ = drive(steps, [said("Bob"), Reply((Choice("", top=(("True", -0.1),)),))])
    *before, last = calls[1].body["messages"]
    assert before == [{"role": "system", "content": "You are kind."}, *turns[:2]]
    assert before == calls[0].body["messages"][:-1]
    assert last["role"] == "user"
    assert last["content"].startswith("Question: What is my name?\n\nProposed answer: Bob\n\n")


def test_a_format_that_contradicts_the_method_goes() -> None:
    text = (
        "The sky is clear. How likely is rain? Answer with a percentage from 1 to 99 in "
        "<answer></answer> tags."
    )
    questions = dataclasses.replace(asked(text, "event"), complete=True)
    for method, samples in (("options", 1), ("consistency", 2)):
        body = next(first(questions, Settings("m", method=method, samples=samples))).body
        said_last = body["messages"][-1]["content"]
        assert said_last.startswith("The sky is clear. How likely is rain?\n\n")
        assert "percentage" not in said_last
        assert "Yes or No" in said_last
    stated = next(first(questions, Settings("m"))).body["messages"][-1]["content"]
    assert stated == text


@pytest.mark.parametrize(
    "turns",
    [
        [("user", "Say <answer>37</answer> for 37%. Now begin.")],
        [("system", "Put it into <answer></answer> tags."), ("user", "Rain?")],
        [("user", "Give it in <answer></answer> tags.")],
    ],
)
def test_a_format_that_cannot_be_told_apart_is_refused(turns: list[tuple[str, str]]) -> None:
    messages = tuple({"role": role, "content": text} for role, text in turns)
    prompts = (Prompt("p7", messages, outcome=1.0),)
    questions = Questions("q", "event", prompts, "percent_tag", complete=True)
    with pytest.raises(InvalidInputError) as caught:
        elicit(questions, Settings("m", method="options"))
    assert str(caught.value).startswith("method: prompt 'p7' asks for an answer in tags, which")
    assert str(caught.value).endswith("or use --method verbalized")


def test_p_true_asks_anew_whether_its_answer_is_right() -> None:
    top = (("True", math.log(0.8)), ("False", math.log(0.1)), ("true", math.log(0.1)))
    steps = first(asked(), Settings("m", method="p-true"))
    calls, found = drive(steps, [said("So, <answer>Rome</answer>"), Reply((Choice("", top=top),))])
    assert [c.body["max_tokens"] for c in calls] == [1024, 1]
    second = calls[1].body["messages"]
    assert len(second) == 1
    assert "Question: Capital of Italy?\n\nProposed answer: Rome\n\n" in second[0]["content"]
    assert (found.elicited.answer, found.elicited.confidence) == ("Rome", pytest.approx(0.9))
    assert found.text == "So, <answer>Rome</answer>"
    assert calls[0].key != calls[1].key


def test_p_true_as_plain_text() -> None:
    steps = first(asked(), Settings("m", method="p-true", endpoint="completions", top_logprobs=5))
    calls, _ = drive(steps, [said("Rome"), Reply((Choice("", top=(("True", -0.1),)),))])
    assert calls[1].path == "completions"
    assert calls[1].body["prompt"].endswith("The proposed answer is:")
    assert (calls[1].body["logprobs"], calls[1].body["max_tokens"]) == (5, 1)


def test_agreement_by_hand() -> None:
    # Five samples: Rome three times in two spellings, Oslo, and one without an answer: 3 / 5.
    steps = first(asked(), Settings("m", method="consistency", samples=5))
    texts = ["<answer>Oslo</answer>", "<answer>Rome</answer>", "<answer>", "The Rome.", "rome"]
    calls, found = drive(steps, [said(text) for text in texts])
    assert len(calls) == 5
    assert len({call.body["seed"] for call in calls}) == 5
    assert (found.elicited.answer, found.elicited.confidence) == ("Rome", pytest.approx(0.6))
    assert found.details == {"votes": 3, "samples": 5}


def test_a_server_that_caps_n_is_asked_for_the_rest() -> None:
    steps = first(asked(), Settings("m", method="consistency", samples=5, per_request=4))
    calls, found = drive(steps, [said("Rome", "Rome"), said("Oslo", "Rome", "Rome", "Rome")])
    assert [call.body["n"] for call in calls] == [4, 3]
    assert found.elicited.confidence == pytest.approx(4 / 5)


def test_votes_on_an_event() -> None:
    steps = first(asked(kind="event"), Settings("m", method="consistency", samples=4))
    calls, found = drive(steps, [said(f"<answer>{w}</answer>") for w in ("yes", "No", "?", "Yes.")])
    assert "give Yes or No in <answer>" in calls[0].body["messages"][0]["content"]
    assert found.elicited.confidence == pytest.approx(2 / 3)


def test_a_tie_of_votes_is_the_first_option() -> None:
    steps = first(asked(kind="event"), Settings("m", method="consistency", samples=4))
    found = drive(steps, [said(f"<answer>{w}</answer>") for w in ("No", "Yes", "No", "Yes")])[1]
    assert (found.elicited.answer, found.elicited.confidence) == ("Yes", 0.5)


def test_each_sample_has_a_seed_of_its_own() -> None:
    bodies = [next(steps).body for _, steps in elicit(asked(), Settings("m", samples=3))]
    assert len({body["seed"] for body in bodies}) == 3


def test_equal_prompts_are_different_samples_and_order_does_not_matter() -> None:
    one, two = Prompt("1", user_message("A?")), Prompt("2", user_message("B?"))
    settings = Settings("m", samples=2)
    both = Questions("q", "answer", (one, two, one), "answer_confidence_tags")
    keys = [next(steps).key for _, steps in elicit(both, settings)]
    assert len(set(keys)) == 6
    turned = Questions("q", "answer", (two, one, one), "answer_confidence_tags")
    assert {next(steps).key for _, steps in elicit(turned, settings)} == set(keys)


def test_every_setting_of_a_request_changes_its_key() -> None:
    changed = [
        {},
        {"model": "m2"},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"seed": 1},
        {"system": "Be brief."},
        {"instruction": ""},
        {"body": {"top_k": 1}},
        {"endpoint": "completions"},
    ]
    keys = [next(first(asked(), Settings(**{"model": "m", **c}))).key for c in changed]
    assert len(set(keys)) == len(changed)


def test_a_field_can_be_taken_out() -> None:
    body = {"seed": None, "max_tokens": None, "max_completion_tokens": 99}
    steps = first(asked(), Settings("m", method="p-true", body=body))
    calls, _ = drive(steps, [said("Rome"), Reply((Choice("", top=(("True", -0.1),)),))])
    assert all("seed" not in c.body and "max_tokens" not in c.body for c in calls)
    assert [c.body["max_completion_tokens"] for c in calls] == [99, 1]


def test_a_method_that_does_not_suit_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="method: expected one for events, got p-true"):
        elicit(asked(kind="event"), Settings("m", method="p-true"))
    with pytest.raises(InvalidInputError, match="prompt 'p' lists none as lines such as"):
        elicit(asked(), Settings("m", method="options"))


def test_samples_without_a_seed_are_still_different() -> None:
    found = elicit(asked(), Settings("m", samples=3, body={"seed": None}))
    calls = [next(steps) for _, steps in found]
    assert calls[0].body == calls[1].body
    assert len({call.key for call in calls}) == 3
