"""A server with everything the official MCP conformance suite asks for: an SDK `MCPServer` on Holdfast's transport.

    python examples/mcp_everything_server.py --port 3001
    conformance server --url http://127.0.0.1:3001/mcp --suite all --spec-version 2025-11-25

Names, texts and schemas are the suite's; nothing here knows about sessions, streams or workers.
"""

import argparse
import base64
import json
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import anyio
import uvicorn
from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.types import (
    INTERNAL_ERROR,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

import holdfast.mcp
from holdfast.mcp import AsTask

# The suite still tests what the newest revision has deprecated.
warnings.filterwarnings("ignore", category=MCPDeprecationWarning)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

# Workers that share sessions must share this key too; a real server reads it from its secrets.
STATE_KEY = b"an example's key, at least thirty-two bytes long"

server = MCPServer("everything", version="1", request_state_security=RequestStateSecurity(keys=[STATE_KEY]))


def text(value: str) -> TextContent:
    return TextContent(type="text", text=value)


def embedded(uri: str, value: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=value))


# -- tools that answer


@server.tool()
def test_simple_text() -> str:
    """Answer with text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """Answer with an image."""
    return [ImageContent(type="image", data=PIXEL, mime_type="image/png")]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """Answer with a sound."""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """Answer with a resource inside the result."""
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answer with text, an image and a resource."""
    return [
        text("Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        embedded("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json"),
    ]


@server.tool()
def test_error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "<none>",  # noqa: PT028 - no test, a tool
) -> str:
    """Take an argument that is mirrored in the header Mcp-Param-Region."""
    return f"region={region}"


@server.tool()
def json_schema_2020_12_tool() -> str:
    """Show a schema with the keywords of JSON Schema 2020-12."""
    return "json_schema_2020_12_tool"


SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
# MCPServer has no public way yet to give a tool a schema of one's own.
server._tool_manager._tools["json_schema_2020_12_tool"].parameters = SCHEMA_2020_12


# -- tools that say something before they answer


async def report(ctx: Context, *steps: str) -> None:
    for step in steps:
        await ctx.info(step)
        await anyio.sleep(0.05)


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Send log messages."""
    await report(ctx, "Tool execution started", "Tool processing data", "Tool execution completed")
    return "Tool with logging executed successfully"


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Send a log message, which only clients that asked for it may see."""
    await ctx.info("Only for those who asked")
    return "logged"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress in three steps."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100, f"Completed step {progress} of 100")
        await anyio.sleep(0.05)
    meta = ctx.request_context.meta or {}
    return str(meta.get("progress_token", 0))


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Close the connection in the middle of a call; the client comes back for the rest."""
    await ctx.info("Before disconnect")
    await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    await ctx.info("After reconnect")
    return "Reconnection test completed"


# -- tools that ask the client (handshake era)


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    answer = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=text(prompt))],
        max_tokens=100,
        related_request_id=ctx.request_id,
    )
    return f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else 'none'}"


async def elicited(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    answer = await ctx.elicit(message=message, schema=schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


class UserResponse(BaseModel):
    response: str = Field(description="User's response")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user."""
    return f"User response: {await elicited(ctx, message, UserResponse)}"


class WithDefaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask the user with defaults for every type."""
    return f"Elicitation result: {await elicited(ctx, 'Please provide user information', WithDefaults)}"


def titled(**titles: str) -> list[dict[str, str]]:
    return [{"const": const, "title": title} for const, title in titles.items()]


class WithChoices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["active", "inactive", "pending"]})  # noqa: N815
    titledSingle: str = Field(  # noqa: N815
        json_schema_extra={"oneOf": titled(low="Low Priority", medium="Medium Priority", high="High Priority")}
    )
    untitledMulti: list[str] = Field(  # noqa: N815
        json_schema_extra={"items": {"type": "string", "enum": ["read", "write", "execute"]}}
    )
    titledMulti: list[str] = Field(  # noqa: N815
        json_schema_extra={"items": {"anyOf": titled(feature="New Feature", bug="Bug Fix", docs="Documentation")}}
    )
    legacyEnum: str = Field(  # noqa: N815
        json_schema_extra={
            "enum": ["small", "medium", "large"],
            "enumNames": ["Small Size", "Medium Size", "Large Size"],
        }
    )


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask the user to choose."""
    return f"Elicitation completed: {await elicited(ctx, 'Please choose', WithChoices)}"


