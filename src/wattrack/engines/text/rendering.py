"""Prompts to token ids: the model's own chat template, one tokenisation, and nothing truncated silently."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from jinja2.exceptions import TemplateError

from wattrack.answering import ErrorKind
from wattrack.engines.rows import ChoiceRow, Option, TextRow, common, failed, one_line
from wattrack.engines.text.tails import encode
from wattrack.errors import EngineError
from wattrack.prompts.tools import described
from wattrack.schema import ChoiceRequest, Message, Request, Response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Tools = Sequence[Mapping[str, object]]

_PROBE = {
    "name": "wattrack_probe_function",
    "description": "Probe.",
    "parameters": {"type": "object", "properties": {"x": {"type": "string", "description": "x"}}, "required": ["x"]},
}
_SHORTER = "use a shorter prompt (fewer worked examples, if any)"


class Renderer:
    """Turns requests into rows for one tokenizer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, model_id: str, chat: bool, context: int | None) -> None:
        """`context` is the longest prompt + new tokens the model takes; None = unlimited."""
        self._tokenizer = tokenizer
        self._model_id = model_id
        self._chat = chat
        self._context = context
        self._system_merged = False
        self.tools_form: str | None = None
        """How functions to call are shown: `native` by the chat template, `text` in a system message; None = none yet.
        """

    def rows(self, requests: Sequence[Request]) -> tuple[list[TextRow], list[Response]]:
        """Render and tokenise; requests that cannot be asked come back as failed responses.

        Raises:
            EngineError: chat prompts for a model without a chat template.
        """
        texts: list[tuple[Request, str]] = []
        refused: list[Response] = []
        for request in requests:
            try:
                prompt = request.prompt
                texts.append((request, prompt if isinstance(prompt, str) else self._render(prompt, request.tools)))
            except TemplateError as e:
                why = f"the chat template refuses this conversation: {one_line(e)}"
                refused.append(failed(request, why, kind="refused"))
        rows: list[TextRow] = []
        for request, ids in self._tokenise(texts):
            row = TextRow(request=request, ids=ids, prompt_text=str(self._tokenizer.decode(list(ids))))
            problem = self._problem(row)
            if problem is None:
                rows.append(row)
            else:
                refused.append(_refused(row, problem))
        return rows, refused

    def choices(self, requests: Sequence[ChoiceRequest]) -> tuple[list[ChoiceRow], list[Response]]:
        """Tokenise contexts and whole texts; requests that cannot be asked come back as failed responses."""
        ids = encode(self._tokenizer, ((c.context, c.continuation) for r in requests for c in r.candidates))
        rows: list[ChoiceRow] = []
        refused: list[Response] = []
        for request in requests:
            row = _choice_row(request, ids)
            problem = self._choice_problem(row)
            if problem is None:
                rows.append(row)
            else:
                refused.append(_refused(row, problem))
        return rows, refused

    def _choice_problem(self, row: ChoiceRow) -> str | None:
        """Why a question must not be asked, or None."""
        bos = self._tokenizer.bos_token_id
        for number, option in enumerate(row.options, start=1):
            if option.start < 1:
                return f"candidate {number} has no token before its continuation: give it a context"
            if option.start >= len(option.ids):
                return f"candidate {number} has a continuation without tokens"
            if bos is not None and option.ids[:2] == (bos, bos):
                return f"the context begins with {self._tokenizer.bos_token} twice: remove it from the prompt"
            if self._context is not None and len(option.ids) > self._context:
                return f"{len(option.ids)} tokens exceed the context of {self._context}; {_SHORTER}"
        return None

    def _tokenise(self, texts: Sequence[tuple[Request, str]]) -> list[tuple[Request, tuple[int, ...]]]:
        """Templates bring their own special tokens; raw text gets the tokenizer's (usually one BOS)."""
        out: list[tuple[Request, tuple[int, ...]]] = []
        for raw in (True, False):
            some = [(request, text) for request, text in texts if isinstance(request.prompt, str) is raw]
            if some:
                encoded = self._tokenizer([text for _, text in some], add_special_tokens=raw, verbose=False)
                ids_of = zip(some, encoded["input_ids"], strict=True)
                out += [(request, self._exactly(request, text, tuple(ids))) for (request, text), ids in ids_of]
        return out

    def _exactly(self, request: Request, text: str, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The ids, or as many as the request asks for, of the text said again and again."""
        wanted = request.prompt_tokens
        if wanted is None or not ids:
            return ids
        while len(ids) < wanted:
            text = f"{text} {text}"
            ids = tuple(self._tokenizer(text, verbose=False)["input_ids"])
        return ids[:wanted]

    def _problem(self, row: TextRow) -> str | None:
        """Why a row must not be run, or None."""
        if not row.ids:
            return "the prompt has no tokens"
        bos = self._tokenizer.bos_token_id
        if bos is not None and row.ids[:2] == (bos, bos):
            return f"the prompt begins with {self._tokenizer.bos_token} twice: remove it from the prompt"
        new = row.request.generation.max_new_tokens
        if self._context is not None and len(row.ids) + new > self._context:
            return (
                f"prompt of {len(row.ids)} tokens + {new} new exceeds the context of {self._context} tokens; "
                f"{_SHORTER} or a smaller max_new_tokens"
            )
        return None

    def _render(self, messages: Sequence[Message], tools: Tools) -> str:
        if not self._chat or self._tokenizer.chat_template is None:
            why = "has no chat template" if self._chat else "is configured with chat=false"
            raise EngineError(f"{self._model_id} {why}: choose a completion protocol (dataset.protocol)")
        if tools and not self._takes_tools():
            messages, tools = described(messages, [cast(Mapping[str, object], t["function"]) for t in tools]), ()
        system = "\n\n".join(message.content for message in messages if message.role == "system")
        if not system.strip():
            return self._apply(messages, tools)
        try:
            text = self._apply(messages, tools)
        except TemplateError:
            text = ""
        if system.strip() in text:
            return text
        if not self._system_merged:
            self._system_merged = True
            log.warning("%s takes no system role: its text goes before the first user turn", self._model_id)
        return self._apply(_merge_system(messages, system), tools)

    def _takes_tools(self) -> bool:
        """Whether the chat template shows the functions it is given; decided once, on a made-up one."""
        if self.tools_form is None:
            question = [Message(role="user", content="?")]
            try:
                shown = str(_PROBE["name"]) in self._apply(question, [{"type": "function", "function": _PROBE}])
            except (TemplateError, TypeError):  # whatever it does with functions, it does not show them
                shown = False
            self.tools_form = "native" if shown else "text"
            if not shown:
                log.warning("%s: its chat template takes no tools: a system message describes them", self._model_id)
        return self.tools_form == "native"

    def _apply(self, messages: Sequence[Message], tools: Tools) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        known: list[dict[Any, Any] | Callable[..., Any]] | None = [dict(tool) for tool in tools] or None
        text = self._tokenizer.apply_chat_template(turns, tools=known, tokenize=False, add_generation_prompt=True)
        return str(text)


def _choice_row(request: ChoiceRequest, ids: Mapping[str, tuple[int, ...]]) -> ChoiceRow:
    """The continuation begins where the whole tokenisation leaves the context's: no token is cut."""
    options: list[Option] = []
    merged = 0
    for candidate in request.candidates:
        context, whole = ids[candidate.context], ids[candidate.context + candidate.continuation]
        start = common(context, whole)
        merged += start < len(context)
        options.append(Option(whole, start))
    first = request.candidates[0]
    shown = f"{first.context}{first.continuation}" if len(request.candidates) == 1 else first.context
    return ChoiceRow(request=request, options=tuple(options), merged=merged, prompt_text=shown)


def _merge_system(messages: Sequence[Message], system: str) -> list[Message]:
    turns = [message for message in messages if message.role != "system"]
    first = next((i for i, message in enumerate(turns) if message.role == "user"), None)
    if first is None:
        return [Message(role="user", content=system), *turns]
    turns[first] = Message(role="user", content=f"{system}\n\n{turns[first].content}")
    return turns


def _refused(row: TextRow | ChoiceRow, problem: str) -> Response:
    """The Response of a row that must not be asked."""
    kind: ErrorKind = "too_long" if _SHORTER in problem else "refused"
    return failed(row.request, problem, row=row, kind=kind)
