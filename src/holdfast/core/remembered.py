"""What is remembered so that it is not found out again, but not without bound."""

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class Remembered(OrderedDict[Key, Found]):
    """A mapping of at most `most` entries: of more, the first are forgotten.

    First is what was put in first; `move_to_end` makes an entry the last to go.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: Key, found: Found) -> None:
        super().__setitem__(key, found)
        if len(self) > self.most:
            self.popitem(last=False)
