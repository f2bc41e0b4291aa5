"""One call written in Java or JavaScript, `[Class.method(name=value)]`: its name and its values as texts of source.

Source of the rules: ShishirPatil/gorilla, bfcl_eval/model_handler/parser/java_parser.py and js_parser.py, which need
grammars of tree-sitter. Here brackets, quotes and the turns of operands and operators are followed, without a package.
The rules are kept: exactly one call; quotes around a whole value are taken off and escapes inside stay; nothing is
evaluated; a bare name without `name=` makes the reply unreadable, other such values are dropped; in Java the white
space between words goes, and so does the body of an anonymous class: `new HashMap<>() {{ ... }}` becomes an empty map,
so that filled maps are right only between quotes.

Deviation: source with a mistake in it. The grammars repair some (a missing bracket, a doubled comma, a sign before the
call, `+=` for `=`), which is unreadable here, and refuse some that passes here. Compared with upstream's parsers and
checker (bfcl-eval 2026.3.23, tree_sitter 0.21.3) on 61,520 right and damaged replies made from the published rows: 112
verdicts differ, 97 by such repairs and 15 the other way.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wattrack.scorers.calls import Call

Language = Literal["java", "javascript"]

_LONGEST = 20_000
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)"""
    r"""|(?P<new>new\s+[\w.$]+\s*(?:<[\w\s,.<>?&\[\]]*>)?)"""
    r"""|(?P<number>(?:0[xX][\da-fA-F]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)[fFdDlLn]?)"""
    r"""|(?P<word>[^\W\d][\w$]*|\$[\w$]*)"""
    r"""|(?P<sign>->|=>|::|\.\.\.|\+\+|--|[=!]==?|>>>|<<|>>|<=|>=|&&|\|\||\?\?|[-+*/%&|^!~<>=?:.,;()\[\]{}])""",
    re.DOTALL,
)
_CLASS = r"\[(?:[^\]\\\n]|\\.){0,100}\]"
_REGEX = re.compile(rf"/(?:[^/\\\n\[*]|\\.|{_CLASS})(?:[^/\\\n\[]|\\.|{_CLASS}){{0,200}}/[a-z]*")
"""JavaScript's pattern between slashes, where an operand is due: `/usr/local/bin` is one, divided by `bin`."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_PREFIXES = {"+", "-", "!", "~", "++", "--", "...", "typeof", "await", "async", "function", "void", "return", "delete"}
"""What may stand before an operand; `(` and `[` open one."""
_BETWEEN = {"instanceof", "in"}
"""Operators that are words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    start: int


def source_calls(text: str, language: Language) -> tuple[Call, ...]:
    """The call that a text is, or none when it is something else."""
    source = text.removeprefix("[").removesuffix("]").strip().removesuffix(";")
    if len(source) > _LONGEST:
        return ()
    try:
        tokens = list(_tokens(source, language))
        name, inside = _outer(tokens, language)
        arguments = dict(_named(_split(inside, language), source, language))
    except (_Unreadable, IndexError):
        return ()
    return (Call(name=name, arguments=arguments),)


class _Unreadable(ValueError):
    """The text is not one call of this kind."""


def _tokens(source: str, language: Language) -> Iterator[_Token]:
    """Words, numbers, quoted texts and signs; `new` comes with its type, whose brackets are no operators."""
    at, due = 0, True
    while at < len(source):
        regex = _REGEX.match(source, at) if due and language == "javascript" and source[at] == "/" else None
        found = regex or _TOKEN.match(source, at)
        if found is None:
            raise _Unreadable
        kind = "text" if regex else str(found.lastgroup)
        if kind != "space":
            yield _Token(kind=kind, text=found[0], start=at)
            due = kind == "sign" and found[0] not in (")", "]", "}")
        at = found.end()


def _outer(tokens: Sequence[_Token], language: Language) -> tuple[str, Sequence[_Token]]:
    """(function's name, what is between its parentheses); in Java brackets and `name =` may be around the call."""
    start = 0
    while language == "java" and (tokens[start].text in _CLOSING or tokens[start + 1].text == "="):
        start += 1 if tokens[start].text in _CLOSING else 2
    opening = start + 1
    while tokens[opening].text == ".":
        opening += 2
    name = tokens[start:opening]
    if tokens[opening].text != "(" or any((t.kind == "word") != (i % 2 == 0) for i, t in enumerate(name)):
        raise _Unreadable
    end = _pairs(tokens)[opening]
    if any(language == "javascript" or token.text not in _CLOSING.values() for token in tokens[end + 1 :]):
        raise _Unreadable
    return "".join(token.text for token in name), tokens[opening + 1 : end]


