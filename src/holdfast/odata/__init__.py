"""Sticky OData: services whose entities change only inside a session, and a client for such services."""
