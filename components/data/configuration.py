"""debut.yaml, or an example's name, to frozen settings; every complaint names the file and the line."""

import difflib
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from components.contract.errors import ConfigError
from components.contract.knowledge import KnowledgeSettings
from components.contract.paths import at_home
from components.contract.settings import Settings
from components.contract.task import Task
from components.data.setting_paths import with_whole_paths

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
"""Keys and list positions from the top of the file to a value, as pydantic reports them."""


def example_names() -> list[str]:
    """Names of the configurations that come with the package, sorted."""
    return _packaged("examples")


def task_names() -> list[str]:
    """Names of the tasks that come with the package, sorted."""
    return _packaged("tasks")


def _packaged(folder: str) -> list[str]:
    files = (resources.files("components.data") / folder).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_settings(config: str) -> tuple[Settings, Path]:
    """Settings of an example (by its name) or of a YAML file (by its path), and the default root.

    The root, relative to which sources and all other paths are found, is the file's folder; for an example
    the current folder. Raises ConfigError: unknown name, missing file, bad YAML, unknown or duplicate key,
    wrong type.
    """
    text, name, root = _read(config)
    return with_whole_paths(parse_settings(text, name, root), root), root


def parse_settings(text: str, name: str, root: Path | None = None) -> Settings:
    """Settings from YAML text; `name` stands in the messages. A task's file is found relative to `root`.
    Raises ConfigError."""
    node, values = _read_yaml(text, name)
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected keys such as `shop:` and `tables:` at the top of the file.")
    if isinstance(values.get("tasks"), list):
        tasks = [load_task(one, root) if isinstance(one, str) else one for one in values["tasks"]]
        values = values | {"tasks": tasks}
    if isinstance(values.get("knowledge"), str):
        values = values | {"knowledge": _load_knowledge(values["knowledge"], root)}
    return _validated(Settings, values, node, name)


def load_task(task: str, root: Path | None = None) -> Task:
    """A task that comes with the package, by its name, or another's file, by its path relative to `root`.
    Raises ConfigError."""
    if task in task_names():
        text = (resources.files("components.data") / "tasks" / f"{task}.yaml").read_text(encoding="utf-8")
        name = f"task {task}"
    else:
        path = (root or Path.cwd()) / at_home(task)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise ConfigError(
                f"tasks: {task} is no task that comes with Debut ({', '.join(task_names())}), and there is "
                f"no file {path} that declares one."
            )
        text, name, _ = _read(str(path))
    node, values = _read_yaml(text, name)
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected keys such as `name:` and `rows:` at the top of the file.")
    return _validated(Task, values, node, name)


def _load_knowledge(file: str, root: Path | None) -> KnowledgeSettings:
    path = (root or Path.cwd()) / at_home(file)
    if not path.is_file():
        raise ConfigError(f"knowledge: there is no file {path}.")
    text, name, _ = _read(str(path))
    node, values = _read_yaml(text, name)
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected keys such as `synonyms:` and `rules:` at the top of the file.")
    return _validated(KnowledgeSettings, values, node, name)


def _read_yaml(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    try:
        return _composed(text, name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}, line {line}: this is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date like 2011-13-01
        raise ConfigError(f"{name}: this is not YAML: {' '.join(str(error).split())}.") from error


def _composed(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The tree, which knows its lines, and the plain values built from it."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _refuse_duplicate_keys(node, name, set())
        return node, loader.construct_document(node) if node is not None else None
    finally:
        loader.dispose()


def _read(config: str) -> tuple[str, str, Path]:
    """Text, the name for messages, and the default root."""
    if config in example_names():
        example = resources.files("components.data") / "examples" / f"{config}.yaml"
        return example.read_text(encoding="utf-8"), f"example {config}", Path.cwd()
    path = at_home(config)
    if path.is_dir():
        raise ConfigError(f"{config} is a folder; name the file in it, for instance {path / 'debut.yaml'}.")
    if not path.is_file():
        raise ConfigError(
            f"{config}: there is no such file, and no example of that name; "
            f"the examples are {', '.join(example_names())}."
        )
    try:
        return path.read_text(encoding="utf-8"), str(path), path.absolute().parent
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error


def _refuse_duplicate_keys(node: yaml.Node | None, name: str, visited: set[int]) -> None:
    """YAML keeps the last of two equal keys in silence; a second `tables:` would hide the first."""
    if node is None or id(node) in visited:  # an alias may point back at what holds it
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                raise ConfigError(
                    f"{name}, line {line}: `{key.value}` stands here a second time; "
                    f"the first is on line {lines[key.value]}."
                )
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
            _refuse_duplicate_keys(value, name, visited)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicate_keys(value, name, visited)


def _validated(model: type[Model], values: dict[str, Any], node: yaml.Node | None, name: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first, *others = error.errors()
        line, value = _place(node, first["loc"])
        count = "1 more error follows" if len(others) == 1 else f"{len(others)} more errors follow"
        more = f" ({count} it.)" if others else ""
        told = f"{_sentence(model, dict(first))}{_continued(value)}{more}"
        raise ConfigError(f"{name}, line {line}: {told}") from None


def _place(node: yaml.Node | None, location: Location) -> tuple[int, yaml.Node | None]:
    """1-based line of the deepest key of `location` that the file has, and that key's value."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                return line, None
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:  # pydantic's name for a branch of a union, not a key
            return line, None
    return line, node


def _continued(value: yaml.Node | None) -> str:
    """What to say of an unquoted value that runs over several lines, which YAML reads as one text."""
    if not isinstance(value, yaml.ScalarNode) or value.style or value.end_mark.line == value.start_mark.line:
        return ""
    last = value.end_mark.line + (1 if value.end_mark.column else 0)
    return f" YAML takes the lines to {last} for its value, because they are indented below it; correct them."


def _sentence(model: type[BaseModel], error: dict[str, Any]) -> str:
    location: Location = error["loc"]
    key = ".".join(str(part) for part in location if part != "[key]")
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), _known_keys(model, location[:-1]), n=1)
        return f"`{key}` is not a known key" + (f"; did you mean `{close[0]}`?" if close else ".")
    if error["type"] == "missing":
        return f"`{key}` is missing."
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    given = error["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) and len(str(given)) <= 80 else ""
    return f"`{key}`: {message}{shown}." if key else f"{message}."


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Keys that the section at `location` may have."""
    kind: Any = model
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            place = 0 if isinstance(part, int) else -1  # of tuple[Section, ...], dict[str, Section]
            kind = get_args(kind)[place]
        if isinstance(kind, UnionType):  # of Section | None
            kind = get_args(kind)[0]
    return list(kind.model_fields)
