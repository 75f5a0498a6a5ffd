"""From the old form of a flow's file, without a setting of session re-use, to the new one (F11).

A flow of the old form runs as `none`, and so does what it becomes, unless another setting is asked for. The setting is
put into the text: every other byte of it stays.
"""

import re
from typing import Final

import msgspec
import yaml

from holdfast.flows.checking.shape import Suggestion, suggested
from holdfast.flows.checking.uses import uses_of
from holdfast.flows.model import read_flow
from holdfast.flows.model.wrong import wrong
from holdfast.flows.sessions.scopes import Reuse

KEY: Final = "http_session_reuse"
BREAK: Final = re.compile(r"\r\n|\n|\r")
BY_HAND: Final = f"Write the line `{KEY}: none` into the file yourself."


class Migration(msgspec.Struct, frozen=True):
    """A flow's text in the new form: `changed` says whether it was not before.

    `suggestion` is the setting that would fit, and `places` the lines that say so.
    """

    text: str
    setting: Reuse
    changed: bool
    suggestion: Suggestion
    places: tuple[str, ...]


def migrated(text: str, file: str, setting: Reuse | None = Reuse.NONE) -> Migration:
    """Return a flow's text with a setting, `None` meaning the suggested one; one that has a setting stays as it is.

    Raises WrongFlow: it is no flow, or written so unusually that the setting cannot be put in.
    """
    definition = read_flow(text, file)
    flow = definition.flow
    suggestion = suggested(flow.steps, uses_of(definition))
    places = tuple(dict.fromkeys(map(definition.source.place, suggestion.paths)))
    if KEY in definition.source.lines:
        return Migration(text, Reuse(flow.http_session_reuse), False, suggestion, places)
    setting = suggestion.setting if setting is None else setting
    made = _inserted(text, f"{KEY}: {setting.value}")
    if read_flow(made, file).flow != msgspec.structs.replace(flow, http_session_reuse=setting.value):
        raise wrong("yaml", f"{file}:1", "the setting cannot be put in without changing something else", BY_HAND)
    return Migration(made, setting, True, suggestion, places)


def _inserted(text: str, line: str) -> str:
    """Return the text with a line behind the flow's name, or with an entry before it if all is in braces."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - it has been read as a flow
    key, value = next(pair for pair in root.value if pair[0].value == "flow")
    if root.flow_style:
        at = key.start_mark.index
        return f"{text[:at]}{line}, {text[at:]}"
    at, end = value.end_mark.index, BREAK.search(text, value.end_mark.index)
    new_line = (BREAK.search(text) or ["\n"])[0]
    written = " " * root.start_mark.column + line
    if text[:at].endswith(("\n", "\r")):
        return f"{text[:at]}{written}{new_line}{text[at:]}"
    if end is None:
        return f"{text}{new_line}{written}{new_line}"
    return f"{text[: end.end()]}{written}{new_line}{text[end.end() :]}"
