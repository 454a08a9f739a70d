"""Facts of a decision are told again as they were noted; what was not noted is never guessed."""

from collections.abc import Iterator

import pytest
from tests.fakes.decisions import TOKEN, A, Desk
from tests.policy.listed import ListedUsage, Spend, Spending

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
    for question, missing in (
        (lambda: alone.spent_after("native", 5), "what happened before"),
        (lambda: alone.spent_after(TOKEN, 5), f"how much had moved of {TOKEN}"),
        (lambda: alone.spent_so_far("native", 5, 1), "what happened before"),
        (lambda: alone.in_flight(TOKEN), f"what was in flight of {TOKEN}"),
        (lambda: alone.admitted_after(5), "what happened before"),
        (lambda: alone.admitted_at(1), "what happened before"),
        (alone.session, "what the session had used"),
    ):
        with pytest.raises(NotRecorded) as not_recorded:
            question()
        assert str(not_recorded.value) == missing
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


def test_what_is_noted_is_what_was_answered_and_is_passed_on() -> None:
    spends = (Spend(3, 40), Spend(8, 30))
    real = ListedUsage({"native": Spending(1, 2, spends)}, (4, 5, 6), SessionUse(7, 8))
    usage = RecordingUsage(real)
    assert usage.in_flight("native") == InFlight(1, 2)
    assert usage.spent_after("native", 5) == 30
    assert usage.spent_so_far("native", 1, 41) == 8
    assert usage.admitted_after(4) == 2
    assert usage.admitted_at(2) == 5
    assert usage.session() == SessionUse(7, 8)
    usage.note_assets(["native", TOKEN])
    assert usage.answers == Answers(
        in_flight={"native": InFlight(1, 2), TOKEN: InFlight(0, 0)},
        spent_after={"native": {5: 30, EVER_S: 70}, TOKEN: {EVER_S: 0}},
        spent_so_far={"native": {1: {41: 8}}},
        admitted_after={4: 2},
        admitted_at={2: 5},
        session=SessionUse(7, 8),
    )


@pytest.mark.parametrize(
    ("base_units", "second"),
    [(9, 20), (10, 20), (11, 3), (40, 3), (41, 8), (70, 8), (71, 20), (10**30, 20)],
)
def test_a_total_is_reached_in_the_second_that_brought_it(base_units: int, second: int) -> None:
    """What had moved before the first second that is known was reached at no known time."""
    assert Spent([(3, 40), (8, 70)], before=10).reaches(base_units, by_s=20) == second
    assert Spent([(3, 40)]).until(2) == 0


def test_what_moved_of_an_asset_that_never_moved_is_nothing() -> None:
    noted = Answers(spent_after={TOKEN: {EVER_S: 0}})
    assert RecordedUsage(noted, now_s=9, history=History({}, [])).spent_after(TOKEN, 5) == 0


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
