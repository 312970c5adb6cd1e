"""The repository's layout and documents: what has to stay as it is for the imports and the README to hold."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from flows.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))),
]


def commands_of(text: str) -> list[str]:
    """Every `debut …` command line of a Markdown text: lines of code blocks, and code within sentences."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    prose = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`([^`\n]+)`", prose)
    return [
        line.partition("  #")[0].partition(" # ")[0].strip() for line in lines if line.startswith("debut ")
    ]


def every_command(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        found.append(((*path, name), command))
        if isinstance(command, TyperGroup):
            found += every_command(command, (*path, name))
    return found


def parse(line: str) -> None:
    """Parses as the command line would, without running anything."""
    command: Any = typer.main.get_command(app)
    arguments = [argument for argument in shlex.split(line)[1:] if argument != "--debug"]
    context = None
    while isinstance(command, TyperGroup):
        context = command.make_context("debut", arguments[:1], parent=context, resilient_parsing=True)
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize("folder", ["mlflow", "docker", "infra"])
def test_folders_of_configuration_hold_no_python(folder: str) -> None:
    """A Python file in mlflow/ would hide the library of that name."""
    assert (ROOT / folder / "README.md").is_file()
    assert not list((ROOT / folder).rglob("*.py"))


def test_tests_are_no_package() -> None:
    """tests/flows/__init__.py would hide our `flows`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_components_import_neither_flows_nor_prefect() -> None:
    """import-linter holds it too; this one needs no tool."""
    pattern = re.compile(r"^\s*(?:from|import)\s+(?:flows|prefect)\b", re.MULTILINE)
    files = (ROOT / "components").rglob("*.py")
    assert [str(path) for path in files if pattern.search(path.read_text())] == []


def test_flow_files_define_no_class() -> None:
    """Prefect may load a flow's file under another name; a class in it could then not be read back."""
    for path in (ROOT / "flows").glob("*.py"):
        text = path.read_text()
        if re.search(r"^@flow\b", text, re.MULTILINE):
            assert not re.search(r"^class ", text, re.MULTILINE), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_the_documents_exist(document: str) -> None:
    """Every `debut …` line parses with the options that it shows."""
    text = (ROOT / document).read_text()
    for line in commands_of(text):
        shown = re.sub(r"<[^>]*>", "x", line).replace("…", "").strip()
        if shown != "debut":
            parse(shown)


def test_the_readme_shows_the_main_commands() -> None:
    """Parsing an empty list would prove nothing."""
    shown = {tuple(line.split()[1:2]) for line in commands_of((ROOT / "README.md").read_text())}
    assert {("demo",), ("retrain",), ("check",), ("status",), ("rollback",), ("decisions",)} <= shown


def test_make_targets_that_documents_name_exist() -> None:
    """`make demo`, `make test` and whatever else they name."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
        assert named <= targets, document
        assert document != "README.md" or {"demo", "test"} <= named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_documents_name_exist(document: str) -> None:
    """Links, their headings, and paths of files in code."""
    text = (ROOT / document).read_text()
    for name, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        linked = (ROOT / document).parent / name if name else ROOT / document
        assert linked.exists(), name
        assert not heading or heading in headings(linked), f"{name}#{heading}"
    for name in re.findall(r"((?:components|tests|docs)/[\w/]+\.\w+)", text):
        assert (ROOT / name).exists(), name


def headings(document: Path) -> set[str]:
    """As GitHub names them in links."""
    found = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("path", [" ".join(path) for path, _ in every_command(typer.main.get_command(app))])
def test_every_command_and_option_has_help(path: str) -> None:
    """A sentence for the command, and one for each of its options and arguments."""
    found = dict(every_command(typer.main.get_command(app)))[tuple(path.split())]
    assert found.help
    for parameter in found.params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_help_of_every_command_ends_with_0(debut: Any) -> None:
    """And opens with the usage."""
    for path, _ in every_command(typer.main.get_command(app)):
        outcome = debut(*path, "--help")
        assert outcome.code == 0
        assert f"Usage: debut {' '.join(path)}" in outcome.out
