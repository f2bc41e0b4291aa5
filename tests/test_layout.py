"""The shape of the code: import direction, file sizes, who imports which heavy library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wattrack
from support import CHECKOUT

PACKAGE = Path(wattrack.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

GROUND = "ground"
"""The files beside the folders: values and small helpers that everything may use."""
FLOORS = [
    {"metrics"},
    {GROUND},
    {"sandbox", "monitors", "demo", "prompts"},
    {"scorers"},
    {"engines.rows"},
    {"engines.constrained", "engines.text"},
    {"engines.weights"},
    {"engines.plain"},
    {"engines.sharing"},
    {"engines", "tasks"},
    {"settings"},
    {"runs"},
    {"results"},
    {"tracking", "comparison"},
    {"job"},
    {"sweep", "rescoring"},
    {"cli"},
    {"__main__"},
]
"""Rooms from the ground up; a room imports from itself and from lower floors only."""
MOST_ARROWS = 75
"""Pairs of rooms of which one imports the other, the ground left out. The number may only fall."""

ONLY_IN = {
    "mlflow": "tracking",
    "pynvml": "monitors/nvml.py",
    "codecarbon": "monitors/carbon.py",
    "torch": ("engines", "rescoring/embedder.py", "demo/train.py"),
    "transformers": ("engines", "rescoring/embedder.py", "demo/train.py"),
    "matplotlib": "tracking",
    "sentence_transformers": "rescoring/embedder.py",
}


def _room(module: str) -> str:
    parts = module.split(".")[1:]
    if parts[:1] == ["engines"] and parts[1:] and parts[1] not in ("hf", "replay"):
        return f"engines.{parts[1]}"
    return parts[0] if parts and (parts[0] == "__main__" or (PACKAGE / parts[0]).is_dir()) else GROUND


def _floor(room: str) -> int:
    found = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{room} is on no floor: add it to FLOORS"
    return found[0]


def _module(file: Path) -> str:
    relative = file.relative_to(PACKAGE.parent).with_suffix("")
    return ".".join(relative.parts)


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                path = PACKAGE.parent / node.module.replace(".", "/") / alias.name
                whole = path.is_dir() or path.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if whole else node.module


def _arrows(file: Path) -> set[tuple[str, str]]:
    own = _room(_module(file))
    return {(own, room) for name in _imports(file) if name.startswith("wattrack") and (room := _room(name)) != own}


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_imports_point_downwards(file: Path) -> None:
    for own, room in _arrows(file):
        assert _floor(room) < _floor(own), f"{_module(file)}: {own} imports {room}, which is not below it"


def test_the_rooms_stay_apart() -> None:
    arrows = {arrow for file in FILES for arrow in _arrows(file) if GROUND not in arrow}
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


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


def test_the_map_names_every_room() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
    mapped = {line.split()[0] for line in text.split("    src/wattrack/\n")[1].splitlines() if line.startswith(" " * 6)}
    folders = {path.parent for path in PACKAGE.rglob("*.*") if path.parent.parent in (PACKAGE, PACKAGE / "engines")}
    rooms = {f"{path.name}/" for path in folders if path.name != "__pycache__"}
    assert rooms <= mapped
    assert {name for name in mapped if name.endswith("/")} <= rooms | {"gpu/"}
