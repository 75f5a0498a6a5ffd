// The tool `echo` on the TypeScript SDK 2, modern era only: a peer of bench/mcp_peers.py.
// usage: node modern_echo.mjs PORT json|sse
import { createServer } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

const [port, form] = process.argv.slice(2);

function echoing() {
  const server = new McpServer({ name: "echo", version: "1" });
  server.registerTool("echo", { inputSchema: z.object({ text: z.string() }) }, async ({ text }) => ({
    content: [{ type: "text", text }],
  }));
  return server;
}

const handler = createMcpHandler(echoing, { legacy: "reject", responseMode: form });
createServer(toNodeHandler(handler)).listen(Number(port), "127.0.0.1");
