"""Flows that a server runs: deployed from files with their senders, and reached at its paths."""
