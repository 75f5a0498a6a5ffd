// One of the official TypeScript clients with its own OAuth flow: registers, logs on with PKCE, calls, steps up, refreshes.
// Prints what it saw as one JSON object. usage: node oauth.mjs URL 1.32|2.4 USER
const [url, release, user] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport, auth } =
  release === "1.32"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
        ...(await import("@modelcontextprotocol/sdk/client/auth.js")),
      }
    : await import("@modelcontextprotocol/client");

const kept = {};
const seen = { logons: 0, tokens: 0 };
let came; // what the browser brought back
const provider = {
  redirectUrl: "http://127.0.0.1:9/callback",
  clientMetadata: {
    client_name: "ts",
    redirect_uris: ["http://127.0.0.1:9/callback"],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => {
    kept.tokens = tokens;
    seen.tokens += 1;
  },
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  saveDiscoveryState: (state) => void (kept.discovery = state),
  discoveryState: () => kept.discovery,
  redirectToAuthorization: async (to) => {
    seen.logons += 1;
    const answer = await fetch(`${to}&user=${user}`, { redirect: "manual" });
    came = new URL(answer.headers.get("location")).searchParams;
  },
};

// What an application does that is told to log on: it brings the code back, and connects or calls again.
const loggedOn = async (transport, what) => {
  try {
    return await what();
  } catch (error) {
    if (!came) throw error;
    const brought = came;
    came = undefined;
    await transport.finishAuth(release === "1.32" ? brought.get("code") : brought);
    return "again";
  }
};

let transport, client;
const connected = async () => {
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  client = new Client({ name: "ts", version: "1" });
  return loggedOn(transport, () => client.connect(transport));
};
if ((await connected()) === "again") await connected();

const call = (name) => client.callTool({ name, arguments: {} });
const said = async (name) => (await call(name)).structuredContent;
seen.first = await said("whoami");
// 1.32 answers 403 by a refresh, which brings the same scopes, and gives up: only without one it logs on for more
if (release === "1.32") delete kept.tokens.refresh_token;
const more = await loggedOn(transport, () => said("change"));
seen.change = more === "again" ? await said("change") : more;
seen.stepped = await said("whoami");
await auth(provider, { serverUrl: url }); // with a refresh token at hand this refreshes
seen.refreshed = await said("whoami");
await client.close();
console.log(JSON.stringify(seen));
process.exit(0);
