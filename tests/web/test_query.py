"""What a request's address says, each thing once."""

import pytest

from holdfast.errors import BadInput
from holdfast.web.query import below, number_in, query_of


def test_parameters_are_read_as_browsers_write_them() -> None:
    assert query_of({"query_string": b"a=1&b=x%20y+z&c=%C3%BC&d="}) == {"a": "1", "b": "x y z", "c": "ü"}
    assert query_of({"query_string": b""}) == {}


@pytest.mark.parametrize("text", [b"a=1&a=1", b"a=1&a=2", b"&".join(b"p%d=1" % n for n in range(51))])
def test_a_parameter_that_is_there_twice_and_too_many_are_refused(text: bytes) -> None:  # R11
    with pytest.raises(BadInput):
        query_of({"query_string": text})


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "0x1", "²", "١", "1e3", "1234567890", " 1"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="n must be a whole number"):
        number_in({"n": text}, "n")


def test_a_whole_number_is_read_and_none_is_none() -> None:
    assert (number_in({"n": "0"}, "n"), number_in({"n": "999999999"}, "n"), number_in({}, "n")) == (
        0,
        999_999_999,
        None,
    )


def test_a_path_is_read_below_where_the_application_is_mounted() -> None:
    assert below({"path": "/oidc/login", "root_path": "/oidc"}) == "/login"
    assert below({"path": "/login"}) == "/login"
