"""Which token sequences share a beginning worth computing once. Pure.

Sharing is by tokens, never by text: two prompts share exactly the ids on which their whole tokenisations agree, so no
token is ever cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wattrack.engines.rows import common

PASS_OVERHEAD_TOKENS = 64
"""What one more pass over a prefix costs besides its tokens, in tokens: keeps tiny groups together."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are computed on top of one common prefix."""

    prefix: int
    """Tokens shared by all rows; 0 = nothing."""
    rows: tuple[int, ...]
    """Indices of the sequences, in the order they were given."""


@dataclass(slots=True)
class _Open:
    """An interval of sorted neighbours that agree on `shared` tokens at least, still growing."""

    shared: int
    rows: list[int]


def group(sequences: Sequence[tuple[int, ...]], overhead: int = PASS_OVERHEAD_TOKENS) -> list[Group]:
    """Split into groups so that about as few tokens as possible are computed; every index is in exactly one group.

    `sequences[i]` is the part of row i that may be shared (a row's last token must stay its own); `overhead` is what
    one more group costs besides its prefix, in tokens. In sorted order the common prefixes of neighbours form a tree;
    from the leaves up, rows leave their parent's group when a prefix of their own saves more tokens than it costs.
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i])
    groups: list[Group] = []
    stack = [_Open(0, [])]
    for place, index in enumerate(order):
        following = order[place + 1] if place + 1 < len(order) else None
        shared = 0 if following is None else common(sequences[index], sequences[following])
        if shared > stack[-1].shared:
            stack.append(_Open(shared, []))
        stack[-1].rows.append(index)
        while shared < stack[-1].shared:
            closed = stack.pop()
            if shared > stack[-1].shared:
                stack.append(_Open(shared, []))
            _settle(closed, stack[-1], groups, overhead)
    if stack[0].rows:
        groups.append(Group(0, tuple(sorted(stack[0].rows))))
    return groups


def _settle(closed: _Open, parent: _Open, groups: list[Group], overhead: int) -> None:
    saved = len(closed.rows) * (closed.shared - parent.shared)
    if saved > closed.shared + overhead:
        groups.append(Group(closed.shared, tuple(sorted(closed.rows))))
    else:
        parent.rows += closed.rows
