"""Questions that come with functions to call: through the model's own template, or described in the prompt.

`Tools`: the functions go to the chat template's `tools=`, as a server would pass them. `ToolsText`: a system message
describes them and asks for Python call syntax (the prompting mode of the Berkeley Function-Calling Leaderboard, in our
own words). An engine whose template takes no tools falls back to the second and says so. `ToolsJson`: the same with
the calls as a JSON list, for which there is a schema, so that decoding can be constrained to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from wattrack.errors import DatasetError
from wattrack.prompts.asking import Generated, hashed
from wattrack.prompts.seeds import derived_seed
from wattrack.schema import Message, Request, Role, Sample

_INSTRUCTION = """\
You can call functions to serve the user. Their descriptions follow as JSON.
To call, reply with the calls alone, as one Python list with every argument by name:
[first_function(argument=value, other="text"), second_function()]
Write nothing before or after the list. If no function can serve the request, or a required argument is not known,
make no call and say so in plain words.

Functions:
{functions}"""

_JSON_INSTRUCTION = """\
You can call functions to serve the user. Their descriptions follow as JSON.
Reply with one JSON list and nothing else; every call is an object in it, with every argument by name:
[{"name": "first_function", "arguments": {"argument": 1, "other": "text"}}, {"name": "second_one", "arguments": {}}]
Write no explanation and no code fence. If no function can serve the request, or a required argument is not known, reply
with the empty list: []

Functions:
{functions}"""

_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "bool": "boolean"}
"""Python's names in the leaderboard's rows -> JSON Schema's; `any` is left out, which admits every value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools(Generated):
    """Functions go to the chat template's `tools=`.

    `Sample.data["functions"]` holds their descriptions (name, description, parameters as a schema) and, where the
    question is a conversation, `Sample.data["messages"]` its turns.
    """

    word: ClassVar[str] = "tools"
    """What stands for this way of asking in the prompt's hash."""
    instruction: ClassVar[str] = _INSTRUCTION
    """How the functions are described in words; `Tools` itself may fall back to it."""

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """Exactly what the model is asked; the request's seed depends on (seed, sample id, repeat) alone.

        Raises:
            DatasetError: the sample comes without functions.
        """
        functions = _functions(sample)
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=_messages(sample),
            generation=self.generation,
            seed=derived_seed(seed, sample.id, repeat),
            tools=tuple(tool(function) for function in functions),
        )

    def sha256(self) -> str:
        """Hash of what is the same for all questions."""
        return hashed([self.word, self.instruction])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsText(Tools):
    """Functions are described in a system message, which asks for calls in Python's syntax."""

    word: ClassVar[str] = "tools_text"

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """Exactly what the model is asked. DatasetError when the sample comes without functions."""
        functions = _functions(sample)
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=described(_messages(sample), functions, self.instruction),
            generation=self.generation,
            seed=derived_seed(seed, sample.id, repeat),
            constraint=calls_schema(functions) if self.constrained else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsJson(ToolsText):
    """Functions are described in a system message, which asks for calls as a JSON list."""

    word: ClassVar[str] = "tools_json"
    instruction: ClassVar[str] = _JSON_INSTRUCTION
    constrained: bool = False
    """Answers must be a list of calls to the sample's functions; the wording is the same."""


def _functions(sample: Sample) -> Sequence[Mapping[str, object]]:
    if "functions" not in sample.data:
        raise DatasetError(f"{sample.id}: prompts with tools need rows with functions; choose another protocol")
    return cast(Sequence[Mapping[str, object]], sample.data["functions"])


def _messages(sample: Sample) -> tuple[Message, ...]:
    """The row's own turns, or its question as one."""
    turns = cast(Sequence[Mapping[str, str]], sample.data.get("messages", ()))
    messages = tuple(Message(role=cast(Role, turn["role"]), content=turn["content"]) for turn in turns)
    return messages or (Message(role="user", content=sample.question),)


def described(
    messages: Sequence[Message], functions: Sequence[Mapping[str, object]], instruction: str = _INSTRUCTION
) -> tuple[Message, ...]:
    """The conversation with a system message, or an addition to its own, that describes the functions."""
    text = instruction.replace("{functions}", json.dumps(functions, ensure_ascii=False))
    if messages and messages[0].role == "system":
        return (Message(role="system", content=f"{text}\n\n{messages[0].content}"), *messages[1:])
    return (Message(role="system", content=text), *messages)


def tool(function: Mapping[str, object]) -> Mapping[str, object]:
    """A description as chat templates take it: JSON Schema's type names, and no dots in the function's name."""
    name = str(function["name"]).replace(".", "_")
    return {
        "type": "function",
        "function": {**function, "name": name, "parameters": json_schema(function["parameters"])},
    }


def calls_schema(functions: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """Of a list of calls to these functions, none included: known names, known arguments, each of its own schema."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": {
                    **cast(Mapping[str, object], json_schema(function["parameters"])),
                    "additionalProperties": False,
                },
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return {"type": "array", "items": {"anyOf": calls}}


def json_schema(schema: object) -> object:
    """A parameter schema with JSON Schema's type names; what is no schema stays as it is."""
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    if isinstance(kind := schema.get("type"), str):
        found["type"] = _JSON_TYPES.get(kind, kind)
        if kind == "any":
            del found["type"]
    if isinstance(properties := schema.get("properties"), Mapping):
        found["properties"] = {key: json_schema(value) for key, value in properties.items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            found[key] = json_schema(schema[key])
    return found
