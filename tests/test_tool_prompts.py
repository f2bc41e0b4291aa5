"""Functions reach the model through its template, or described in a system message; never lost on the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from transformers import AutoTokenizer

import wattrack
from support import Compose
from wattrack.engines.hf import HFEngine
from wattrack.engines.text.rendering import Renderer
from wattrack.errors import ConfigError, DatasetError
from wattrack.prompts.tools import Tools, ToolsJson, ToolsText, calls_schema, described, json_schema, tool
from wattrack.schema import Message, Request, Sample
from wattrack.scorers.calls import read_calls
from wattrack.settings import checks

DEMO = Path(wattrack.__file__).parent / "demo" / "models" / "demo_xs"

FUNCTION = {
    "name": "weather.get",
    "description": "Weather now.",
    "parameters": {
        "type": "dict",
        "properties": {
            "type": {"type": "float", "default": {"type": "float"}},
            "places": {"type": "tuple", "items": {"type": "dict", "properties": {"x": {"type": "any"}}}},
        },
        "required": ["type"],
    },
}


def request(style: str, **data: object) -> Request:
    prompt = {"tools": Tools, "tools_text": ToolsText, "tools_json": ToolsJson}[style](max_new_tokens=8)
    sample = Sample(id="1", question="Weather?", target="", data={"functions": [FUNCTION], **data})
    return prompt.request(sample, 0, 0)


def test_types_and_names_become_json_schemas_own() -> None:
    made = tool(FUNCTION)["function"]
    assert made == {
        "name": "weather_get",
        "description": "Weather now.",
        "parameters": {
            "type": "object",
            "properties": {
                "type": {"type": "number", "default": {"type": "float"}},
                "places": {"type": "array", "items": {"type": "object", "properties": {"x": {}}}},
            },
            "required": ["type"],
        },
    }
    assert FUNCTION["parameters"] != json_schema(FUNCTION["parameters"])
    assert json_schema(True) is True


def test_native_and_text_styles() -> None:
    native, text = request("tools"), request("tools_text")
    assert native.prompt == (Message(role="user", content="Weather?"),)
    assert native.tools == (tool(FUNCTION),)
    assert hash(native) != hash(text)
    assert text.tools == ()
    assert isinstance(text.prompt, tuple)
    assert [m.role for m in text.prompt] == ["system", "user"]
    assert '"weather.get"' in text.prompt[0].content
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    merged = request("tools_text", messages=talk).prompt
    assert isinstance(merged, tuple)
    assert [m.role for m in merged] == ["system", "user"]
    assert merged[0].content.endswith("\n\nBe kind.")


def test_calls_as_json_are_asked_for_and_held_to_the_functions() -> None:
    free = request("tools_json")
    sample = Sample(id="1", question="Weather?", target="", data={"functions": [FUNCTION]})
    held = ToolsJson(max_new_tokens=8, constrained=True)
    assert isinstance(free.prompt, tuple) and "reply\nwith the empty list: []" in free.prompt[0].content
    made = held.request(sample, 0, 0)
    assert (made.prompt, free.constraint, made.constraint) == (free.prompt, None, calls_schema([FUNCTION]))
    assert held.sha256() == ToolsJson(max_new_tokens=9).sha256()
    schema = Draft202012Validator(calls_schema([FUNCTION]))
    right = {"name": "weather.get", "arguments": {"type": 1.5, "places": [{"x": None}]}}
    for calls in ([], [right], [right, right]):
        assert schema.is_valid(calls)
        assert len(read_calls(json.dumps(calls)).calls) == len(calls) and read_calls(json.dumps(calls)).error is None
    wrong = [{"name": "weather"}, {"arguments": {}}, {"arguments": {"type": "1"}}, {"arguments": {"type": 1, "y": 2}}]
    assert not any(schema.is_valid([{**right, **change}]) for change in wrong) and not schema.is_valid(right)


TEMPLATE = (
    "{% for tool in tools or [] %}<tool>{{ tool | tojson }}</tool>{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "form", "begins"),
    [
        (TEMPLATE, "native", "<tool>{"),
        (TEMPLATE.replace("tool | tojson", "tool.function.name"), "native", "<tool>weather_get</tool>"),
        (None, "text", "<|im_start|>system\nYou can call functions"),
        (NO_SYSTEM, "text", "<user>You can call functions"),
        (
            "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + TEMPLATE,
            "text",
            "<system>You can call functions",
        ),
    ],
)
def test_the_renderer_uses_the_template_or_says_that_it_cannot(
    template: str | None, form: str, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    if template is not None:
        tokenizer.chat_template = template
    shown: list[str] = []
    encode = type(tokenizer).__call__

    def spy(self: object, text: list[str], **options: object) -> object:
        shown.extend(text)
        return encode(self, text, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", spy)
    renderer = Renderer(tokenizer, model_id="m", chat=True, context=None)
    plain = replace(request("tools"), tools=())
    rows, refused = renderer.rows([plain])
    assert (len(rows), refused, renderer.tools_form) == (1, [], None)
    rows, refused = renderer.rows([request("tools")])
    assert (len(rows), refused, renderer.tools_form) == (1, [], form)
    assert shown[-1].startswith(begins)
    assert "weather_get" in shown[-1]
    assert "Weather?" in shown[-1]


def test_described_needs_no_function() -> None:
    assert described((Message(role="user", content="x"),), [])[0].content.endswith("Functions:\n[]")


def test_functions_are_needed_and_nothing_is_ignored(composed: Compose) -> None:
    prompt = Tools(max_new_tokens=8)
    with pytest.raises(DatasetError, match="need rows with functions"):
        prompt.request(Sample(id="1", question="q", target=""), 0, 0)
    for override in ("template='Q: {question}'", "shots=gsm8k_cot8"):
        cfg = composed("dataset=tool_calls", f"dataset.protocols.chat.prompt.{override}")
        with pytest.raises(ConfigError, match=r"chat\.prompt\.\w+: there is no such setting.* Tools takes: max_new"):
            checks.check(cfg)


def test_the_engine_says_how_functions_were_shown() -> None:
    engine = HFEngine(model_id=str(DEMO), device="cpu", threads=1)
    engine.load()
    try:
        assert "effective/tools" not in engine.facts().params()
        (response,) = engine.generate([request("tools")])
        facts = engine.facts().params()
    finally:
        engine.close()
    assert response.error is None
    assert "weather_get" in response.prompt_text
    assert facts["effective/tools"] == "text"
    assert "tools native -> text" in str(facts["effective/fallbacks"])
