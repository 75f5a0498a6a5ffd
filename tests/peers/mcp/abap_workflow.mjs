// An agent on the TypeScript SDKs edits an ABAP class, with a read, a search and another lock between Lock and Update.
// Prints one JSON line per step: {"step", "outcome"}. Stops at the first step that fails, with exit code 1.
// usage: node abap_workflow.mjs URL sdk-legacy|client-legacy|client-modern|client-auto NAME SOURCE
import assert from "node:assert/strict";

const [url, which, name, source] = process.argv.slice(2);
const OTHER = "ZCL_HF_GREETER";
const MODES = { "client-legacy": "legacy", "client-modern": { pin: "2026-07-28" }, "client-auto": "auto" };
const said = (step, outcome) => console.log(JSON.stringify({ step, outcome }));

async function connected() {
  const about = { name: "abap-workflow", version: "1" };
  if (which === "sdk-legacy") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(about);
    const transport = new StreamableHTTPClientTransport(new URL(url));
    await client.connect(transport);
    assert.ok(transport.sessionId, "the legacy era has a session");
    return { client, transport };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client(about, { versionNegotiation: { mode: MODES[which] } });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  assert.equal(Boolean(transport.sessionId), which === "client-legacy", "only the legacy era has a session");
  return { client, transport };
}

const { client, transport } = await connected();
said("connect");

async function call(tool, values) {
  const result = await client.callTool({ name: tool, arguments: values });
  const answer = result.structuredContent;
  assert.ok(!result.isError && answer?.success, `${tool}: ${JSON.stringify(result)}`);
  said(tool, answer.outcome);
  return answer;
}

try {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  assert.ok(tools.includes("UpdateClass"), `${tools}`);
  const { session_id } = await call("GetSession", { force_new: true });
  const named = { class_name: name, session_id };
  const other = { class_name: OTHER, session_id };
  await call("ValidateClass", named);
  await call("CreateClass", { ...named, description: "From TypeScript" });
  const lock = await call("LockClass", named);
  const held = { ...named, lock_handle: lock.lock_handle };
  assert.match((await call("ReadClass", other)).source_code, /CLASS zcl_hf_greeter DEFINITION/i);
  assert.equal((await call("SearchObjects", { query: name, session_id })).objects[0].name, name);
  const { lock_handle } = await call("LockClass", other);
  const update = await call("UpdateClass", { ...held, source_code: source, session_state: lock.session_state });
  assert.deepEqual([update.outcome, update.warnings], ["applied", undefined]);
  await call("CheckClass", named);
  await call("UnlockClass", held);
  await call("UnlockClass", { ...other, lock_handle });
  await call("ActivateClass", named);
  assert.equal((await call("ReadClass", { ...named, version: "active" })).source_code, source);
  await call("DeleteClass", named);
  await call("CloseSession", { session_id });
  await transport.terminateSession?.();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await client.close();
}
