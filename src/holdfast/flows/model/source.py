"""A flow's YAML text as plain values, with the line of every one of them.

The values are those of YAML 1.2's core schema: `no`, `on` and dates are texts. Anchors, tags and a key that comes twice
are refused: each would make a file mean something else than what it shows.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from holdfast.flows.model.wrong import WrongFlow, wrong

MAX_CHARS: Final = 250_000  # which take seconds to read
MAX_DEPTH: Final = 60
FORMS: Final = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
)


class Source(msgspec.Struct, frozen=True):
    """Where a flow was read from: the file's name, and the line of each path such as `steps[0].loop.max`."""

    file: str = ""
    lines: Mapping[str, int] = {}

    @property
    def folder(self) -> Path | None:
        """The folder that the file is in."""
        return Path(self.file).parent if self.file else None

    def line(self, path: str) -> int | None:
        """Return the line of a path, or of what it is in."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)

    def place(self, path: str) -> str:
        """Return where a path is: `orders.yaml:7`, or the path itself for a flow that was made in Python."""
        line = self.line(path)
        return path if line is None else f"{self.file}:{line}"


def parse(text: str, file: str) -> tuple[Any, Source]:
    """Return what the text says, and where. Raises WrongFlow with file and line."""
    if len(text) > MAX_CHARS:
        raise wrong("file", file, f"more than {MAX_CHARS} characters are no flow")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise wrong("yaml", f"{file}:{line}", f"{exc.problem or exc.context}") from None
    except yaml.YAMLError as exc:
        raise wrong("yaml", file, " ".join(str(exc).split())) from None
    reader = _Reader(file)
    value = reader.value(node, "") if node is not None else None
    return value, Source(file, reader.lines)


class _Loader(yaml.SafeLoader):
    """Composes nodes, and knows the core schema's forms only."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and form that PyYAML reads
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node that is no alias and not too deep."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="this is nested too deeply", problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _form, _first in FORMS:  # what a plain text may be instead
    first = ["" if char == "\0" else char for char in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), first)

SCALARS: Final[Mapping[str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}
COLLECTIONS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self.lines: dict[str, int] = {}

    def value(self, node: yaml.Node, path: str) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.CollectionNode) and node.tag not in COLLECTIONS:
            raise self._wrong(node, f"the tag {node.tag} is not allowed")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{number}]") for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._wrong(key_node, "a key has to be a text")
            key = str(key_node.value)
            if key in found:
                raise self._wrong(key_node, f"the key {key!r} comes twice")
            at = f"{path}.{key}" if path else key
            self.lines[at] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, at)
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        convert = SCALARS.get(node.tag)
        if convert is None:
            raise self._wrong(node, f"the tag {node.tag} is not allowed")
        try:
            return convert(node.value)
        except ValueError:
            raise self._wrong(node, f"{str(node.value)[:40]!r} is no value of this kind") from None

    def _wrong(self, node: yaml.Node, text: str) -> WrongFlow:
        return wrong("yaml", f"{self._file}:{node.start_mark.line + 1}", text)
