// One of the official TypeScript clients over the 2024-11-05 transport. Prints what it saw as one JSON object.
// usage: node old_sse.mjs URL 1.32|2.4
const [url, release] = process.argv.slice(2);
const old = release === "1.32";
const { Client } = await import(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { SSEClientTransport } = await import(
  old ? "@modelcontextprotocol/sdk/client/sse.js" : "@modelcontextprotocol/client"
);
const types = old ? await import("@modelcontextprotocol/sdk/types.js") : {};
const capabilities = { elicitation: {}, sampling: {} };
const client = new Client(
  { name: `ts-${release}`, version: "1" },
  old ? { capabilities } : { capabilities, versionNegotiation: { mode: "legacy" } },
);
const errors = [];
client.onerror = (error) => errors.push(String(error));
client.setRequestHandler(old ? types.ElicitRequestSchema : "elicitation/create", async (request) => ({
  action: "accept",
  content: { word: `${request.params.message}!` },
}));
client.setRequestHandler(old ? types.CreateMessageRequestSchema : "sampling/createMessage", async (request) => {
  const [message] = request.params.messages;
  const { text } = [message.content].flat()[0];
  return { role: "assistant", model: "m", content: { type: "text", text: `I think ${text}` } };
});
await client.connect(new SSEClientTransport(new URL(url)));

const call = (name, args = {}, more = {}) =>
  old ? client.callTool({ name, arguments: args }, undefined, more) : client.callTool({ name, arguments: args }, more);
const seen = { tools: (await client.listTools()).tools.map((tool) => tool.name) };
seen.echo = (await call("echo", { text: "grüß dich" })).content[0].text;
seen.processes = new Set();
for (let n = 0; n < 10; n++) seen.processes.add((await call("where")).structuredContent.process);
seen.processes = seen.processes.size;
seen.progress = [];
await call("slowly", {}, { onprogress: ({ progress }) => seen.progress.push(progress) });
seen.asked = (await call("ask", { text: "word" })).content[0].text;
seen.thought = (await call("think", { text: "so" })).content[0].text;
await client.close();
console.log(JSON.stringify({ ...seen, errors }));
process.exit(0);
