// One of the official TypeScript clients, told step by step what to do: a name for each line of input, a line of JSON back.
// usage: node steps.mjs URL 1.32|2.4 legacy|auto|2026-07-28
import { createInterface } from "node:readline";

const [url, release, mode] = process.argv.slice(2);
const old = release === "1.32";
const sdk = await import(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { StreamableHTTPClientTransport } = old
  ? await import("@modelcontextprotocol/sdk/client/streamableHttp.js")
  : sdk;
const { ElicitRequestSchema, ToolListChangedNotificationSchema } = old
  ? await import("@modelcontextprotocol/sdk/types.js")
  : { ElicitRequestSchema: "elicitation/create", ToolListChangedNotificationSchema: "notifications/tools/list_changed" };
const wanted = mode === "legacy" || mode === "auto" ? mode : { pin: mode };
const negotiation = old ? {} : { versionNegotiation: { mode: wanted } };
const client = new sdk.Client(
  { name: `ts-${release}`, version: "1" },
  { capabilities: { elicitation: {} }, ...negotiation },
);
const transport = new StreamableHTTPClientTransport(new URL(url));
const errors = [];
let heard = 0;
client.onerror = (error) => errors.push(String(error));
client.setRequestHandler(ElicitRequestSchema, async (request) => ({
  action: "accept",
  content: { word: `${request.params.message}!` },
}));
client.setNotificationHandler(ToolListChangedNotificationSchema, () => { heard += 1; });

const call = async (name, args = {}, more = {}) => {
  const params = { name, arguments: args };
  const result = await (old ? client.callTool(params, undefined, more) : client.callTool(params, more));
  return result.isError ? { error: result.content[0].text } : result.content[0].text;
};
const progressing = async (name) => {
  const progress = [];
  const text = await call(name, {}, { onprogress: (step) => progress.push(step.progress) });
  return [text, progress];
};
const pause = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));
const steps = {
  connect: async () => {
    await client.connect(transport);
    return transport.sessionId ? "session" : "no session";
  },
  list: async () => (await client.listTools()).tools.map((tool) => tool.name),
  call: async () => [await call("echo", { text: "grüß dich" }), "error" in (await call("echo", { txt: "x" }))],
  stream: () => progressing("slowly"),
  elicit: () => call("ask", { text: "word" }),
  cut: () => progressing("cut"),
  where: () => call("where"),
  send: (event) => call("send", { text: event }),
  hear: async () => {
    const before = heard;
    await call("changed");
    for (let waited = 0; heard === before && waited < 10; waited++) await pause(50);
    return heard > before;
  },
  errors: async () => errors,
  close: async () => {
    if (transport.sessionId) await transport.terminateSession();
    await client.close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = line.split(" ");
  const answer = await steps[name](argument).catch((error) => ({ failed: String(error) }));
  console.log(JSON.stringify(answer ?? null));
  if (name === "close") break;
}
process.exit(0);
