"""What types alone do not say of a flow: receivers and functions that are not there, expressions that are none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.expressions import compiled, expressions_in
from holdfast.flows.model import functions
from holdfast.flows.model.flow import Flow, Loop, Modify, Multicast, Router, Script, Split, Step, Steps, Try
from holdfast.flows.model.source import Source
from holdfast.flows.model.wrong import REMEDY, WrongFlow
from holdfast.flows.parts import Call, in_words
from holdfast.flows.sessions.scopes import Finding

Problem = tuple[str, str, str]  # code, path, text


def steps_of(flow: Flow) -> Iterator[tuple[str, Step]]:
    """Return every step of a flow with its path, such as `steps[0].loop.do[1]`, in the order in which they stand."""
    return _walk(flow.steps, "steps")


def inner_steps(step: Step) -> Iterator[tuple[str, Steps]]:
    """Return the lists of steps in a step, with their paths below it."""
    kind, options = step.kind, step.options
    match options:
        case Loop() | Split():
            yield f"{kind}.do", options.do
        case Try():
            yield f"{kind}.do", options.do
            yield f"{kind}.on_error", options.on_error
        case Router():
            yield from ((f"{kind}.routes[{number}].do", route.do) for number, route in enumerate(options.routes))
            yield f"{kind}.otherwise", options.otherwise
        case Multicast():
            yield from ((f"{kind}.branches[{number}]", steps) for number, steps in enumerate(options.branches))


def check(flow: Flow, source: Source = Source()) -> Flow:  # noqa: B008 - an immutable value
    """Return the flow if it can be run; else raise WrongFlow, which names all that is wrong, by line. Runs no code."""
    return _without(problems(flow, source.folder), flow, source)


def check_functions(flow: Flow, source: Source = Source()) -> Flow:  # noqa: B008 - an immutable value
    """Return the flow if its functions are there; else raise WrongFlow.

    Imports their modules, which may be beside the file: its folder becomes the last of `sys.path` if there are any.
    """
    if source.folder is not None and any(function_of(step) for _, step in steps_of(flow)):
        functions.importable(source.folder)
    return _without(_unusable(flow), flow, source)


def _without(found: Iterator[Problem], flow: Flow, source: Source) -> Flow:
    findings = [Finding(code, text, REMEDY, place=source.place(path)) for code, path, text in found]
    if findings:
        raise WrongFlow(*findings)
    return flow


def _unusable(flow: Flow) -> Iterator[Problem]:
    for path, step in steps_of(flow):
        if (name := function_of(step)) is not None:
            try:
                functions.function(name)
            except ConfigurationError as exc:
                yield "function", f"{path}.{step.kind}", str(exc)


def problems(flow: Flow, folder: Path | None = None) -> Iterator[Problem]:
    """Return what is wrong with a flow, whose functions may be in modules in this folder."""
    for name, receiver in flow.receivers.items():
        yield from _templates(f"receivers.{name}", msgspec.to_builtins(receiver))
        if receiver.auth.basic and receiver.auth.bearer:
            yield "auth", f"receivers.{name}.auth", "either basic or bearer, not both"
    yield from _templates("sender", msgspec.to_builtins(flow.sender))
    for path, step in steps_of(flow):
        at, named = f"{path}.{step.kind}", function_of(step)
        if named is not None and (text := functions.missing(named, folder)) is not None:
            yield "function", at, text
        yield from _of_step(flow, step, at)


def _walk(steps: Steps, path: str) -> Iterator[tuple[str, Step]]:
    for number, step in enumerate(steps):
        at = f"{path}[{number}]"
        yield at, step
        for below, inner in inner_steps(step):
            yield from _walk(inner, f"{at}.{below}")


def function_of(step: Step) -> str | None:
    """Return the function that a step names, if it does."""
    match step.options:
        case Script(function=name):
            return name
        case str() as name if step.kind == "gather" and ":" in name:
            return name
    return None


def _of_step(flow: Flow, step: Step, at: str) -> Iterator[Problem]:
    match step.options:
        case Call() as call:
            yield from _of_call(flow, call, at)
        case str() as text if step.kind == "filter":
            yield from _expression(at, text)
        case Modify() as modify:
            yield from _templates(at, msgspec.to_builtins(modify))
        case options:
            for below, text in _conditions(options):
                yield from _expression(f"{at}.{below}", text)


def _of_call(flow: Flow, call: Call, at: str) -> Iterator[Problem]:
    receiver = flow.receivers.get(call.receiver)
    if receiver is None:
        known = ", ".join(sorted(flow.receivers)) or "none"
        yield "receiver", at, f"there is no receiver {call.receiver!r}; there are: {known}"
        return
    try:
        call.settings(receiver)
    except msgspec.ValidationError as exc:
        text, _, path = str(exc).partition(" - at `$")
        yield "value", f"{at}{path.rstrip('`')}", in_words(text)
    yield from _templates(at, call.changes)


def _conditions(options: Any) -> Iterator[tuple[str, str]]:
    match options:
        case Loop():
            yield "while", options.while_
        case Split():
            yield "over", options.over
        case Router():
            yield from ((f"routes[{number}].when", route.when) for number, route in enumerate(options.routes))


def _expression(path: str, text: str) -> Iterator[Problem]:
    try:
        compiled(text)
    except BadInput as exc:
        yield "expression", path, str(exc)


def _templates(path: str, template: Any) -> Iterator[Problem]:
    """Check the expressions of a template; whatever lies in a mapping is told at its own line."""
    if isinstance(template, dict):
        for key, value in template.items():
            yield from _templates(f"{path}.{key}", value)
        return
    for text in expressions_in(template):
        yield from _expression(path, text)
