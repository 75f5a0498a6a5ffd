"""Tools of ours: what clients are told about them, how arguments are read, what failures look like."""

import logging
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest

from e2e.mcp_world import Nothing, Text, call, handshake, initialize, modern, request, texts, world
from holdfast.errors import ConfigurationError
from holdfast.mcp import Context, NativeDispatcher, ServerInfo, Tool, ToolResult, tool
from holdfast.mcp.schema import schema_of


class Inner(msgspec.Struct):
    kind: Literal["a", "b"]
    many: list["Leaf"] = []


class Leaf(msgspec.Struct):
    value: Annotated[int, msgspec.Meta(ge=1, description="At least one.")]


class Endless(msgspec.Struct):
    below: "Endless | None" = None


def refers(node: Any) -> bool:
    if isinstance(node, dict):
        return "$ref" in node or any(refers(value) for value in node.values())
    return isinstance(node, list) and any(refers(value) for value in node)


def test_a_schema_stands_in_one_piece() -> None:
    # M3
    schema = schema_of(Inner)
    assert not refers(schema)
    assert schema["properties"]["many"]["items"]["properties"]["value"] == {
        "type": "integer",
        "minimum": 1,
        "description": "At least one.",
    }


def test_a_type_without_end_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="Endless"):
        schema_of(Endless)


async def test_clients_are_told_names_titles_schemas_and_hints() -> None:
    # M3
    async with world() as made:
        wire = made.workers[0].wire
        listed = (await wire.post(request("tools/list"), **await handshake(wire))).result["tools"]
    by_name = {entry["name"]: entry for entry in listed}
    assert by_name["echo"] == {
        "name": "echo",
        "title": "Echo",
        "description": "Say it again.",
        "inputSchema": {
            "type": "object",
            "title": "Text",
            "properties": {"text": {"type": "string", "description": "What to say."}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True},
    }
    assert by_name["add"]["outputSchema"]["type"] == "object"
    assert [entry["name"] for entry in listed][:2] == ["echo", "add"]


async def test_initialize_says_who_the_server_is_and_how_to_use_it() -> None:
    async with world() as made:
        result = (await made.workers[0].wire.post(initialize())).result
    assert result["serverInfo"] == {"name": "test", "version": "1"}
    assert result["instructions"] == "Be kind."
    assert result["capabilities"] == {"tools": {}, "logging": {}}


async def test_a_struct_comes_back_as_structured_content_and_as_text() -> None:
    # M3
    async with world() as made:
        wire = made.workers[0].wire
        legacy = (await wire.post(call("add", left=2, right=3), **await handshake(wire))).result
        now = (await modern(wire, call("add", left=2, right=3))).result
    for result in (legacy, now):
        assert result["structuredContent"] == {"total": 5, "parts": [2, 3]}
        assert msgspec.json.decode(texts(result)[0]) == result["structuredContent"]
    assert now["resultType"] == "complete"
    assert "resultType" not in legacy


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "left"),
        ({"left": "2"}, "$.left"),
        ({"left": 2, "middle": 3}, "middle"),
        ({"left": 2.5}, "$.left"),
        ({"left": 2, "right": None}, "$.right"),
    ],
)
async def test_a_wrong_argument_is_a_result_that_names_it(arguments: dict[str, Any], named: str) -> None:
    # M3; 2025-11-25: input errors are tool results, so that a model can mend them
    async with world() as made:
        wire = made.workers[0].wire
        result = (await wire.post(call("add", **arguments), **await handshake(wire))).result
    assert result["isError"] is True
    assert result["structuredContent"]["error"]["code"] == "bad_input"
    assert named in result["structuredContent"]["error"]["message"]
    assert named in texts(result)[0]


async def test_a_known_failure_is_told_with_its_code_and_what_to_do() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        result = (await wire.post(call("locked"), **await handshake(wire))).result
    error = result["structuredContent"]["error"]
    assert (result["isError"], error["code"]) == (True, "object_locked")
    assert texts(result) == [f"object_locked: ZCL_DEMO is locked by ALICE — {error['hint']}"]


async def test_an_unknown_failure_tells_a_client_nothing_but_that_it_was_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world() as made:
        wire = made.workers[0].wire
        with caplog.at_level(logging.ERROR):
            seen = await wire.post(call("broken"), **await handshake(wire))
    assert seen.result["structuredContent"]["error"]["code"] == "internal"
    assert b"hunter2" not in seen.body
    assert "hunter2" in caplog.text


async def test_errors_fit_the_schema_that_clients_check_results_against() -> None:
    # the TypeScript client 1.x checks structured content of failures too
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        listed = (await wire.post(request("tools/list"), **named)).result["tools"]
        schema = next(entry["outputSchema"] for entry in listed if entry["name"] == "add")
        for arguments in ({"left": 1}, {"left": "x"}):
            result = (await wire.post(call("add", **arguments), **named)).result
            jsonschema.Draft202012Validator(schema).validate(result["structuredContent"])


async def test_a_tool_says_its_content_itself_where_it_wants_to() -> None:
    @tool()
    def picture(arguments: Nothing, context: Context) -> ToolResult:
        """Show a picture."""
        return ToolResult(content=[{"type": "image", "data": "AA==", "mimeType": "image/png"}], is_error=False)

    @tool()
    async def silent(arguments: Nothing, context: Context) -> None:
        """Say nothing."""

    async with world(dispatcher=NativeDispatcher([picture, silent], ServerInfo(name="t"))) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        shown = (await wire.post(call("picture"), **named)).result
        said = (await wire.post(call("silent"), **named)).result
    assert shown == {"content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]}
    assert said == {"content": []}


def test_two_tools_of_one_name_are_refused_at_start() -> None:
    def say(arguments: Text, context: Context) -> str:
        return arguments.text

    one = Tool(name="x", handler=say, arguments=Text)
    with pytest.raises(ConfigurationError, match="same name"):
        NativeDispatcher([one, one], ServerInfo(name="t"))


def test_a_tool_without_typed_arguments_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="annotated"):

        @tool()
        def nothing(arguments, context) -> str:  # type: ignore[no-untyped-def]
            return ""
