"""The shape of a flow: what one message calls how often, and what parallel branches are the first to call."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from holdfast.flows.checking.uses import Use, Uses
from holdfast.flows.model.flow import Loop, Multicast, Router, Split, Step, Steps, Try
from holdfast.flows.parts import Call
from holdfast.flows.sessions.scopes import Reuse

Calls = dict[str, list[str]]  # by receiver, the paths of the steps that one message may come by, a loop's twice


class Suggestion(msgspec.Struct, frozen=True):
    """The setting that fits, and why; `paths` are the steps or receivers that say so."""

    setting: Reuse
    reason: str
    paths: tuple[str, ...] = ()


def suggested(steps: Steps, uses: Uses) -> Suggestion:
    """Return the setting of session re-use that a flow's shape suggests (F11)."""
    keeping = [use for use in uses.calls.values() if use.channel.reuses]
    if not keeping:
        return Suggestion(Reuse.NONE, "no call goes to a receiver that could keep a session")
    for first, other in different_users(keeping):
        reason = f"{first.where} is called as two users, and a session is that of one"
        return Suggestion(Reuse.NONE, reason, (first.path, other.path))
    for use in keeping:
        if use.channel.stateful:
            return Suggestion(Reuse.EXCHANGE, f"{use.where} keeps state, which is that of one message", (use.path,))
    several = ((where, paths) for where, paths in _calls(steps, uses, "steps").items() if len(paths) > 1)
    for where, paths in several:
        return Suggestion(Reuse.EXCHANGE, f"one message calls {where} several times", tuple(dict.fromkeys(paths)))
    for use in keeping:
        if use.channel.dynamic_user:
            reason = f"{use.where} is called once for a message, and the user is another for each"
            return Suggestion(Reuse.NONE, reason, (use.path,))
    return Suggestion(Reuse.FLOW, "one message calls each receiver once, and none of them keeps state")


def different_users(uses: Sequence[Use]) -> Iterator[tuple[Use, Use]]:
    """Return pairs of calls that send credentials of different users to one receiver: the first there, and another."""
    firsts: dict[str, Use] = {}
    for use in uses:
        if use.receiver and use.user and (first := firsts.setdefault(use.receiver, use)).user != use.user:
            yield first, use


def _calls(steps: Steps, uses: Uses, path: str) -> Calls:
    """Return what a message calls on its longest way through the steps."""
    return _together(_of_step(step, uses, f"{path}[{number}].{step.kind}") for number, step in enumerate(steps))


def _of_step(step: Step, uses: Uses, at: str) -> Calls:
    match step.options:
        case Call() if (use := uses.calls.get(at)) is not None and use.channel.reuses:
            return {use.where: [at]}
        case Loop() | Split() as repeated:
            return {where: paths * 2 for where, paths in _calls(repeated.do, uses, f"{at}.do").items()}
        case Multicast(branches=branches):
            return _together(_calls(branch, uses, f"{at}.branches[{n}]") for n, branch in enumerate(branches))
        case Try() as tried:
            return _together((_calls(tried.do, uses, f"{at}.do"), _calls(tried.on_error, uses, f"{at}.on_error")))
        case Router() as router:
            ways = [_calls(route.do, uses, f"{at}.routes[{n}].do") for n, route in enumerate(router.routes)]
            return _longest([*ways, _calls(router.otherwise, uses, f"{at}.otherwise")])
    return {}


def _together(parts: Iterator[Calls] | Sequence[Calls]) -> Calls:
    found: Calls = {}
    for part in parts:
        for where, paths in part.items():
            found.setdefault(where, []).extend(paths)
    return found


def _longest(ways: Sequence[Calls]) -> Calls:
    return {where: max((way.get(where, []) for way in ways), key=len) for way in ways for where in way}


class LoneBranches:
    """Finds parallel branches that call a receiver where no call before them has surely opened a session (F8)."""

    def __init__(self, uses: Uses) -> None:
        self._calls: Mapping[str, str] = {
            path: use.receiver for path, use in uses.calls.items() if use.receiver and use.channel.reuses
        }
        self.found: list[tuple[str, str]] = []  # path of the split or multicast, receiver

    def walk(self, steps: Steps, path: str = "steps", before: frozenset[str] = frozenset()) -> frozenset[str]:
        """Go through steps; return the receivers that have surely been called after them, `before` included."""
        for number, step in enumerate(steps):
            before = self._step(step, f"{path}[{number}].{step.kind}", before)
        return before

    def _step(self, step: Step, at: str, before: frozenset[str]) -> frozenset[str]:
        match step.options:
            case Call() if at in self._calls:
                return before | {self._calls[at]}
            case Loop() as loop:
                after = self.walk(loop.do, f"{at}.do", before)
                return before if loop.check_first else after
            case Split() as split:
                met = self._called(f"{at}.do") if split.parallel else frozenset()
                self.walk(split.do, f"{at}.do", before | self._lone(at, met - before))
            case Multicast() as multicast:
                return self._multicast(multicast, at, before)
            case Try() as tried:
                done = self.walk(tried.do, f"{at}.do", before)
                return done & self.walk(tried.on_error, f"{at}.on_error", before)
            case Router() as router:
                ways = [self.walk(route.do, f"{at}.routes[{n}].do", before) for n, route in enumerate(router.routes)]
                return self.walk(router.otherwise, f"{at}.otherwise", before).intersection(*ways)
        return before

    def _multicast(self, multicast: Multicast, at: str, before: frozenset[str]) -> frozenset[str]:
        branches = [(steps, f"{at}.branches[{number}]") for number, steps in enumerate(multicast.branches)]
        if not multicast.parallel:
            for steps, path in branches:
                before = self.walk(steps, path, before)
            return before
        met = [receiver for _, path in branches for receiver in self._called(path)]
        told = self._lone(at, frozenset(receiver for receiver in met if met.count(receiver) > 1) - before)
        for steps, path in branches:
            self.walk(steps, path, before | told)
        return before

    def _lone(self, at: str, receivers: frozenset[str]) -> frozenset[str]:
        self.found += [(at, receiver) for receiver in sorted(receivers)]
        return receivers

    def _called(self, below: str) -> frozenset[str]:
        return frozenset(receiver for path, receiver in self._calls.items() if path.startswith(f"{below}["))
