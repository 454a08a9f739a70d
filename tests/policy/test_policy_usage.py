"""Usage: the naive sums, by which the ledger's are judged, are judged by counting every second."""

from hypothesis import given
from hypothesis import strategies as st
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.policy.usage import InFlight

SPENDS = st.lists(
    st.builds(Spend, st.integers(0, 50), st.integers(1, 2**256 - 1)), max_size=12
).map(tuple)


def native(*spends: Spend) -> ListedUsage:
    return ListedUsage({"native": Spending(99, 1, spends)})


def test_the_edge_of_a_window_is_outside() -> None:
    usage = native(Spend(9, 1), Spend(10, 2), Spend(11, 4))
    assert [usage.spent_after("native", since_s) for since_s in (8, 9, 10, 11)] == [7, 6, 4, 0]


def test_sums_past_64_bits_are_exact() -> None:
    usage = native(Spend(1, 2**256 - 1), Spend(1, 2**63), Spend(2, 1))
    assert usage.spent_after("native", 0) == 2**256 + 2**63


def test_an_asset_that_was_never_used_has_nothing_in_it() -> None:
    usage = native(Spend(9, 1))
    assert usage.in_flight("native") == InFlight(going_out=99, waiting=1)
    assert usage.in_flight("other") == InFlight(0, 0)
    assert usage.spent_after("other", 0) == 0


@given(SPENDS, st.integers(-5, 55), st.data())
def test_a_window_counts_exactly_the_later_seconds(
    spends: tuple[Spend, ...], since_s: int, data: st.DataObject
) -> None:
    by_second = [0] * 56
    for spend in spends:
        by_second[spend.settled_at] += spend.base_units
    usage = native(*spends)
    counted = sum(by_second[max(since_s + 1, 0) :])
    assert usage.spent_after("native", since_s) == counted
    if counted:
        some = data.draw(st.integers(1, counted))
        second = usage.spent_so_far("native", since_s, some)
        assert counted - usage.spent_after("native", second) >= some
        assert counted - usage.spent_after("native", max(second - 1, since_s)) < some
