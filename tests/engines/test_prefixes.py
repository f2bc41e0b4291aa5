"""Grouping by common prefix: a partition, correct, and never more work than sharing nothing."""

from hypothesis import given
from hypothesis import strategies as st

from wattrack.engines.rows import common
from wattrack.engines.sharing.prefixes import PASS_OVERHEAD_TOKENS, Group, group

sequences = st.lists(st.lists(st.integers(0, 2), max_size=12).map(lambda ids: tuple(ids * 20)), max_size=12)


def work(groups: list[Group], rows: list[tuple[int, ...]]) -> int:
    """Tokens computed."""
    return sum(one.prefix + sum(len(rows[i]) - one.prefix for i in one.rows) for one in groups)


@given(rows=sequences)
def test_groups_partition_the_rows_and_share_what_they_say(rows: list[tuple[int, ...]]) -> None:
    groups = group(rows)
    assert sorted(i for one in groups for i in one.rows) == list(range(len(rows)))
    for one in groups:
        shared = {rows[i][: one.prefix] for i in one.rows}
        assert len(shared) == 1 and len(next(iter(shared))) == one.prefix
        assert one.prefix == 0 or len(one.rows) > 1
    assert work(groups, rows) <= sum(map(len, rows))


@given(a=st.lists(st.integers(0, 1)), b=st.lists(st.integers(0, 1)))
def test_common_is_the_longest_common_prefix(a: list[int], b: list[int]) -> None:
    n = common(a, b)
    assert (a[:n] == b[:n] and a[: n + 1] != b[: n + 1]) or n == len(a) == len(b)


def test_subjects_get_their_own_headers() -> None:
    start = tuple(range(13))
    headers = [start + tuple(range(100 * s, 100 * s + 600)) for s in (1, 20)]
    rows = [header + (5000 + n,) * 40 for header in headers for n in range(5)]
    lonely = (*start, 9, 9, 9)
    groups = group([*rows, lonely])
    assert sorted((one.prefix, len(one.rows)) for one in groups) == [(0, 1), (613, 5), (613, 5)]


def test_a_short_common_start_is_not_worth_a_pass() -> None:
    rows = [(1, 2, 3, n) for n in range(5)]
    assert group(rows) == [Group(0, (0, 1, 2, 3, 4))]
    worth = PASS_OVERHEAD_TOKENS * 2
    rows = [(7,) * worth + (n,) for n in range(5)]
    assert group(rows) == [Group(worth, (0, 1, 2, 3, 4))]


def test_nothing_and_equal_rows() -> None:
    assert group([]) == []
    assert group([(1,) * 200] * 3) == [Group(200, (0, 1, 2))]
