"""Golden rows of the code scorer, and that wild text never breaks the extraction."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import flat_response
from wattrack.errors import ScoringError
from wattrack.intervals import pass_at_k
from wattrack.sandbox.check import Limits, Program, Sandbox, Verdict
from wattrack.schema import Response, Sample
from wattrack.scorers.code import Form, chosen, closed_blocks, flexible, score

PROMPT = 'import math\n\ndef half(x):\n    """Half of x."""\n'
TESTS = "assert half(4) == 2\nassert half(5) == 2\n"
SAMPLE = Sample(id="a", question=PROMPT, target="", data={"prompt": PROMPT, "tests": TESTS, "own": ["half"]})
SANDBOX = Sandbox(allow=True, limits=Limits(cpu_s=1, wall_s=5.0))
WHOLE = "def half(x):\n    return math.floor(x / 2)\n"


def response(text: str) -> Response:
    return flat_response(sample_id="a", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)


GOLDEN: list[tuple[Form, str, float, float, str]] = [
    # form, text, strict, flexible, what the explanation says
    ("completion", "    return math.floor(x / 2)", 1, 1, "passed"),
    ("completion", "    return x / 2", 0, 0, "assertion"),
    ("completion", "    return None", 0, 0, "assertion"),
    ("completion", "  return x // 2", 0, 0, "syntax"),  # the docstring is indented by four
    ("completion", "    return x // 2\n\nI hope this helps.", 0, 1, "syntax"),
    ("completion", f"Here it is:\n```python\n{WHOLE}```\nIt halves.", 0, 1, "syntax"),
    ("completion", f"\n{WHOLE}", 1, 1, "passed"),  # the last definition counts
    ("completion", "", 0, 0, "no code found"),
    ("completion", " \n\t\n", 0, 0, "no code found"),
    ("completion", "    return 'half", 0, 0, "syntax"),
    ("completion", "    import sys\n    sys.exit(0)", 0, 0, "exit"),
    ("completion", "    while True: pass", 0, 0, "timeout"),
    ("completion", "    return x // 2\x00", 0, 0, "syntax"),
    ("completion", "    return x // 2 # \ud800", 1, 1, "passed"),  # a lone surrogate in a comment
    ("chat", f"Sure!\n\n```python\n{WHOLE}```\nUse it as:\n```python\nprint(half(4))\n```", 1, 1, "passed"),
    ("chat", f"First try:\n```\nhalf(4)\n```\nThen:\n```py\n{WHOLE}```", 1, 1, "passed"),
    ("chat", f"1. So:\n   ```python\n   {WHOLE.replace(chr(10), chr(10) + '   ')}\n   ```", 1, 1, "passed"),
    ("chat", f"```python\n{WHOLE}", 0, 1, "no code found; flexible: passed"),  # cut before the fence's end
    ("chat", f"The function:\n\n{WHOLE}\nThat is all.", 0, 1, "no code found; flexible: passed"),
    ("chat", "```python\nfrom __future__ import annotations\n" + WHOLE + "```", 1, 1, "passed"),
    ("chat", "```python\n" + WHOLE + "if __name__ == '__main__':\n    input()\n```", 1, 1, "passed"),
    ("chat", "```python\n```", 0, 0, "no code found"),
    ("chat", "I cannot do that.", 0, 0, "no code found"),
    ("chat", "", 0, 0, "no code found"),
]


@pytest.mark.parametrize(("form", "text", "strict", "loose", "told"), GOLDEN)
def test_golden_rows(form: Form, text: str, strict: float, loose: float, told: str) -> None:
    got = score(SAMPLE, response(text), sandbox=SANDBOX, form=form)
    in_form = {"format_compliance": not told.startswith("no code found")} if form == "chat" else {}
    assert got.metrics == {"pass_at_1": strict, "pass_at_1_flexible": loose, **in_form}, got.explanation
    assert got.value == strict
    assert got.explanation.startswith(told)
    assert (got.answer is None) == (told == "no code found" and not loose)


def test_the_answer_shown_is_the_code() -> None:
    got = score(SAMPLE, response(f"So:\n```python\n{WHOLE}```"), sandbox=SANDBOX, form="chat")
    assert got.answer == WHOLE


def test_a_sample_without_tests_is_no_wrong_answer() -> None:
    with pytest.raises(ScoringError, match="to_sample must give prompt, tests, own"):
        score(Sample(id="a", question="?", target=""), response("x"), sandbox=SANDBOX, form="chat")


class Seen(Sandbox):
    """Notes the programs instead of running them: extraction alone is under test."""

    def check(self, program: Program) -> Verdict:
        assert program.tests == TESTS
        return Verdict(kind="error")


PIECES = st.lists(
    st.sampled_from(
        ["```", "```python", "   ```", "def half(x):", "    return 1", "class half:", "import os", "Then:", ""]
    )
    | st.text(max_size=20)
).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(text=st.text() | PIECES)
def test_wild_text_is_read_without_failing(text: str) -> None:
    for block in closed_blocks(text):
        assert all(line in text for line in block.split("\n"))
    found = flexible(text, ["half"])
    assert found is None or (found.strip() and all(line in text for line in found.split("\n")))
    for form in ("completion", "chat"):
        got = score(SAMPLE, response(text), sandbox=Seen(), form=form)  # type: ignore[arg-type]
        assert set(got.metrics) - {"format_compliance"} == {"pass_at_1", "pass_at_1_flexible"}


@given(before=st.text(alphabet=st.characters(exclude_characters="`")), after=st.text(alphabet="ab \n"))
def test_a_fenced_program_is_found_whatever_is_around_it(before: str, after: str) -> None:
    assert chosen(closed_blocks(f"{before}\n```python\n{WHOLE}```\n{after}"), ["half"]) == WHOLE


@pytest.mark.parametrize(("n", "correct", "k"), [(1, 0, 1), (1, 1, 1), (10, 3, 5), (200, 7, 100), (5, 1, 5), (6, 5, 2)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(n: int, correct: int, k: int) -> None:
    assert pass_at_k(n, correct, k) == pytest.approx(1 - math.comb(n - correct, k) / math.comb(n, k), abs=1e-12)


def test_pass_at_k_of_too_few_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@5 needs at least 5"):
        pass_at_k(4, 1, 5)
