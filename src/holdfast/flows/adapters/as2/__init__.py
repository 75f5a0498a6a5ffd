"""AS2 (RFC 4130): messages that are signed, encrypted and compressed, and the receipts that prove what came."""

from holdfast.flows.adapters.as2.adapter import As2Adapter
from holdfast.flows.adapters.as2.settings import As2

__all__ = ["As2", "As2Adapter"]
