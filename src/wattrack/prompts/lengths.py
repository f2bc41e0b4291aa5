"""Prompts and answers of exact lengths: texts that differ in every repeat, lengths drawn from a Gaussian. Pure."""

from statistics import NormalDist


def turned(text: str, repeat: int) -> str:
    """The text begun at its line (of a single line: at its word) number `repeat`, what stood before it at the end.

    A text cut to a length asks for nothing: repeats of one are other prompts, or an engine could compute them once.
    """
    between = "\n" if "\n" in text else " "
    parts = text.split(between)
    begin = repeat % len(parts)
    return between.join([*parts[begin:], *parts[:begin]])


def drawn_length(mean: int, stddev: float, seed: int) -> int:
    """A whole number of 1 or more from a Gaussian: a pure function of its arguments, the same on every machine.

    The Gaussian is cut off at both sides, to 1 .. 2 mean - 1: lengths have a known maximum and keep their mean, which
    cutting at 1 alone would raise.
    """
    gaussian = NormalDist(mean, stddev)
    lower = min(seed, 2**63 - 1 - seed)  # the upper half mirrors the lower one: near 1 a share has no digits left
    cut = gaussian.cdf(0.5)
    share = cut + (1 - 2 * cut) * (lower + 0.5) / 2**63
    drawn = min(max(round(gaussian.inv_cdf(share)), 1), mean)
    return drawn if seed == lower else 2 * mean - drawn
