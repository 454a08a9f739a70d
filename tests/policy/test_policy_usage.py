"""Usage: what moved counts in a window from its own second on, for as long as the window is."""

from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.records import Spend
from waiaas.policy.usage import Spending, Usage

SPENDS = st.lists(
    st.builds(Spend, st.integers(0, 50), st.integers(1, 2**256 - 1)), max_size=12
).map(lambda spends: tuple(sorted(spends)))


def test_the_edge_of_a_window_is_outside() -> None:
    spending = Spending(99, 1, (Spend(9, 1), Spend(10, 2), Spend(11, 4)))
    assert [spending.spent_after(since_s) for since_s in (8, 9, 10, 11)] == [7, 6, 4, 0]


def test_sums_past_64_bits_are_exact() -> None:
    spending = Spending(spends=(Spend(1, 2**256 - 1), Spend(1, 2**63), Spend(2, 1)))
    assert spending.spent_after(0) == 2**256 + 2**63


def test_what_goes_out_and_what_waits_are_both_in_flight() -> None:
    assert Spending(going_out=2**256, waiting=3).in_flight == 2**256 + 3


def test_an_asset_that_was_never_used_has_spent_nothing() -> None:
    usage = Usage({"native": Spending(going_out=1)})
    assert usage.of("native").in_flight == 1
    assert usage.of("other") == Spending(0, 0, ())


@given(SPENDS, st.integers(-5, 55))
def test_a_window_counts_exactly_the_later_seconds(spends: tuple[Spend, ...], since_s: int) -> None:
    by_second = [0] * 56
    for spend in spends:
        by_second[spend.settled_at] += spend.base_units
    counted = sum(by_second[max(since_s + 1, 0) :])
    assert Spending(going_out=3, spends=spends).spent_after(since_s) == counted
