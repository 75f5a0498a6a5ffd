/**
 * An MCP client on the official SDK (1.x) whose session goes on: over dropped connections, restarted servers and
 * restarts of this program.
 *
 *     node examples/clients/steady_client.ts http://127.0.0.1:8000/mcp echo '{"text": "hello"}'
 *
 * Node 22.18 and newer run TypeScript as it is; `npm install @modelcontextprotocol/sdk` brings the SDK.
 *
 * store       session id and protocol version lie in a file that only its owner can read
 * resume      the SDK takes up a broken stream after the last event it saw, as often as it must
 * reconnect   with waits that double, up to half a minute
 * watch       `watched` fails a stream that has been silent for two keep-alive intervals, whatever TCP thinks
 * expire      404 means that the session has ended and nothing was done: open another one and ask again
 * clean up    leave() ends the session, so that it holds no locks and counts in no limit
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { FetchLike } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { CallToolResult, Notification } from "@modelcontextprotocol/sdk/types.js";

const SILENCE_MS = 30_000; // two keep-alive intervals of the server, which are 15 s
const RECONNECTION = {
  initialReconnectionDelay: 500,
  reconnectionDelayGrowFactor: 2,
  maxReconnectionDelay: 30_000,
  maxRetries: Number.POSITIVE_INFINITY,
};

interface Options {
  file?: string;
  silence?: number;
  heard?: (notification: Notification) => void;
  troubled?: (error: Error) => void;
}

interface Connection {
  client: Client;
  transport: StreamableHTTPClientTransport;
}

export class SteadyClient {
  private connection?: Promise<Connection>;
  private readonly url: URL;
  private readonly options: Options;

  constructor(url: string, options: Options = {}) {
    this.url = new URL(url);
    this.options = options;
  }

  /** Call a tool, in a new session if the one there was has expired. */
  async call(name: string, args: Record<string, unknown>): Promise<CallToolResult> {
    for (;;) {
      const connection = (this.connection ??= this.connect());
      const { client } = await connection;
      try {
        return (await client.callTool({ name, arguments: args })) as CallToolResult;
      } catch (error) {
        if (!isGone(error)) throw error;
        await this.forget(connection);
      }
    }
  }

  get sessionId(): Promise<string | undefined> {
    return (this.connection ?? Promise.resolve(undefined)).then((connection) => connection?.transport.sessionId);
  }

  /** Let go of the connections and leave the session for the next run. */
  async close(): Promise<void> {
    await (await this.connection)?.client.close();
    this.connection = undefined;
  }

  /** End the session. */
  async leave(): Promise<void> {
    const connection = this.connection;
    if (!connection) return;
    await (await connection).transport.terminateSession().catch(() => {}); // it may have ended already
    await this.forget(connection);
  }

  private async connect(): Promise<Connection> {
    const known = this.kept();
    const client = new Client({ name: "steady", version: "1" });
    const transport = new StreamableHTTPClientTransport(this.url, {
      sessionId: known?.sessionId,
      fetch: watched(this.options.silence ?? SILENCE_MS),
      reconnectionOptions: RECONNECTION,
    });
    client.fallbackNotificationHandler = async (notification) => this.options.heard?.(notification);
    client.onerror = (error) => {
      this.options.troubled?.(error);
      if (isGone(error) && this.connection) void this.forget(this.connection); // the next call opens another one
    };
    if (known) {
      transport.setProtocolVersion(known.version);
      await client.connect(transport); // the SDK shakes no hands in a session it was given
      await transport.resumeStream("").catch(() => {}); // the session's own stream; onerror has been told
    } else {
      await client.connect(transport);
      this.keep(transport);
    }
    return { client, transport };
  }

  private async forget(connection: Promise<Connection>): Promise<void> {
    if (this.connection !== connection) return; // another call has opened the next one already
    this.connection = undefined;
    if (this.options.file) rmSync(this.options.file, { force: true });
    const { client } = await connection;
    setTimeout(() => client.close()); // after a call that met the 404 has been told of it
  }

  private keep({ sessionId, protocolVersion }: StreamableHTTPClientTransport): void {
    if (!this.options.file || !sessionId) return;
    writeFileSync(this.options.file, JSON.stringify({ sessionId, version: protocolVersion }), { mode: 0o600 });
  }

  private kept(): { sessionId: string; version: string } | undefined {
    const { file } = this.options;
    return file && existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  }
}

/** Say whether the server knows no such session: then it has done nothing. */
function isGone(error: unknown): boolean {
  return error instanceof StreamableHTTPError && error.code === 404;
}

/** Return a fetch whose streams fail when nothing, not even a comment, has come for so many milliseconds. */
function watched(silence: number): FetchLike {
  return async (url, init) => {
    const response = await fetch(url, init);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) return response;
    let timer: NodeJS.Timeout;
    const watch = (stream: TransformStreamDefaultController) => {
      clearTimeout(timer);
      timer = setTimeout(() => stream.error(new Error("the stream fell silent")), silence);
    };
    const watching = new TransformStream({
      start: watch,
      transform(chunk, stream) {
        watch(stream);
        stream.enqueue(chunk);
      },
      flush: () => clearTimeout(timer),
    });
    return new Response(response.body.pipeThrough(watching), response);
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [url, tool, args] = process.argv.slice(2);
  const client = new SteadyClient(url, { file: ".steady-session.json", heard: (message) => console.log(message) });
  console.log(JSON.stringify(await client.call(tool, JSON.parse(args)), null, 2));
  await client.close();
}
