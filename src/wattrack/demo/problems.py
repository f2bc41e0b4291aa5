"""The generated word problems, in GSM8K's row schema; run as a module it rewrites the evaluation rows.

A problem is a walk: a start value and one to six exact operations, told as a story and solved line by line.
Every value lies in 2..99, so no sentence needs a singular and a tiny model can learn the arithmetic. Pure.
"""

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

EVALUATION_SEED = 20_000
TRAINING_SEED = 1
EVALUATION_ROWS = 600
MAX_STEPS = 6
LARGEST = 99
EVALUATION_FILE = Path(__file__).with_name("arithmetic.jsonl")

NAMES = (
    ("Ana", "She", "her"),
    ("Ben", "He", "him"),
    ("Eva", "She", "her"),
    ("Leo", "He", "him"),
    ("Mia", "She", "her"),
    ("Max", "He", "him"),
    ("Zoe", "She", "her"),
    ("Sam", "He", "him"),
    ("Ivy", "She", "her"),
    ("Tom", "He", "him"),
    ("Amy", "She", "her"),
    ("Dan", "He", "him"),
)
"""Name, subject pronoun, object pronoun."""

FRACTIONS = {
    2: "half",
    3: "a third",
    4: "a quarter",
    5: "a fifth",
    6: "a sixth",
    7: "a seventh",
    8: "an eighth",
    9: "a ninth",
}
TIMES = {2: "twice"} | {factor: f"{factor} times" for factor in range(3, 10)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One kind of story: its nouns and the sentences that tell each operation."""

    nouns: tuple[tuple[str, str], ...]
    """Singular and plural of what is counted."""
    opening: str
    groups: str
    """Opening that already needs a multiplication."""
    events: dict[str, tuple[str, ...]]
    """Sentences of each operation; `{new}` trades the counted things for others."""
    state: str
    """Beginning of a solution line."""
    ask: str
    compound: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Sentence that takes two steps, and the beginning of the line that solves its first one."""
    together: str | None = None
    """Closing question about the last two people; only where each event introduces the next person."""


THINGS = (
    ("apple", "apples"),
    ("book", "books"),
    ("coin", "coins"),
    ("card", "cards"),
    ("shell", "shells"),
    ("stamp", "stamps"),
    ("toy", "toys"),
    ("cake", "cakes"),
)

FRAMES = (
    Frame(
        nouns=THINGS,
        opening="{name} has {a} {things}.",
        groups="{name} has {g} bags with {k} {things} each.",
        events={
            "+": (
                "{She} buys {b} more.",
                "{She} finds {b} more {things}.",
                "{other} gives {her} {b} {things}.",
            ),
            "-": ("{She} gives {b} to {other}.", "{She} sells {b} {things}.", "{She} loses {b} of them."),
            "*": (
                "{She} trades each {thing} for {b} {new}.",
                "{She} collects until {name} has {times} as many.",
            ),
            "/": (
                "{She} trades every {b} {things} for one {one_new}.",
                "{She} makes {b} equal piles and keeps one pile.",
                "{She} keeps only {fraction} of them.",
            ),
        },
        compound={
            "+": ("{She} buys {g} bags with {k} {things} each.", "{name} buys"),
            "-": ("{She} gives {k} {things} to each of {g} friends.", "{name} gives"),
        },
        state="{name} has",
        ask="How many {things} does {name} have now?",
    ),
    Frame(
        nouns=THINGS,
        opening="{name} has {a} {things}.",
        groups="{name} has {g} bags with {k} {things} each.",
        events={
            "+": ("{name} has {b} more {things} than {last}.",),
            "-": ("{name} has {b} fewer {things} than {last}.",),
            "*": ("{name} has {times} as many {things} as {last}.",),
            "/": ("{name} has {fraction} as many {things} as {last}.",),
        },
        state="{name} has",
        ask="How many {things} does {name} have?",
        together="How many {things} do {last} and {name} have together?",
    ),
    Frame(
        nouns=(("child", "children"), ("bird", "birds"), ("duck", "ducks"), ("cow", "cows")),
        opening="There are {a} {things} in the park.",
        groups="There are {g} groups of {k} {things} in the park.",
        events={
            "+": ("{b} more {things} come.", "Then {b} {things} join them."),
            "-": ("{b} {things} leave.", "Then {b} of them go home."),
            "*": ("Soon there are {times} as many {things}.",),
            "/": ("Only one in every {b} {things} stays.", "Then only {fraction} of them stay."),
        },
        compound={
            "+": ("{g} groups of {k} {things} come.", "That is"),
            "-": ("{g} groups of {k} {things} leave.", "That is"),
        },
        state="There are",
        ask="How many {things} are in the park now?",
    ),
    Frame(
        nouns=(("dollar", "dollars"),),
        opening="{name} has {a} dollars.",
        groups="{name} saves {k} dollars a week for {g} weeks.",
        events={
            "+": ("{She} earns {b} dollars.", "{other} gives {her} {b} dollars."),
            "-": ("{She} spends {b} dollars.", "{She} pays {b} dollars for a toy."),
            "*": ("{She} works until {name} has {times} as much.",),
            "/": ("{She} keeps only {fraction} of it.", "{She} makes {b} equal parts and keeps one part."),
        },
        compound={
            "+": ("{She} sells {g} cakes for {k} dollars each.", "{name} earns"),
            "-": ("{She} buys {g} books for {k} dollars each.", "{name} pays"),
        },
        state="{name} has",
        ask="How many dollars does {name} have now?",
    ),
)


class Story:
    """One problem being told: the value so far, the sentences and the solution lines."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.frame = rng.choice(FRAMES)
        self.people = rng.sample(NAMES, MAX_STEPS + 2)
        self.words: dict[str, object] = {}
        self.nouns = rng.sample(self.frame.nouns, min(len(self.frame.nouns), MAX_STEPS + 1))
        self.value = 0
        self.before = 0
        """Value of the person before, for the question about two."""
        self.sentences: list[str] = []
        self.lines: list[str] = []
        self._name_person()
        self._name_things()

    def tell(self, steps: int) -> dict[str, str]:
        """The finished row with exactly `steps` solution lines."""
        ask = self.frame.ask
        closing = int(self.frame.together is not None and steps > 1 and self.rng.random() < 0.3)
        self._open(grouped=self.rng.random() < 0.4 and steps > closing)
        while len(self.lines) < steps - closing:
            self._event(steps - closing - len(self.lines))
        if closing and self.frame.together and self.before and self.value + self.before <= LARGEST:
            ask = self.frame.together
            self._solve("Together they have", self.before, "+", self.value)
        elif closing:
            self._event(1)
        if self.frame.together and self.rng.random() < 0.5:
            self.rng.shuffle(self.sentences)
        question = " ".join([*self.sentences, ask.format(**self.words)])
        return {"question": question, "answer": "\n".join([*self.lines, f"#### {self.value}"])}

    def _name_person(self) -> None:
        name, she, her = self.people.pop()
        self.words |= {"last": self.words.get("name", name), "name": name, "She": she, "her": her}

    def _name_things(self) -> None:
        one, many = self.nouns.pop()
        self.words |= {"thing": one, "things": many}

    def _open(self, *, grouped: bool) -> None:
        if grouped:
            count, size = self._groups(LARGEST)
            self._say(self.frame.groups, g=count, k=size)
            self._solve(self.frame.state, count, "*", size)
        else:
            self.value = self.rng.randint(2, 60)
            self._say(self.frame.opening, a=self.value)

    def _groups(self, most: int) -> tuple[int, int]:
        """Two factors of 2..9 whose product is at most `most` (at least 4)."""
        count = self.rng.randint(2, min(9, most // 2))
        return count, self.rng.randint(2, min(9, most // count))

    def _event(self, steps_left: int) -> None:
        """Tell and solve one event; it takes two steps when it is compound."""
        op = self._operation()
        room = LARGEST - self.value if op == "+" else self.value - 2
        if op in self.frame.compound and steps_left > 1 and room >= 4 and self.rng.random() < 0.4:
            self._compound(op, room)
            return
        self.before = self.value
        operand = self.rng.choice(self._factors(op) or range(2, min(room, 45) + 1))
        if self.frame.together:
            self._name_person()
        sentence = self.rng.choice(self.frame.events[op])
        new = dict(zip(("one_new", "new"), self.nouns[-1], strict=True)) if self.nouns else {}
        self._say(sentence, b=operand, times=TIMES.get(operand), fraction=FRACTIONS.get(operand), **new)
        if "new}" in sentence:
            self._name_things()
        self._solve(self.frame.state, self.before, op, operand)

    def _compound(self, op: str, room: int) -> None:
        sentence, part = self.frame.compound[op]
        value = self.value
        count, size = self._groups(room)
        self._say(sentence, g=count, k=size)
        self._solve(part, count, "*", size)
        self._solve(self.frame.state, value, op, self.value)

    def _operation(self) -> str:
        """One of the operations that keep the value in range, uniformly."""
        possible = [op for op in "*/" if self._factors(op)]
        possible += ["+"] * (self.value <= LARGEST - 2) + ["-"] * (self.value >= 4)
        return self.rng.choice(possible)

    def _factors(self, op: str) -> list[int]:
        """What the value can be multiplied or divided by; nothing for + and -."""
        if op == "*":
            return [f for f in TIMES if self.value * f <= LARGEST]
        return [f for f in FRACTIONS if op == "/" and self.value % f == 0 and self.value // f >= 2]

    def _say(self, sentence: str, **words: object) -> None:
        self.sentences.append(sentence.format(**self.words, **words, other=self.people[0][0]))

    def _solve(self, beginning: str, left: int, op: str, right: int) -> None:
        self.value = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[op]
        start = beginning.format(**self.words)
        self.lines.append(f"{start} {left} {op} {right} = {self.value} {self.words['things']}.")


def row(seed: int, index: int, exclude: AbstractSet[str] = frozenset()) -> dict[str, str]:
    """The row of this seed and index; told anew while its question is one of `exclude`.

    Step counts come in blocks of six, each block a shuffle of 1..6, so that all are equally frequent.
    """
    block, place = divmod(index, MAX_STEPS)
    steps = Random(f"{seed}:{block}").sample(range(1, MAX_STEPS + 1), MAX_STEPS)[place]
    attempt = 0
    while True:
        told = Story(Random(f"{seed}:{index}:{attempt}")).tell(steps)
        if told["question"] not in exclude:
            return told
        attempt += 1


def generate(seed: int, count: int, start: int = 0, exclude: AbstractSet[str] = frozenset()) -> list[dict[str, str]]:
    """Rows `start` to `start + count` of this seed, each {"question", "answer"}."""
    return [row(seed, index, exclude) for index in range(start, start + count)]


def evaluation_rows() -> Iterator[dict[str, str]]:
    """The shipped rows: all different, 100 of each step count."""
    seen: set[str] = set()
    for index in range(EVALUATION_ROWS):
        fresh = row(EVALUATION_SEED, index, seen)
        seen.add(fresh["question"])
        yield fresh


def evaluation_questions() -> frozenset[str]:
    """What training must never see."""
    return frozenset(fresh["question"] for fresh in evaluation_rows())


def main() -> None:
    """Rewrite the evaluation rows beside this file."""
    text = "".join(json.dumps(fresh) + "\n" for fresh in evaluation_rows())
    EVALUATION_FILE.write_text(text, "utf-8")
    print(f"wrote {EVALUATION_ROWS} rows to {EVALUATION_FILE.name}")


if __name__ == "__main__":
    main()
