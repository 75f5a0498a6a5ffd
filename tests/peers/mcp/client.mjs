// One of the official TypeScript clients, used as its users use it. Prints what it saw as one JSON object.
// usage: node client.mjs URL 1.32|2.4 legacy|auto|2026-07-28
const [url, release, mode] = process.argv.slice(2);
const options = { capabilities: { elicitation: {} } };
let client, transport, elicitation;

if (release === "1.32") {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { ElicitRequestSchema } = await import("@modelcontextprotocol/sdk/types.js");
  client = new Client({ name: "ts-1.32", version: "1" }, options);
  transport = new StreamableHTTPClientTransport(new URL(url));
  elicitation = ElicitRequestSchema;
} else {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const wanted = mode === "legacy" || mode === "auto" ? mode : { pin: mode };
  client = new Client({ name: "ts-2.4", version: "1" }, { ...options, versionNegotiation: { mode: wanted } });
  transport = new StreamableHTTPClientTransport(new URL(url));
  elicitation = "elicitation/create";
}

const seen = {};
const errors = [];
client.onerror = (error) => errors.push(String(error));
client.setRequestHandler(elicitation, async (request) => ({
  action: "accept",
  content: { word: `${request.params.message}!` },
}));
await client.connect(transport);
seen.session = Boolean(transport.sessionId);
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);

const call = (name, args = {}, more = {}) =>
  release === "1.32"
    ? client.callTool({ name, arguments: args }, undefined, more)
    : client.callTool({ name, arguments: args }, more);
seen.echo = (await call("echo", { text: "grüß dich" })).content[0].text;
const wrong = await call("echo", { txt: "x" });
seen.wrong = [wrong.isError, wrong.structuredContent.error.code];
seen.processes = new Set();
for (let n = 0; n < 10; n++) seen.processes.add((await call("where")).structuredContent.process);
seen.processes = seen.processes.size;
seen.progress = [];
await call("slowly", {}, { onprogress: ({ progress }) => seen.progress.push(progress) });
seen.errors = errors;
if (seen.session) {
  seen.asked = (await call("ask", { text: "word" })).content[0].text;
  seen.errors = [...errors]; // from here on they are expected
  await transport.terminateSession();
  seen.after = await call("echo", { text: "x" }).then(
    () => "answered",
    (error) => `refused: ${error.message}`,
  );
}
await client.close();
console.log(JSON.stringify(seen));
process.exit(0);