def _pairs(tokens: Sequence[_Token]) -> dict[int, int]:
    """{index of an opening bracket: index of its closing one}."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in _CLOSING:
            opened.append(index)
        elif token.text in _CLOSING.values():
            if not opened or _CLOSING[tokens[opened[-1]].text] != token.text:
                raise _Unreadable
            pairs[opened.pop()] = index
    if opened:
        raise _Unreadable
    return pairs


def _split(tokens: Sequence[_Token], language: Language) -> Iterator[Sequence[_Token]]:
    """The arguments, empty ones too; JavaScript takes a comma after the last one."""
    pairs, start, at = _pairs(tokens), 0, 0
    while at < len(tokens):
        if tokens[at].text == "," and tokens[at].kind == "sign":
            yield tokens[start:at]
            start = at + 1
        at = pairs.get(at, at) + 1
    if start < len(tokens) or (tokens and language == "java"):
        yield tokens[start:]


def _named(arguments: Iterator[Sequence[_Token]], source: str, language: Language) -> Iterator[tuple[str, str]]:
    """Arguments as (name, value); one without a name is dropped, or unreadable where it is a bare name."""
    seen: set[str] = set()
    for tokens in arguments:
        name = tokens[0].text
        if tokens[0].kind != "word" or len(tokens) == 1 or tokens[1].text != "=":
            _check(tokens, language)
            if any(token.text == "=" for token in tokens) or _bare_name(tokens, language):
                raise _Unreadable
            continue
        if name in seen:
            raise _Unreadable
        seen.add(name)
        _check(tokens[2:], language)
        yield name, _java_text(tokens[2:]) if language == "java" else _javascript_text(tokens[2:], source)


def _bare_name(tokens: Sequence[_Token], language: Language) -> bool:
    if language == "java" and [token.text for token in tokens[1:]] == [".", "class"]:
        return True
    known = ("true", "false", "null", "this") if language == "java" else ("false", "null", "undefined", "this")
    return len(tokens) == 1 and tokens[0].kind == "word" and tokens[0].text not in known


def _java_text(tokens: Sequence[_Token]) -> str:
    if len(tokens) == 1 and tokens[0].kind == "text":
        return tokens[0].text[1:-1]
    pairs, at, found = _pairs(tokens), 0, list[str]()
    while at < len(tokens):
        token = tokens[at]
        if token.text == "{" and at and tokens[at - 1].text == ")":
            at = pairs[at]  # the body of an anonymous class
        else:
            found.append("new " + "".join(token.text[3:].split()) if token.kind == "new" else token.text)
        at += 1
    return "".join(found)


def _javascript_text(tokens: Sequence[_Token], source: str) -> str:
    text = source[tokens[0].start : tokens[-1].start + len(tokens[-1].text)]
    return text[1:-1] if any(text.startswith(quote) and text.endswith(quote) for quote in "\"'") else text


def _check(tokens: Sequence[_Token], language: Language) -> None:
    """That operands and operators take turns; the bodies of classes and functions are only balanced.

    Raises:
        _Unreadable: they do not, as in a text without its quotes.
    """
    pairs, at, wanted, colons, objects = _pairs(tokens), 0, True, 0, 0
    while at < len(tokens):
        token, before = tokens[at], tokens[at - 1].text if at else ""
        if token.kind == "sign" and token.text == "{" and before in (")", "->", "=>"):
            fits, after, at = True, False, pairs[at]
        elif token.kind == "sign":
            objects += (token.text == "{") - (token.text == "}")
            if language == "java" or objects == 0:
                colons += (token.text == "?") - (token.text == ":")
            fits, after = _sign(token.text, before, wanted, language)
        elif token.text in _BETWEEN:
            fits, after = not wanted, True
        elif token.text in _PREFIXES:
            fits, after = wanted, True
        else:
            fits, after = _operand(token, before, wanted, language), False
        if not fits or colons < 0:
            raise _Unreadable
        at, wanted = at + 1, after
    if wanted:
        raise _Unreadable


def _operand(token: _Token, before: str, wanted: bool, language: Language) -> bool:
    """Whether a word, number or text may stand here; a member has a name, and a cast comes before its operand."""
    if before == "." and token.kind != "word":
        return False
    if language == "java":
        quoted = token.text.startswith("`") or (token.text.startswith("'") and "\n" in token.text)
        return (wanted or before == ")") and not quoted
    return wanted


def _sign(sign: str, before: str, wanted: bool, language: Language) -> tuple[bool, bool]:
    """(whether a sign may stand here, whether an operand must follow)."""
    if sign in _FOREIGN[language] or before == ".":
        return False, True
    if sign == "{":
        return wanted if language == "javascript" else before == "]" or (wanted and before in ("{", ",")), True
    if sign in _CLOSING:
        return language == "javascript" or sign == "(" or not wanted, True
    if sign in _CLOSING.values():
        return not wanted or before in _CLOSING or (before == "," and (sign == "}" or language == "javascript")), False
    if sign in ("++", "--") and not wanted:
        return True, False
    if sign in _PREFIXES and wanted:
        return True, True
    return not wanted and sign not in ("!", "~", "..."), True


_FOREIGN: dict[Language, frozenset[str]] = {
    "java": frozenset({"=>", "===", "!==", "...", "??", ";"}),
    "javascript": frozenset({"->", "::", ";"}),
}
"""Signs that a language does not have, or not inside a value."""
