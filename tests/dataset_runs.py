"""What a run of each dataset and protocol over its first 30 published rows must show: facts, written down.

A new dataset or protocol needs an entry in CASES; a new version a new key. The hashes are over rows and prompts as the
run logs them: one that moves says that rows, worked examples or wording moved, and then the version must move too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LIMIT = 30


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One protocol's run."""

    sha: str
    """First digits of `dataset/prompt_sha256`, worked examples drawn from the rows included."""
    metrics: str
    """Every metric of the task by bare name, apart from those of single groups."""
    prompt: Mapping[str, int]
    """What every rendered prompt holds, and how often."""
    tokens: tuple[int, int] | None = None
    """Of every prompt and every answer, where the protocol fixes them."""
    new_tokens: int | None = None
    """In place of the protocol's `max_new_tokens`, where the demo model, which does not end, would take minutes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One dataset's runs."""

    folder: str | None
    """Below ../shared/data; None: its rows come with the package."""
    digest: str
    """First digits of the digest of the rows asked."""
    asked: Mapping[str, Asked]
    """By protocol and version."""
    records: int = LIMIT
    scored: int | None = None
    """Records with a score; None: all of them."""
    parts: str | None = None
    """Prefix of the metrics that single groups have: prefix + group, for every group asked."""
    settings: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    """What the log must warn of, and of nothing else: published rows that ../shared/data lacks."""


LONG = 128
"""New tokens of protocols that allow 1024 and more, or that have long prompts and allow 512."""
ACC, ACC3 = "acc", "acc acc_norm acc_bytes"
FORM = "format_compliance"
LETTER = f"letter_strict letter_flexible {FORM}"
EXACT = "exact_match_strict exact_match_flexible"
NUMBER = f"{EXACT} {FORM}"
CODE = "pass_at_1 pass_at_1_flexible"
MMLU = "acc acc_macro acc_stem acc_humanities acc_social_sciences acc_other"
INSTRUCTIONS = "prompt_strict prompt_loose instruction_strict instruction_loose n_instructions"
JSON = (
    "json_valid_strict json_valid schema_valid field_accuracy "
    "json_error_empty json_error_truncated json_error_no_json json_error_syntax"
)
MATHS = f"math_verify exact_minerva {FORM}"
BFCL = "bfcl_accuracy bfcl_non_live_python bfcl_irrelevance_both call_unreadable"
TOOLS = (
    "parse_ok tool_selection args_valid arg_accuracy call_f1 exact_success irrelevance_accuracy tool_calls_mean "
    "call_unreadable"
)
TOOLBENCH = " ".join(
    f"toolbench_{name}" for name in ("offline", "parsed", "known_tools", "arguments_covered", "finished", "gave_up")
)
WATTBOT = f"{FORM} " + " ".join(
    f"wattbot_{name}"
    for name in (
        *("value", "ref", "na_recall", "overall", "weighted", "in_range"),
        *("value_strict", "ref_strict", "na_recall_strict", "overall_strict"),
    )
)
USER, ASSISTANT = "<|im_start|>user\n", "<|im_start|>assistant\n"
CHAT = {USER: 1, ASSISTANT: 1}
LETTERED = {**CHAT, "then end with a line of the form: Answer: X (X is the label of one option)": 1}
DESCRIBED = {**CHAT, "You can call functions to serve the user.": 1}
"""The demo models' chat template takes no tools: both protocols of the tool datasets describe them."""
BARE = {USER: 0, ASSISTANT: 0}

