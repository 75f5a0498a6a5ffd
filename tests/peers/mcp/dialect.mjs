// An official TypeScript client at an endpoint that speaks the source's dialect: events of the session must not trouble it.
// usage: node dialect.mjs URL 1.32|2.4
const [url, release] = process.argv.slice(2);
const old = release === "1.32";
const { Client } = await import(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { StreamableHTTPClientTransport } = await import(
  old ? "@modelcontextprotocol/sdk/client/streamableHttp.js" : "@modelcontextprotocol/client"
);
const options = old ? {} : { versionNegotiation: { mode: "legacy" } };
const client = new Client({ name: `ts-${release}`, version: "1" }, options);
const transport = new StreamableHTTPClientTransport(new URL(url));
const errors = [];
client.onerror = (error) => errors.push(String(error));
await client.connect(transport);

const call = async (name, args) => {
  const result = await (old
    ? client.callTool({ name, arguments: args }, undefined)
    : client.callTool({ name, arguments: args }));
  return result.content[0].text;
};
const taken = {};
for (const name of ["session", "session-resumed", "session-expired", "session-warning", "session-limit"]) {
  while ((await call("send", { event: name })) !== "True") await new Promise((next) => setTimeout(next, 50));
  taken[name] = await call("echo", { text: name });
}
await client.close();
console.log(JSON.stringify({ taken, errors }));
process.exit(0);
