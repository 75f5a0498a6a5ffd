// The tool `echo` on the TypeScript SDK's own transport, with sessions: a peer of bench/mcp_echo.py.
// usage: node echo_server.mjs PORT json|sse
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const [port, form] = process.argv.slice(2);
const transports = new Map();

async function opened() {
  const server = new McpServer({ name: "echo", version: "1" });
  server.registerTool("echo", { inputSchema: { text: z.string() } }, async ({ text }) => ({
    content: [{ type: "text", text }],
  }));
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse: form === "json",
    onsessioninitialized: (id) => transports.set(id, transport),
  });
  await server.connect(transport);
  return transport;
}

createServer(async (request, response) => {
  const transport = transports.get(request.headers["mcp-session-id"]) ?? (await opened());
  await transport.handleRequest(request, response);
}).listen(Number(port), "127.0.0.1");
