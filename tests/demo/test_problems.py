"""The generated problems: right, unique, well formed, and never shared between training and evaluation."""

import json
import re
from collections import Counter

import pytest

from wattrack.demo import problems

LINE = re.compile(r"^(?:.* )?(\d+) ([-+*/]) (\d+) = (\d+) [a-z]+\.$")


@pytest.fixture(scope="module")
def shipped() -> list[dict[str, str]]:
    return [json.loads(line) for line in problems.EVALUATION_FILE.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def sampled() -> list[dict[str, str]]:
    return problems.generate(3, 3_000)


def solve(left: int, op: str, right: int) -> int:
    if op == "/":
        assert left % right == 0
        return left // right
    return {"+": left + right, "-": left - right, "*": left * right}[op]


def test_shipped_rows_are_what_the_generator_writes(shipped: list[dict[str, str]]) -> None:
    assert shipped == list(problems.evaluation_rows())
    assert all(set(row) == {"question", "answer"} for row in shipped)


def test_shipped_rows_are_unique_and_evenly_long(shipped: list[dict[str, str]]) -> None:
    assert len({row["question"] for row in shipped}) == problems.EVALUATION_ROWS
    lengths = Counter(row["answer"].count("\n") for row in shipped)
    assert lengths == dict.fromkeys(range(1, 7), 100)


def test_training_never_sees_an_evaluation_question(shipped: list[dict[str, str]]) -> None:
    assert problems.TRAINING_SEED != problems.EVALUATION_SEED
    held_out = problems.evaluation_questions()
    assert held_out == {row["question"] for row in shipped}
    training = problems.generate(problems.TRAINING_SEED, 20_000, exclude=held_out)
    assert not held_out & {row["question"] for row in training}


def test_an_excluded_question_is_told_anew() -> None:
    first = problems.row(5, 0)
    again = problems.row(5, 0, {first["question"]})
    assert again["question"] != first["question"]
    assert again["answer"].count("\n") == first["answer"].count("\n")


def test_every_line_is_right_and_the_last_one_is_the_answer(sampled: list[dict[str, str]]) -> None:
    for row in sampled:
        *lines, final = row["answer"].split("\n")
        results = []
        for line in lines:
            found = LINE.match(line)
            assert found, line
            left, op, right, result = found.groups()
            assert solve(int(left), op, int(right)) == int(result), line
            results.append(int(result))
        assert final == f"#### {results[-1]}"
        assert all(2 <= value <= problems.LARGEST for value in results)


def test_every_number_of_a_line_is_in_the_question_or_was_solved(sampled: list[dict[str, str]]) -> None:
    words = {
        "twice": 2,
        "half": 2,
        "third": 3,
        "quarter": 4,
        "fifth": 5,
        "sixth": 6,
        "seventh": 7,
        "eighth": 8,
        "ninth": 9,
    }
    for row in sampled:
        known = {int(n) for n in re.findall(r"\d+", row["question"])}
        known |= {value for word, value in words.items() if word in row["question"]}
        for left, right, result in re.findall(r"(\d+) [-+*/] (\d+) = (\d+)", row["answer"]):
            assert {int(left), int(right)} <= known
            known.add(int(result))


def test_a_row_depends_on_seed_and_index_only() -> None:
    assert problems.generate(4, 10, start=20) == problems.generate(4, 30)[20:]
    assert problems.generate(4, 10) != problems.generate(5, 10)


def test_all_operations_and_stories_occur(sampled: list[dict[str, str]]) -> None:
    operations = Counter(op for row in sampled for op in re.findall(r"\d ([-+*/]) \d", row["answer"]))
    assert set(operations) == set("+-*/")
    assert min(operations.values()) > 0.1 * operations.total()
    text = " ".join(row["question"] for row in sampled)
    for mark in ("dollars", "in the park", "together", "trades", "than", "each"):
        assert mark in text
