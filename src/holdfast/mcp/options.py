"""The options of the source's transport under their own names, and what each sets here (M10).

    asgi(server, preset="fast-mcp", dialect="fast-mcp", session_timeout=3600, max_sessions_per_client=1)

Most are a setting or a clock of the sessions' kind; the manual has the table. A name that is no option is an error at
start that names the nearest one.
"""

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping
from pkgutil import resolve_name
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from holdfast.config import KindSettings, Settings, preset_applied
from holdfast.core.events import LogLines, Sink, Sinks
from holdfast.core.ids import Ids, make_ids
from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.mcp.kinds import SESSION, STREAM

SETTINGS: Final = {
    "dialect": "dialect",
    "preset": "preset",
    "session_events": "session_events",
    "session_cleanup_interval": "cleanup_interval",
    "session_gc_threshold": "gc_threshold",
    "session_serializer": "serializer",
    "session_id_entropy": "id_bits",
    "session_validation": "validation",
    "session_debug": "session_debug",
}
KINDS: Final = {
    "session_timeout": (SESSION, "sliding"),
    "idle_timeout": (SESSION, "idle"),
    "max_sessions_per_client": (SESSION, "per_client"),
    "session_replacement_policy": (SESSION, "policy"),
    "max_connections_per_session": (STREAM, "per_parent"),
}
REFRESH: Final = "session_refresh_threshold"
STORE: Final = "session_store"
GENERATOR: Final = "session_id_generator"
METRICS: Final = "session_metrics"
OBSERVER: Final = "holdfast.observe:observing"  # by its name: it stands above what it observes, and few need it
LOGGER: Final = "session_logger"
OPTIONS: Final = (*SETTINGS, *KINDS, REFRESH, STORE, GENERATOR, METRICS, LOGGER)


class Chosen(msgspec.Struct, frozen=True):
    """What options come to: settings, and the parts that are no settings."""

    settings: Settings
    store: str | Store | None = None
    ids: Ids | None = None
    sink: Sink | None = None
    logger: logging.Logger | None = None


def chosen(
    settings: Settings, options: Mapping[str, Any], sink: Sink | None = None, *, beside: Iterable[str] = ()
) -> Chosen:
    """Return what these options, on top of these settings, come to; an option that is None is left out.

    `beside` are other names that may have been meant.

    Raises:
        ConfigurationError: A name is no option, or a value does not fit its option.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in options:
        _refuse_unknown(name, beside)
    changed = settings.model_copy(deep=True)
    for name in SETTINGS.keys() & given.keys():
        _set(changed, name, SETTINGS[name], given[name])
    changed = preset_applied(changed)
    changed = changed.model_copy(update={"kinds": _kinds(changed, given)})
    logger = _logger(given.get(LOGGER))
    return Chosen(
        changed,
        store=given.get(STORE),
        ids=_ids(changed, given.get(GENERATOR)),
        sink=_sink(changed, sink, given.get(METRICS), logger),
        logger=logger,
    )


def _refuse_unknown(name: str, beside: Iterable[str]) -> None:
    if name in OPTIONS:
        return
    near = difflib.get_close_matches(name, {*OPTIONS, *beside}, n=1, cutoff=0.3)
    hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(OPTIONS)}."
    raise ConfigurationError(f"{name} is not an option", hint=hint)


def _set(settings: Settings, option: str, name: str, value: object) -> None:
    try:
        settings.__pydantic_validator__.validate_assignment(settings, name, value)
    except ValidationError as exc:
        raise _wrong(option, value, exc) from exc


def _kinds(settings: Settings, given: Mapping[str, Any]) -> dict[str, KindSettings]:
    """Return the clocks and limits of the kinds, with those of the options on top."""
    kinds = dict(settings.kinds)
    for option, (kind, name) in KINDS.items():
        if option in given:
            if isinstance(given[option], int | float) and given[option] <= 0:
                raise ConfigurationError(f"{option}={given[option]} is not more than 0")
            kinds[kind] = _narrowed(kinds.get(kind), option, name, given[option])
    if REFRESH in given or "session_timeout" in given:
        sliding = kinds[SESSION].sliding if SESSION in kinds else None
        if sliding is None:
            raise ConfigurationError(f"{REFRESH} needs a session_timeout")
        remaining = given.get(REFRESH, _threshold(settings))
        slides_after = 0.0 if remaining is None else max(sliding - _number(REFRESH, remaining), 0.0)
        kinds[SESSION] = _narrowed(kinds[SESSION], REFRESH, "slides_after", slides_after)
    return kinds


def _threshold(settings: Settings) -> float | None:
    """Return with how many seconds left a use extends a sliding session, by these settings; None if any use does."""
    kind = settings.kinds.get(SESSION)
    if kind is None or not kind.sliding or not kind.slides_after:
        return None
    return kind.sliding - kind.slides_after


def _narrowed(kind: KindSettings | None, option: str, name: str, value: object) -> KindSettings:
    values = kind.model_dump(exclude_none=True) if kind else {}
    try:
        return KindSettings(**{**values, name: value})
    except ValidationError as exc:
        raise _wrong(option, value, exc) from exc


def _number(option: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigurationError(f"{option}={value!r} is no number of seconds")
    return float(value)


def _ids(settings: Settings, generator: Callable[[], str] | None) -> Ids | None:
    return None if generator is None else make_ids(generator=generator, validation=settings.validation)


def _logger(given: object) -> logging.Logger | None:
    if given is None or isinstance(given, logging.Logger):
        return given
    if isinstance(given, str):
        return logging.getLogger(given)
    raise ConfigurationError(f"{LOGGER} is no logging.Logger and no name of one")


def _sink(settings: Settings, sink: Sink | None, metrics: "Sink | bool | None", logger: logging.Logger | None) -> Sink:
    """Return who is told the facts: the sink there is and what observes, unless metrics are off, and the logger.

    What observes is one given as metrics; else that of the settings, and `True` alone means the source's StatsD.
    """
    told: list[Sink] = [sink] if sink is not None and metrics is not False else []
    if metrics is None or metrics is True:
        told.append(resolve_name(OBSERVER)(settings, wanted=metrics is True))
    elif metrics is not False:
        told.append(metrics)
    if logger is not None:
        told.append(LogLines(logger))
    return Sinks(*told)


def _wrong(option: str, value: object, error: ValidationError) -> ConfigurationError:
    return ConfigurationError(f"{option}={value!r}: {error.errors()[0]['msg']}")