CASES: dict[str, Case] = {
    "arc_challenge": Case(
        folder="arc_challenge",
        digest="4cc9d76e",
        asked={
            "base@1": Asked(sha="76653e55", metrics=ACC3, prompt={"Question: ": 26, "\nAnswer:": 26}),
            "base0@1": Asked(sha="f6495d3b", metrics=ACC3, prompt={"Question: ": 1, "\nAnswer:": 1}),
            "chat@2": Asked(sha="a23f1f22", metrics=LETTER, prompt=LETTERED, new_tokens=LONG),
        },
    ),
    "arithmetic": Case(
        folder=None,
        digest="8e8edeaa",
        asked={"chat@2": Asked(sha="7647a72d", metrics=NUMBER, prompt=CHAT)},
    ),
    "bbh": Case(
        folder="bbh",
        digest="f56158f1",
        parts="bbh_",
        asked={
            "cot@1": Asked(
                sha="4217c9f1",
                metrics=f"{NUMBER} exact_match_macro",
                prompt={"\nA: Let's think step by step.": 4},
                new_tokens=LONG,
            ),
            "direct@1": Asked(sha="4ad602de", metrics=f"{EXACT} exact_match_macro", prompt={"\n\nQ: ": 4}),
        },
    ),
    "bfcl": Case(
        folder="bfcl",
        digest="22f601b9",
        parts="bfcl_",
        warned=("has no simple_java, simple_javascript", "3491 rows"),
        asked={
            "chat@3": Asked(
                sha="c327cccb", metrics=BFCL, prompt={"You can call functions to serve the user.": 1}, new_tokens=LONG
            ),
            "prompt@3": Asked(
                sha="a2fd0d87", metrics=BFCL, prompt={"You can call functions to serve the user.": 1}, new_tokens=LONG
            ),
        },
    ),
    "exo_prompts": Case(
        folder=None,
        digest="cb1aab5e",
        records=2,
        scored=0,
        asked={
            "chat@1": Asked(sha="7647a72d", metrics="", prompt=CHAT, new_tokens=LONG),
            "base@1": Asked(sha="baf19c80", metrics="", prompt=BARE, new_tokens=LONG),
        },
    ),
    "gsm8k": Case(
        folder="gsm8k",
        digest="e8d9bc32",
        asked={
            "base@2": Asked(sha="887f0977", metrics=NUMBER, prompt={"Q: ": 9, "\n\nA:": 9, "The answer is ": 8}),
            "chat@2": Asked(
                sha="d3649fb1",
                metrics=NUMBER,
                prompt={**CHAT, "Solve this step by step. End with a line of the form: The answer is N": 1},
                new_tokens=LONG,
            ),
        },
    ),
    "hellaswag": Case(
        folder="hellaswag",
        digest="53a28120",
        asked={
            "base@1": Asked(sha="ea330d1f", metrics=ACC3, prompt={"\n\n": 10}),
            "base0@1": Asked(sha="cac40e65", metrics=ACC3, prompt={"\n\n": 0}),
            "chat@2": Asked(
                sha="ba2168ae",
                metrics=LETTER,
                prompt={**LETTERED, "Which option continues this text best?": 1},
                new_tokens=LONG,
            ),
        },
    ),
    "humaneval": Case(
        folder="humaneval",
        digest="b799e192",
        asked={
            "base@2": Asked(sha="baf19c80", metrics=CODE, prompt={**BARE, "```": 0}, new_tokens=LONG),
            "chat@2": Asked(
                sha="2a92339b", metrics=f"{CODE} {FORM}", prompt={**CHAT, "```python\n": 1}, new_tokens=LONG
            ),
        },
    ),
    "ifeval": Case(
        folder="ifeval",
        digest="acbcb490",
        asked={
            "chat@2": Asked(sha="7647a72d", metrics=INSTRUCTIONS, prompt=CHAT, new_tokens=LONG),
            "base@2": Asked(sha="baf19c80", metrics=INSTRUCTIONS, prompt=BARE, new_tokens=LONG),
        },
    ),
    "json_output": Case(
        folder=None,
        digest="110ed83d",
        asked={
            "free@2": Asked(
                sha="3f4a3165",
                metrics=JSON,
                prompt={**CHAT, "Answer with one JSON value that keeps to this schema": 1},
                new_tokens=LONG,
            ),
            "constrained@1": Asked(
                sha="3f4a3165",
                metrics=f"{JSON} grammar_complete_rate",
                prompt={**CHAT, "Answer with one JSON value that keeps to this schema": 1},
                new_tokens=LONG,
            ),
        },
    ),
    "math": Case(
        folder="math",
        digest="48b0a7fc",
        settings=("dataset.split=math500", "dataset.rows=null"),  # what there is of it
        asked={
            "base@1": Asked(
                sha="20264380", metrics=MATHS, prompt={"Problem:\n": 5, "\n\nSolution:": 5}, new_tokens=LONG
            ),
            "chat@1": Asked(sha="1f086b9b", metrics=MATHS, prompt={**CHAT, "\\boxed{}": 1}, new_tokens=LONG),
        },
    ),
    "math500": Case(
        folder="math",
        digest="3d1fe44e",
        asked={
            "base@1": Asked(
                sha="20264380", metrics=MATHS, prompt={"Problem:\n": 5, "\n\nSolution:": 5}, new_tokens=LONG
            ),
            "chat@1": Asked(sha="1f086b9b", metrics=MATHS, prompt={**CHAT, "\\boxed{}": 1}, new_tokens=LONG),
        },
    ),
    "mbpp": Case(
        folder="mbpp/full",
        digest="c541ef18",
        asked={
            "base@2": Asked(sha="05365f7b", metrics=CODE, prompt={"[BEGIN]": 4, "[DONE]": 3}),
            "chat@2": Asked(
                sha="72373afc", metrics=f"{CODE} {FORM}", prompt={**CHAT, "one fenced code block": 1}, new_tokens=LONG
            ),
        },
    ),
    "mbpp_sanitized": Case(
        folder="mbpp/sanitized",
        digest="baa2283d",
        asked={
            "base@2": Asked(sha="7d2b2046", metrics=CODE, prompt={"[BEGIN]": 4, "[DONE]": 3}),
            "chat@2": Asked(
                sha="72373afc", metrics=f"{CODE} {FORM}", prompt={**CHAT, "one fenced code block": 1}, new_tokens=LONG
            ),
        },
    ),
    "mmlu": Case(
        folder="mmlu",
        digest="51375423",
        asked={
            "base@1": Asked(sha="af9c188e", metrics=MMLU, prompt={"(with answers) about ": 1, "\nAnswer:": 6}),
            "base0@1": Asked(sha="b174d937", metrics=MMLU, prompt={"(with answers) about ": 1, "\nAnswer:": 1}),
            "chat@2": Asked(sha="a23f1f22", metrics=f"{LETTER} letter_macro", prompt=LETTERED, new_tokens=LONG),
        },
    ),
    "mt_bench": Case(
        folder="mt_bench",
        digest="b13139e9",
        records=2 * LIMIT,
        scored=0,
        asked={"chat@2": Asked(sha="9ae82941", metrics="", prompt={}, new_tokens=LONG)},
    ),
    "number_words": Case(
        folder=None,
        digest="fefbd3d2",
        asked={"chat@2": Asked(sha="8e42b69d", metrics=NUMBER, prompt={**CHAT, "Write this number in digits: ": 1})},
    ),
    "perf": Case(
        folder=None,
        digest="dad816cc",
        scored=0,
        asked={"fixed@2": Asked(sha="9e717f71", metrics="", prompt=BARE, tokens=(512, 128))},
    ),
    "prompts": Case(
        folder=None,
        digest="9e0f8a68",
        records=28,
        parts="checks_",
        asked={
            "chat@2": Asked(sha="7647a72d", metrics="checks_all checks_share", prompt=CHAT),
            "base@2": Asked(sha="baf19c80", metrics="checks_all checks_share", prompt=BARE),
        },
    ),
    "sonnet": Case(
        folder=None,
        digest="e3498d7f",
        scored=0,
        asked={"gaussian@1": Asked(sha="6e4c5db6", metrics="", prompt=BARE)},
    ),
    "tool_calls": Case(
        folder=None,
        digest="7693d572",
        scored=22,  # where no call is expected, irrelevance_accuracy counts
        asked={
            "chat@3": Asked(sha="c327cccb", metrics=TOOLS, prompt=DESCRIBED, new_tokens=LONG),
            "prompt@3": Asked(sha="a2fd0d87", metrics=TOOLS, prompt=DESCRIBED, new_tokens=LONG),
            "json@2": Asked(sha="b168db15", metrics=TOOLS, prompt=DESCRIBED, new_tokens=LONG),
            "constrained@2": Asked(
                sha="b168db15", metrics=f"{TOOLS} grammar_complete_rate", prompt=DESCRIBED, new_tokens=LONG
            ),
        },
    ),
    "toolllama": Case(
        folder="toolllama",
        digest="fd683f54",
        asked={"offline_step@2": Asked(sha="c327cccb", metrics=TOOLBENCH, prompt=DESCRIBED, new_tokens=LONG)},
    ),
    "wattbot": Case(
        folder="wattbot",
        digest="823493c7",
        asked={
            "closed@1": Asked(sha="123c9ade", metrics=WATTBOT, prompt={**CHAT, "from what you know.": 1}),
            # The demo models read 8192 tokens of about a letter each.
            "oracle@1": Asked(
                sha="6cd10779", metrics=WATTBOT, prompt={**CHAT, "from these documents": 1}, new_tokens=64
            ),
        },
        settings=("dataset.protocols.oracle.prompt.context.budget_chars=3000",),
    ),
    "winogrande": Case(
        folder="winogrande",
        digest="7fb81a5c",
        asked={
            "base@1": Asked(sha="b35ef173", metrics=ACC, prompt={"\n\n": 5}),
            "base0@1": Asked(sha="4ca2de58", metrics=ACC, prompt={"\n\n": 0}),
            "chat@2": Asked(
                sha="356efeb0",
                metrics=LETTER,
                prompt={**LETTERED, "Which option fills the gap `_`?": 1},
                new_tokens=LONG,
            ),
        },
    ),
}
REFUSED = {"gpqa": ("chat@2", "base0@1")}
"""Gated, and not in ../shared/data."""
