"""The leaderboard's Java and JavaScript functions: how a model is told of them, and how its calls are judged.

Upstream turns every parameter into a string whose description says which type its text is of, for both of its modes
(bfcl_eval/utils.py, language-specific hints); the sentences here are ours.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from wattrack.scorers import bfcl_java, bfcl_javascript
from wattrack.scorers.bfcl import Accepts, Function
from wattrack.scorers.calls import Call
from wattrack.scorers.source_calls import source_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What differs from Python's categories."""

    name: str
    """As descriptions say it, with the version that upstream names."""
    article: str
    """The language as sentences about its values say it."""
    types: Mapping[str, type]
    lists: tuple[str, ...]
    """Types whose descriptions name the type of the elements."""
    accepts: Accepts
    write: Callable[[object, str, str | None], str]
    """(accepted value, its type, the type of its elements) -> a text that is accepted."""
    calls: Callable[[str], tuple[Call, ...]]
    """The calls of a reply in the language's own syntax."""


LANGUAGES: Mapping[str, Language] = {
    "simple_java": Language(
        name="Java 8",
        article="a Java",
        types=bfcl_java.TYPES,
        lists=bfcl_java.LISTS,
        accepts=bfcl_java.value_accepted,
        write=bfcl_java.written,
        calls=partial(source_calls, language="java"),
    ),
    "simple_javascript": Language(
        name="JavaScript",
        article="a JavaScript",
        types=bfcl_javascript.TYPES,
        lists=bfcl_javascript.LISTS,
        accepts=bfcl_javascript.value_accepted,
        write=bfcl_javascript.written,
        calls=partial(source_calls, language="javascript"),
    ),
}
"""{category: its language}; the other categories are in Python."""


def described(function: Function, language: Language) -> Function:
    """A function as models are shown it: every argument a string, whose description says what source it holds."""
    parameters = function["parameters"]
    assert isinstance(parameters, Mapping), "the task checks its rows"
    properties = {name: _argument(details, language) for name, details in parameters["properties"].items()}
    return {
        **function,
        "description": f"{function['description']} The function is written in {language.name}.",
        "parameters": {**parameters, "properties": properties},
    }


def _argument(details: Mapping[str, object], language: Language) -> Mapping[str, object]:
    kind, shown = str(details["type"]), {**details, "type": "string"}
    told = f"This is {language.article} {'object of any type' if kind == 'any' else kind}, given as a string."
    if kind in language.lists and isinstance(items := shown.pop("items"), Mapping):
        told += f" Its elements are of type {items['type']} and are no strings of their own."
    if kind == "dict" and "properties" in shown:
        told += f" Its entries, which are no strings of their own, are: {json.dumps(shown.pop('properties'))}"
    return {**shown, "description": f"{details.get('description', '')} {told}".strip()}
