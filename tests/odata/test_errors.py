"""Errors in OData's JSON format (Part 1 §9.4)."""

import pytest

from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.odata import errors
from holdfast.odata.errors import Detail, Refused, WrongValue, error_body, status_of


def test_an_error_tells_code_message_target_details_and_hint() -> None:
    error = Refused(
        "two things are wrong", target="Items/0", details=[Detail("too many", "Amount"), Detail("late")], hint="Less."
    )
    assert status_of(error) == 422
    assert error_body(error) == {
        "error": {
            "code": "refused",
            "message": "two things are wrong",
            "target": "Items/0",
            "details": [
                {"code": "wrong_value", "message": "too many", "target": "Amount"},
                {"code": "wrong_value", "message": "late"},
            ],
            "innererror": {"hint": "Less."},
        }
    }


def test_an_error_of_the_engine_has_the_same_form() -> None:
    told = error_body(StoreUnavailable("away"))["error"]
    assert (told["code"], status_of(StoreUnavailable("away"))) == ("store_unavailable", 503)
    assert "target" not in told


def test_what_nobody_expected_is_told_without_what_it_says() -> None:
    error = RuntimeError("the password is secret")
    assert status_of(error) == 500
    assert "secret" not in str(error_body(error))


@pytest.mark.parametrize("kind", [one for one in vars(errors).values() if isinstance(one, type)])
def test_every_error_has_a_code_of_its_own_and_a_hint(kind: type) -> None:
    if not issubclass(kind, errors.ODataError):
        return
    error = kind("message")
    assert isinstance(error, HoldfastError)
    assert error.hint
    assert 400 <= error.status < 600
    same = [one for one in vars(errors).values() if isinstance(one, type) and getattr(one, "code", "") == error.code]
    assert same == [kind]


def test_a_target_may_be_left_out() -> None:
    assert "target" not in error_body(WrongValue("wrong"))["error"]
