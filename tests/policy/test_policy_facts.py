"""Facts of a decision are told again as they were noted; what was not noted is never guessed."""

from collections.abc import Iterator

import pytest
from tests.fakes.decisions import TOKEN, A, Desk

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import SessionUse
from waiaas.domain.request import (
    Transfer,
)
from waiaas.pipeline.decisions import (
    read_answers,
)
from waiaas.policy.facts import (
    EVER_S,
    Answers,
    History,
    NotRecorded,
    RecordedUsage,
    RecordingUsage,
    Spent,
)
from waiaas.policy.rate_limit import REQUESTS_MAX
from waiaas.policy.usage import InFlight


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def test_without_its_history_a_decision_does_not_guess(desk: Desk) -> None:
    desk.set((PolicyType.SPENDING_LIMIT, {"asset": "native", "instant_max": "40"}))
    desk.go([(Transfer(A, 5), 0, None)])
    [(decision, _)] = desk.decisions()
    answers = read_answers(decision.usage)
    alone = RecordedUsage(answers, now_s=decision.decided_at)
    assert alone.spent_after("native", EVER_S) == 0
    for question in (
        lambda: alone.spent_after("native", 5),
        lambda: alone.spent_after(TOKEN, 5),
        lambda: alone.spent_so_far("native", 5, 1),
        lambda: alone.in_flight(TOKEN),
        lambda: alone.admitted_after(5),
        lambda: alone.admitted_at(1),
        alone.session,
    ):
        with pytest.raises(NotRecorded):
            question()
    past = RecordedUsage(answers, now_s=decision.decided_at, history=History({}, [1, 2, 2]))
    assert (past.admitted_after(1), past.admitted_at(3), past.admitted_at(4)) == (2, 1, None)


def test_what_was_noted_is_told_again_and_the_rest_is_found_in_the_history() -> None:
    noted = Answers(
        spent_after={"native": {EVER_S: 100, 5: 60}}, spent_so_far={"native": {5: {7: 9}}}
    )
    history = History({"native": Spent([(3, 40), (8, 70), (20, 130)], before=10)}, [])
    usage = RecordedUsage(noted, now_s=20, history=history)
    assert (usage.spent_after("native", 5), usage.spent_so_far("native", 5, 7)) == (60, 9)
    assert (usage.spent_after("native", 2), usage.spent_after("native", 8)) == (90, 30)
    assert usage.spent_so_far("native", 5, 30) == 8
    assert usage.spent_so_far("native", 5, 31) == 20, "in the second of the decision"
    assert RecordedUsage(noted, now_s=9, history=history).spent_so_far("native", 5, 60) == 9
    with pytest.raises(NotRecorded, match="how much had moved"):
        usage.spent_after(TOKEN, 5)


def test_what_a_session_had_used_is_told_again() -> None:
    usage = RecordedUsage(Answers(session=SessionUse(2, 3)), now_s=9)
    assert usage.session() == (2, 3)


def test_counting_ends_where_no_rule_counts_further() -> None:
    history = History({}, list(range(REQUESTS_MAX + 5)))
    assert RecordedUsage(Answers(), now_s=9, history=history).admitted_after(-1) == REQUESTS_MAX


def test_every_answer_is_noted_as_it_was_given() -> None:
    history = History({"native": Spent([(3, 40)])}, [1, 2])
    noted = Answers({"native": InFlight(1, 2)}, {"native": {EVER_S: 40}}, session=SessionUse(2, 3))
    recording = RecordingUsage(RecordedUsage(noted, now_s=9, history=history))
    recording.note_assets(["native"])
    asked = [
        recording.in_flight("native"),
        recording.spent_after("native", 2),
        recording.spent_so_far("native", 2, 5),
        recording.admitted_after(1),
        recording.admitted_at(1),
        recording.session(),
    ]
    again = RecordedUsage(recording.answers, now_s=9)
    assert asked == [
        again.in_flight("native"),
        again.spent_after("native", 2),
        again.spent_so_far("native", 2, 5),
        again.admitted_after(1),
        again.admitted_at(1),
        again.session(),
    ]
