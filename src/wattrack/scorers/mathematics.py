"""Mathematical answers: `exact_minerva` compares strings in Minerva's normal form, `math_verify` compares values.

exact_minerva  the answer in the form that the prompt asks for (`form`), normalised, equals the normalised reference
math_verify    the answer in that form, else in the other form, else the last expression on the last line of a text that
               was not cut off, equals the reference by math-verify (Hugging Face) or character by character

Both take the last answer of a text: a model that recites examples is judged by its final line (lm-evaluation-harness
takes the first "final answer is", and lets math-verify find an expression anywhere, in a text cut off or not).
Comparing values starts a process and takes milliseconds to seconds: never inside a measured window.

math-verify alone would take 52_8 for 52_9, because it ignores the base of a number, and 0.0000672 for 0.0000673,
because it rounds to six decimals; so written numbers are compared as decimals, and bases must agree where both are
written.
Known and left: units count for nothing (15 cm^2 equals 15 cm^3), and 1/3 equals 0.333333.
"""

import re

from wattrack.schema import Response, Sample, Score
from wattrack.scorers import number
from wattrack.scorers.equality import Compared, verifier
from wattrack.scorers.latex import LONGEST_ANSWER, after_final_answer, last_boxed, minerva

FORMS = {"boxed": last_boxed, "final answer": after_final_answer}
_PLAIN = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?")
_BASE = re.compile(r"\d_\{?(\d+)\}?$")


def score(sample: Sample, response: Response, *, form: str) -> Score:
    """Both metrics, and `format_compliance`: there is an answer in the form `form`, a key of FORMS.

    The headline `value` is math_verify.
    """
    found = {name: read(response.text) for name, read in FORMS.items()}
    asked = found[form]
    other, written = next(((name, a) for name, a in found.items() if a is not None), ("", None))
    if asked is not None:
        other, written = form, asked
    verdict = _verdict(sample.target, written, "" if response.finish_reason == "length" else response.text)
    metrics = {
        "exact_minerva": float(asked is not None and _same_string(asked, sample.target)),
        "math_verify": float(verdict.equal),
        "format_compliance": float(asked is not None),
    }
    how = f"in the form {other!r}" if written is not None else "last expression" if verdict.read else "no answer found"
    explanation = f"{how}; {verdict.why}" if verdict.why else how
    answer = written if written is not None else verdict.read
    return Score(value=metrics["math_verify"], answer=answer, explanation=explanation, metrics=metrics)


def _same_string(answer: str, target: str) -> bool:
    return len(answer) <= LONGEST_ANSWER and minerva(answer) == minerva(target)


def _verdict(target: str, written: str | None, text: str) -> Compared:
    if written is None:
        line = text.strip().rpartition("\n")[2][-LONGEST_ANSWER:]
        if "".join(line.split()) == "".join(target.split()):
            return Compared(equal=True, read=line)
        return verifier().compare(_as_latex(_bare(target)), line) if line else Compared(equal=False, read=None)
    if len(written) > LONGEST_ANSWER:
        return Compared(equal=False, read=None, why=f"an answer of {len(written)} characters is not compared")
    gold, answer = _bare(target), _bare(written)
    if "".join(gold.split()) == "".join(answer.split()):
        return Compared(equal=True, read=written)
    if gold and answer and _PLAIN.fullmatch(gold) and _PLAIN.fullmatch(answer):
        return Compared(equal=number.parse(gold) == number.parse(answer), read=written)
    bases = [_BASE.search(text) for text in (gold, answer)]
    if len({base.group(1) for base in bases if base}) > 1:
        return Compared(equal=False, read=written)
    return verifier().compare(_as_latex(gold), _as_latex(answer))


def _bare(answer: str) -> str:
    """Without the marks that only say that it is a formula, a price or a percentage: 10% is 10, never 0.1."""
    bare = answer.strip().removeprefix("$").removesuffix("$").strip().removeprefix(r"\$")
    return bare.removesuffix("%").removesuffix("\\").strip()


def _as_latex(answer: str) -> str:
    """One answer so that math-verify reads it as a whole; text with formulas in it stays as it is."""
    return answer if "$" in answer.replace(r"\$", "") else f"\\boxed{{{answer}}}"
