"""Conversations of several turns: each is a sample of its own, asked when the model has answered those before it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from wattrack.errors import DatasetError
from wattrack.prompts.asking import Generated, hashed
from wattrack.prompts.seeds import derived_seed
from wattrack.schema import Message, Request, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns(Generated):
    """Every turn of a conversation is asked after the model's own answers to those before it.

    `Sample.data["turns"]` holds the user's turns; what else is in `data` stays with every turn.
    """

    temperatures: Mapping[str, float] = field(default_factory=dict, hash=False)
    """By the question's group, instead of `temperature`."""

    def turns(self, sample: Sample) -> Sequence[Sample]:
        """One sample for each turn, whose `data` says which turn it is and what the user says up to it.

        Raises:
            DatasetError: the sample is no conversation.
        """
        if "turns" not in sample.data:
            raise DatasetError(f"{sample.id}: conversations need rows with turns; choose another protocol")
        said = cast(Sequence[str], sample.data["turns"])
        return tuple(
            replace(
                sample,
                id=turn_id(sample.id, number),
                question=text,
                data={**sample.data, "conversation": sample.id, "turn": number, "turns": list(said[:number])},
            )
            for number, text in enumerate(said, start=1)
        )

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """What the model is asked in the turn `sample`; assistant turns are empty until the answers are there."""
        said = cast(Sequence[str], sample.data["turns"])
        conversation, number = str(sample.data["conversation"]), len(said)
        prompt = [Message(role="user", content=said[0])]
        for text in said[1:]:
            prompt += [Message(role="assistant", content=""), Message(role="user", content=text)]
        temperature = self.temperatures.get(sample.group or "", self.temperature)
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=tuple(prompt),
            generation=replace(self.generation, temperature=temperature),
            seed=derived_seed(seed, sample.id, repeat),
            after=tuple(turn_id(conversation, before) for before in range(1, number)),
        )

    def sha256(self) -> str:
        """Hash of what is the same for all questions: that nothing is added to the turns."""
        return hashed(["turns"])


def turn_id(conversation: str, number: int) -> str:
    """The id of a turn, counted from 1."""
    return f"{conversation}-turn{number}"


def conversation(sample_id: str) -> str:
    """The id of the conversation that a turn belongs to; of anything else the id itself."""
    return re.sub(r"-turn\d+$", "", sample_id)
