"""Whose session, whose user, what a loss means: the decisions."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.flows.sessions import scopes
from holdfast.flows.sessions.scopes import Channel, Opened, Reuse, Scope, Verdict

RECEIVERS = ("erp:443", "crm:443")
ERP = Channel(name="erp")


def session(user: str = "anna") -> Opened:
    return Opened("1", "erp:443", user, "first", [("S", "erp", True, "/")])


def test_no_setting_is_none_and_an_unknown_one_an_error() -> None:
    # F1, F11
    assert Reuse.named(None) is Reuse.named("") is Reuse.named("none") is Reuse.NONE
    assert [Reuse.named(each.value) for each in Reuse] == [*Reuse]
    with pytest.raises(ConfigurationError, match="on_integration_flow"):
        Reuse.named("on_message")


# A message is played: calls that open sessions, and splits, at random places of a growing tree. The model remembers
# of every place which session a call there has to find.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 20), st.sampled_from(RECEIVERS)),
        st.tuples(st.just("split"), st.integers(0, 20), st.integers(1, 3)),
    ),
    max_size=40,
)


@settings(max_examples=100)
@given(steps)
def test_a_branch_sees_what_was_there_when_it_began_and_its_own_and_nothing_else(played: list[Any]) -> None:
    # F8
    places = [Scope("message")]
    visible: list[dict[str, str]] = [{}]  # by place: which session a call to a receiver finds
    born: dict[tuple[str, str], str] = {}  # by scope and receiver: what the decisions put there
    for number, (what, at, value) in enumerate(played):
        index = at % len(places)
        scope, seen = places[index], visible[index]
        if what == "call":
            home = scopes.home(scope, value)
            found = born.setdefault((home.name, value), f"session {number}")
            assert found == seen.setdefault(value, found)
        else:
            opened = [receiver for name, receiver in born if name == scope.name]
            parts = scopes.split(scope, value, opened, str(number))
            places += parts
            visible += [dict(seen) for _ in parts]
    names = [scope.name for scope in places]
    assert len(set(names)) == len(names)


@given(st.sampled_from(["anna", "bert", ""]), st.booleans(), st.booleans())
def test_the_user_who_opened_a_session_is_the_user_of_every_call(user: str, always: bool, dynamic: bool) -> None:
    # F2, F3
    channel = Channel(name="second", always_authenticate=always, dynamic_user=dynamic)
    assert scopes.attach(channel, None, user) == scopes.Attach(credentials=True)
    decided = scopes.attach(channel, session(), user)
    assert decided.credentials == always
    assert (decided.finding is None) == (user == "anna")
    if decided.finding is not None:
        assert decided.finding.about == ("first", "second")


@pytest.mark.parametrize(("user", "opener"), [("#2b", "#1a"), ("#2b", "anna"), ("bert", "#1a")])
def test_of_another_token_it_is_told_that_its_user_cannot_be_seen(user: str, opener: str) -> None:
    # F3: a renewed token is no other user, so `strict` has nothing against it
    finding = scopes.attach(Channel(name="second"), session(opener), user).finding
    assert finding is not None
    assert finding.code == "second_token"
    assert "#" not in finding.text


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_a_loss_is_repeated_once_or_reported_and_never_passed_over(
    stateful: bool, in_session: bool, refused: bool, replaced: bool, repeated: bool
) -> None:
    # F7
    judged = scopes.verdict(
        Channel(name="erp", stateful=stateful),
        in_session=in_session,
        refused=refused,
        replaced=replaced,
        repeated=repeated,
    )
    assert (judged is Verdict.LOST) == (stateful and in_session and (refused or replaced))
    assert (judged is Verdict.REPEAT) == (not stateful and in_session and refused and not repeated)


def test_a_401_to_credentials_is_about_these() -> None:
    assert scopes.says_gone(401, [], authenticated=False)
    assert not scopes.says_gone(401, [], authenticated=True)
    assert scopes.says_gone(400, ["", "icmenosession"], authenticated=True)
    assert not scopes.says_gone(400, ["", ""], authenticated=False)


def test_of_a_cookie_that_can_never_match_both_names_are_told() -> None:
    # F9
    found = scopes.foreign_cookie(ERP, "www1.sales.cloud", "mycompany.corp")
    assert (found.code, found.about) == ("foreign_cookie", ("www1.sales.cloud", "mycompany.corp"))
    assert found.remedy == "Map the domains: virtual www1.sales.cloud, internal mycompany.corp."
    assert (found.placed, found.serious) == (found.text, False)


def test_of_branches_that_each_log_on_their_number_is_told() -> None:
    # F8
    found = scopes.separate_branches("erp:443", 4)
    assert (found.code, found.about) == ("branches", ("erp:443",))
    assert "4" in found.text


def test_what_is_told_before_anything_runs() -> None:
    # F4, F5, statement 31
    stateful, rest = Channel(name="stock", stateful=True), Channel(name="rest", reuses=False, stateful=True)
    hr, anybody = Channel(name="hr", wants_reuse=True), Channel(name="anybody", dynamic_user=True)
    codes = {
        (reuse, names): [found.code for found in scopes.of_channels(reuse, channels)]
        for reuse in Reuse
        for names, channels in {"rest": [rest], "both": [stateful, rest], "hr": [hr, anybody], "": []}.items()
    }
    told = {key: found for key, found in codes.items() if found}
    assert told == {
        (Reuse.NONE, "hr"): ["reuse_wanted"],
        (Reuse.NONE, "both"): ["no_state"],
        (Reuse.EXCHANGE, "rest"): ["ignored"],
        (Reuse.FLOW, "rest"): ["ignored"],
        (Reuse.EXCHANGE, "both"): ["never_reused"],
        (Reuse.FLOW, "both"): ["never_reused", "shared_state"],
        (Reuse.FLOW, "hr"): ["dynamic_user"],
    }
