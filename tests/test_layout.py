"""The shape of the code: import direction, file sizes, who imports which heavy library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wattrack

PACKAGE = Path(wattrack.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Lower layers never import higher ones; a module is in the first layer that names it or its folder.
LAYERS = [
    {"schema", "answering", "facts", "metrics", "errors", "protocols", "places", "terminal", "flat"},
    {"sandbox"},
    {
        "prompts",
        "scorers",
        "intervals",
        "config",
        "journal",
        "redaction",
    },
    {"tasks", "engines", "monitors", "environment", "demo"},
    {"benchmark", "grading", "latency", "summary", "footprint", "plausibility", "progress", "identity", "refusal", "complaints"},
    {"runs"},
    {"results"},
    {"checks", "wiring", "tracking"},
    {"plan", "segments", "availability", "catalogue"},
    {"measurement"},
    {"job"},
    {"judging", "similarity", "comparison"},
    {"sweep", "rescoring"},
    {"cli", "__init__", "__main__"},
]

ONLY_IN = {
    "mlflow": "tracking",
    "pynvml": "monitors/nvml.py",
    "codecarbon": "monitors/carbon.py",
    "torch": ("engines", "demo/train.py"),
    "transformers": ("engines", "demo/train.py"),
    "matplotlib": "tracking",
    "sentence_transformers": "engines/embedder.py",
}


def _layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    found = [i for i, names in enumerate(LAYERS) if part in names]
    assert found, f"{module} is in no layer: add it to LAYERS"
    return found[0]


def _module(file: Path) -> str:
    relative = file.relative_to(PACKAGE.parent).with_suffix("")
    return ".".join(relative.parts)


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "wattrack":
                yield from (f"wattrack.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_imports_point_downwards(file: Path) -> None:
    own = _layer(_module(file))
    for name in _imports(file):
        if name.startswith("wattrack."):
            assert _layer(name) <= own, f"{_module(file)} imports {name} from a higher layer"


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_heavy_libraries_stay_in_their_place(file: Path) -> None:
    where = file.relative_to(PACKAGE).as_posix()
    for name in _imports(file):
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or where.startswith(allowed), f"{where} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_only_a_sweep_and_the_command_compare(file: Path) -> None:
    part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part not in ("comparison", "sweep", "cli"):
        assert not [name for name in _imports(file) if name.startswith("wattrack.comparison")]


def test_engines_never_import_one_another() -> None:
    own = {"hf": {"hf"}, "replay": {"replay"}}
    for engine in own:
        file = PACKAGE / "engines" / f"{engine}.py"
        others = {f"wattrack.engines.{name}" for name in own if name != engine}
        assert not others & set(_imports(file))


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_every_file_says_what_it_is(file: Path) -> None:
    text = file.read_text("utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the first line says what this file is"


def test_importing_the_command_is_light() -> None:
    code = "import wattrack.cli, sys; print(sorted({'torch','mlflow','transformers','pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