# -- tools that ask by their result (2026-07-28)


def ask_user(message: str, **properties: str) -> ElicitRequest:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def ask_model(prompt: str, max_tokens: int = 100) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=text(prompt))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=max_tokens))


def said(ctx: Context, key: str, field: str) -> str | None:
    """Return a field of what the user answered, None if there is no answer yet."""
    answer = (ctx.input_responses or {}).get(key)
    if answer is None:
        return None
    return str((answer.content or {}).get(field, "?")) if isinstance(answer, ElicitResult) else "?"


def needs(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


@server.tool()
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name."""
    name = said(ctx, "user_name", "name")
    return f"Hello, {name}!" if name else needs(user_name=ask_user("What is your name?", name="string"))


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name after something was said on the stream."""
    await ctx.report_progress(1, 2)
    name = said(ctx, "user_name", "name")
    return f"Hello, {name}!" if name else needs(user_name=ask_user("What is your name?", name="string"))


@server.tool()
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Ask the client's model."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if answer is None:
        return needs(capital_question=ask_model("What is the capital of France?"))
    known = isinstance(answer, CreateMessageResult) and isinstance(answer.content, TextContent)
    return f"Model said: {answer.content.text if known else '?'}"


@server.tool()
async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if answer is None:
        return needs(client_roots=ListRootsRequest())
    return f"Client exposed {len(answer.roots) if isinstance(answer, ListRootsResult) else 0} root(s)."


@server.tool()
async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Give the client a state to bring back."""
    if said(ctx, "confirm", "ok") and ctx.request_state == "waiting":
        return "state-ok: confirmation received"
    return needs("waiting", confirm=ask_user("Please confirm", ok="boolean"))


@server.tool()
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Ask for three things at once."""
    if {"user_name", "greeting", "client_roots"} <= (ctx.input_responses or {}).keys():
        return "All inputs received."
    return needs(
        "three inputs",
        user_name=ask_user("What is your name?", name="string"),
        greeting=ask_model("Generate a greeting", 50),
        client_roots=ListRootsRequest(),
    )


@server.tool()
async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Ask twice, the second question depending on the first answer."""
    state = json.loads(ctx.request_state) if ctx.request_state else {}
    name, color = said(ctx, "step1", "name"), said(ctx, "step2", "color")
    if state.get("round") == 2 and color:
        return f"{state['name']} likes {color}."
    if state.get("round") == 1 and name:
        question = ask_user("Step 2: What is your favorite color?", color="string")
        return needs(json.dumps({"round": 2, "name": name}), step2=question)
    return needs(json.dumps({"round": 1}), step1=ask_user("Step 1: What is your name?", name="string"))


@server.tool()
async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Give the client a state that it must bring back unchanged."""
    if ctx.request_state is None:
        return needs("round-1", confirm=ask_user("Please confirm", ok="boolean"))
    return f"state-ok: {ctx.request_state}"


@server.tool()
async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    """Ask only for what the client can do."""
    can = ctx.client_capabilities
    requests: dict[str, InputRequest] = {}
    if can is None or can.sampling is not None:
        requests["sample"] = ask_model("Say hello", 50)
    if can is None or can.elicitation is not None:
        requests["ask"] = ask_user("What is your name?", name="string")
    return needs("by capability", **requests)


@server.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Refuse clients that cannot sample."""
    can = ctx.session.client_capabilities
    if can is None or can.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool requires the client 'sampling' capability",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "Client declared sampling capability; proceeding."


# -- tools that run as tasks (extension io.modelcontextprotocol/tasks)

TASKS = {
    "slow_compute": AsTask(idempotent=True),
    "failing_job": AsTask(required=True),
    "protocol_error_job": AsTask(),
    "confirm_delete": AsTask(),
    "multi_input": AsTask(),
    # What it asks for, it asks in the call; what takes longer than a fifth of a second becomes a task.
    "test_tool_with_task": AsTask(required=True, prompt=0.2),
}


@server.tool()
async def greet(name: str) -> str:
    """Say hello at once."""
    return f"Hello, {name}!"


@server.tool()
async def slow_compute(seconds: float, label: str = "") -> str:
    """Take some seconds."""
    await anyio.sleep(seconds)
    return f"{label} computed in {seconds} s"


@server.tool()
async def failing_job() -> str:
    """Fail after a second."""
    await anyio.sleep(1.0)
    raise ToolError("This job always fails.")


@server.tool()
async def protocol_error_job() -> str:
    """Come to a protocol error."""
    raise MCPError(code=INTERNAL_ERROR, message="This job breaks the protocol.")


@server.tool()
async def confirm_delete(filename: str, ctx: Context) -> str | InputRequiredResult:
    """Ask before something is deleted."""
    confirmed = said(ctx, "confirm", "confirm")
    if confirmed is None:
        return needs(confirm=ask_user(f"Delete {filename}?", confirm="boolean"))
    return f"{filename} deleted" if confirmed == "True" else f"{filename} kept"


@server.tool()
async def multi_input(ctx: Context) -> str | InputRequiredResult:
    """Ask for two things at once."""
    first, second = said(ctx, "first", "name"), said(ctx, "second", "name")
    if first is None or second is None:
        return needs(first=ask_user("First name?", name="string"), second=ask_user("Second name?", name="string"))
    return f"{first} and {second}"


@server.tool()
async def test_tool_with_task(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name in the call, then take half a second."""
    name = said(ctx, "user_name", "name")
    if name is None:
        return needs(user_name=ask_user("What is your name?", name="string"))
    await anyio.sleep(0.5)
    return f"Hello, {name}!"


# -- lists that change


def dynamic() -> str:
    """Come and go."""
    return "dynamic"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Change the list of tools and tell who listens."""
    server.add_tool(dynamic, name="test_dynamic_tool")
    server.remove_tool("test_dynamic_tool")
    await ctx.notify_tools_changed()
    return "tool list changed"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Change the list of prompts and tell who listens."""
    server.add_prompt(Prompt.from_function(dynamic, name="test_dynamic_prompt", description="dynamic"))
    server.remove_prompt("test_dynamic_prompt")
    await ctx.notify_prompts_changed()
    return "prompt list changed"


# -- resources


@server.resource("test://static-text")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data")
def template(id: str) -> str:  # noqa: A002 - the suite's name
    """A resource with a parameter."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


# -- prompts


def user(content: TextContent | ImageContent | EmbeddedResource) -> UserMessage:
    return UserMessage(role="user", content=content)


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """A prompt without arguments."""
    return [user(text("This is a simple prompt for testing."))]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """A prompt with arguments."""
    return [user(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name
    """A prompt with a resource inside."""
    resource = embedded(resourceUri, "Embedded resource content for testing.")
    return [user(resource), user(text("Please process the embedded resource above."))]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with an image."""
    image = ImageContent(type="image", data=PIXEL, mime_type="image/png")
    return [user(image), user(text("Please analyze the image above."))]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
    """A prompt that asks first."""
    context = said(ctx, "user_context", "context")
    if context is None:
        return needs(user_context=ask_user("What context should the prompt use?", context="string"))
    return [user(text(f"Use the following context: {context}"))]


@server.completion()
async def complete(ref: object, argument: object, context: object) -> Completion:
    """Complete nothing."""
    return Completion(values=[], total=0, has_more=False)


# -- what MCPServer leaves to the low-level server: the session itself is Holdfast's to remember


async def accept(ctx: ServerRequestContext[Any], params: BaseModel) -> EmptyResult:
    return EmptyResult()


for method, params_type in (
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
):
    server._lowlevel_server.add_request_handler(method, params_type, accept)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--store", default="memory://", help="where sessions are kept")
    parser.add_argument("--answers", choices=("auto", "stream", "json"), default="auto")
    given = parser.parse_args(arguments)
    answers: Literal["auto", "stream", "json"] = given.answers
    app = holdfast.mcp.asgi(server, store=given.store, answers=answers, tasks=TASKS)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
