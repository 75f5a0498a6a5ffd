"""The tree as a picture, and its nodes as rows."""

from core.samples import record
from holdfast.cli.drawing import as_row, draw
from holdfast.core.model import State


def test_children_stand_below_their_parent_and_roots_first() -> None:
    lines = draw(
        [
            record(4, parent=2, tree=1, kind="lock", label="DEV ANN CLAS ZCL_A", created_at=3.0),
            record(1, kind="workspace", mark="abcdefgh", owner="ann", created_at=1.0),
            record(2, parent=1, kind="backend", label="edit", created_at=2.0),
            record(3, parent=1, kind="backend", label="read", created_at=1.5),
            record(5, kind="mcp", created_at=9.0, state=State.ENDING),
        ],
        now=10.0,
    )
    assert lines == [
        "workspace abcdefgh  of ann, 9 s old",
        "├─ backend 00000000  read, 8 s old",
        "└─ backend 00000000  edit, 8 s old",
        "   └─ lock 00000000  DEV ANN CLAS ZCL_A, 7 s old",
        "mcp 00000000  ENDING, 1 s old",
    ]


def test_a_node_whose_parent_is_not_shown_is_drawn_as_a_root() -> None:
    assert len(draw([record(2, parent=1)], now=0.0)) == 1


def test_a_row_never_holds_the_payload() -> None:
    row = as_row(record(1, payload=b"sealed", idle=60.0, label="x"), now=10.0)
    assert b"sealed" not in row.values()
    assert (row["age"], row["ends_in"], row["label"]) == (10, 50, "x")
