"""Batches: bodies in both formats to parts, answers to bodies. No HTTP, nothing is carried out here."""

from holdfast.odata.batch.json_format import read_json, write_json
from holdfast.odata.batch.multipart import read_answers, read_multipart, write_multipart, write_requests
from holdfast.odata.batch.parts import (
    Answer,
    BadBatch,
    BatchTooLarge,
    BrokenBoundary,
    ChangeSet,
    ChangeSetAnswer,
    Limits,
    MissingContentId,
    NestedChangeSet,
    Part,
    ReadInChangeSet,
    referred,
)

__all__ = [
    "Answer",
    "BadBatch",
    "BatchTooLarge",
    "BrokenBoundary",
    "ChangeSet",
    "ChangeSetAnswer",
    "Limits",
    "MissingContentId",
    "NestedChangeSet",
    "Part",
    "ReadInChangeSet",
    "read_answers",
    "read_json",
    "read_multipart",
    "referred",
    "write_json",
    "write_multipart",
    "write_requests",
]
