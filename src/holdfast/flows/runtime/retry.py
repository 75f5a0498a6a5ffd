"""When a call is made again (F17): decided here, waited for in `receivers`.

A call that was not carried out may always be repeated. One that may have been is repeated only if that does no harm.
"""

from holdfast.errors import BackendUnavailable, HoldfastError
from holdfast.flows.failures import NotCarriedOut, Unavailable
from holdfast.flows.parts import Retry

MOST_PATIENCE_S = 300.0  # a receiver that asks for more gets an error instead of a waiting flow


def wait_s(retry: Retry, tried: int, failure: HoldfastError, *, repeatable: bool, draw: float) -> float | None:
    """Return how long to wait before the next try, or None to give up.

    Args:
        tried: How often it has been, at least once.
        repeatable: The call may be carried out twice.
        draw: From 0 to 1: where in the second half of the wait it ends, so that many do not come back at once.
    Source:
        Exponential backoff with equal jitter (AWS Architecture Blog, 2015).
    """
    safe = isinstance(failure, NotCarriedOut) or (repeatable and isinstance(failure, BackendUnavailable))
    if not safe or tried > retry.times:
        return None
    asked = failure.retry_after if isinstance(failure, Unavailable) else 0.0
    if asked > MOST_PATIENCE_S:
        return None
    wait = min(retry.first * 2.0 ** (tried - 1), retry.most)
    return max(wait * (1 + draw) / 2, asked)
