"""The kinds of node this face keeps: a person's or program's logon, and what one application keeps for one visitor."""

from typing import Final

from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy

SECURITY: Final = "security"
HTTP: Final = "http"
PENDING: Final = "pending"  # a browser was sent elsewhere and will come back

KINDS: Final = (
    Kind(
        name=SECURITY,
        clocks=Clocks(absolute=43_200.0, linger=60.0, linger_after=0.0),  # S21
        limits=Limits(per_principal=100, policy=Policy.LEAST_RECENT),
    ),
    Kind(
        name=HTTP,
        clocks=Clocks(idle=1800.0, absolute=43_200.0),
        limits=Limits(per_client=1000, policy=Policy.LEAST_RECENT),
    ),
    Kind(
        name=PENDING,
        clocks=Clocks(absolute=600.0),
        limits=Limits(per_client=1000, policy=Policy.OLDEST),
    ),
)
