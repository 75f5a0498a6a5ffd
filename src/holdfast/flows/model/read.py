"""From a flow's file to a flow: text, then types, then what types do not say. Each error names file and line."""

import difflib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.flows.adapters import NAMES
from holdfast.flows.model.check import check
from holdfast.flows.model.flow import STEP_KINDS, Flow
from holdfast.flows.model.source import MAX_CHARS, Source, parse
from holdfast.flows.model.wrong import WrongFlow, wrong
from holdfast.flows.parts import UNKNOWN_KEY, in_words
from holdfast.flows.senders import NAMES as SENDER_NAMES

STEP: Final = re.compile(r"(?<!\.routes)(?<!^domain_mappings)\[\d+\]$")  # ends the path of a step
PLACED: Final = re.compile(r"(?P<text>.*?)(?: - at `(?:key` in `)?\$\.?(?P<path>.*)`)?", re.DOTALL)
READABLE: Final = "Name a file that is there, may be read, and is text in UTF-8."
ANY: Final = "[...]"  # how msgspec names a value of a mapping


class Definition(msgspec.Struct, frozen=True):
    """A flow and where it was read from."""

    flow: Flow
    source: Source = Source()


def load_flow(path: str | Path) -> Definition:
    """Return the flow in a file. Raises WrongFlow: the file cannot be read, or what is wrong at which line."""
    return read_flow(read_text(path), str(path))


def read_text(path: str | Path) -> str:
    """Return what stands in a flow's file, byte for byte, as far as it may be read. Raises WrongFlow."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return file.read(MAX_CHARS + 1)
    except (OSError, ValueError) as exc:
        raise wrong("file", str(path), f"the flow cannot be read ({type(exc).__name__})", READABLE) from exc


def read_flow(text: str, file: str = "flow.yaml") -> Definition:
    """Return the flow that a text says; `file` is what errors call it."""
    data, source = parse(text, file)
    if not isinstance(data, dict):
        raise wrong("value", f"{file}:1", "a flow is a mapping, with `flow`, `receivers` and `steps`")
    _look_at_adapters(data, source)
    try:
        flow = msgspec.convert(data, Flow)
    except msgspec.ValidationError as exc:
        raise _located(exc, data, source) from None
    return Definition(check(flow, source), source)


def _look_at_adapters(data: dict[str, Any], source: Source) -> None:
    receivers = data.get("receivers")
    for name, receiver in receivers.items() if isinstance(receivers, dict) else ():
        _look_at(receiver, f"receivers.{name}", f"the receiver {name!r}", NAMES, source)
    _look_at(data.get("sender"), "sender", "the sender", SENDER_NAMES, source)


def _look_at(settings: Any, path: str, what: str, names: Collection[str], source: Source) -> None:
    """Raise WrongFlow if settings name no adapter that there is."""
    adapter = settings.get("adapter") if isinstance(settings, dict) else None
    if isinstance(settings, dict) and adapter not in names:
        said = f"there is no adapter {adapter!r}" if adapter else f"{what} names no adapter"
        raise wrong("adapter", source.place(f"{path}.adapter"), f"{said}; there are: {', '.join(names)}")


def _located(exc: msgspec.ValidationError, data: Any, source: Source) -> WrongFlow:
    """Return the error with the line of the value that it is about."""
    found = PLACED.fullmatch(str(exc))
    text, path = (found["text"], found["path"] or "") if found else (str(exc), "")
    path, code = _full(path, data, str(exc)), "value"
    if (unknown := UNKNOWN_KEY.fullmatch(text)) is not None:
        code, text = _unknown(path, unknown[1])
        path = f"{path}.{unknown[1]}".lstrip(".")
    return wrong(code, source.place(path), in_words(text))


def _unknown(path: str, key: str) -> tuple[str, str]:
    if STEP.search(path) is None:
        return "key", f"the key {key!r} is not known here"
    near = difflib.get_close_matches(key, STEP_KINDS, n=1)
    meant = f"; did you mean {near[0]!r}" if near else ""
    return "step", f"there is no step {key!r}{meant}; there are: {', '.join(STEP_KINDS)}"


def _full(path: str, data: Any, error: str) -> str:
    """Return a path in which msgspec left a mapping's key out, with the key: the one whose value alone is wrong too."""
    while ANY in path:
        before, _, after = path.partition(ANY)
        mapping = data
        for part in re.findall(r"[^.\[\]]+", before):
            mapping = mapping[int(part) if isinstance(mapping, list) else part]
        key = next((key for key in mapping if _fails_alone(data, mapping, key, error)), "")
        path = f"{before}.{key}{after}"
    return path


def _fails_alone(data: Any, mapping: dict[str, Any], key: str, error: str) -> bool:
    kept = dict(mapping)
    mapping.clear()
    mapping[key] = kept[key]
    try:
        msgspec.convert(data, Flow)
    except msgspec.ValidationError as exc:
        return str(exc) == error
    finally:
        mapping.clear()
        mapping.update(kept)
    return False
