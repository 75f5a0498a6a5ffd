// An OpenID provider that we did not write (oidc-provider, MIT), with one client, on localhost.
//
// node provider.mjs PORT CLIENT_URL [front] [jwk=PUBLIC_KEY]
//
// Its own pages for development log anybody on under the name they give. With `front` the page that asks whether to log
// out also shows each client's front-channel logout in a frame, as Front-Channel Logout 1.0 has it. With a key the client
// signs instead of showing a secret, and only the userinfo endpoint tells more of people than who they are.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, site, ...options] = process.argv.slice(2);
const front = options.includes("front");
const jwk = options.find((one) => one.startsWith("jwk="))?.slice(4);
const proof = jwk
  ? { token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [JSON.parse(jwk)] } }
  : { token_endpoint_auth_method: "client_secret_basic", client_secret: "a secret: with / signs" };
const issuer = `http://localhost:${port}`;
const key = (type, options, more) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), ...more });

async function logoutSource(ctx, form) {
  const session = ctx.oidc.session;
  const sid = session.authorizations?.shop && session.sidFor("shop");
  const query = new URLSearchParams({ iss: issuer, sid: sid ?? "" });
  const frame = front && sid ? `<iframe id="front" src="${site}/oidc/frontchannel-logout?${query}"></iframe>` : "";
  ctx.body = `<!doctype html><title>Log out</title>${form}
    <button id="yes" form="op.logoutForm" name="logout" value="yes" autofocus>Yes</button>${frame}`;
}

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "shop",
      redirect_uris: [`${site}/oidc/callback`],
      post_logout_redirect_uris: [`${site}/oidc/logged-out`],
      backchannel_logout_uri: `${site}/oidc/backchannel-logout`,
      backchannel_logout_session_required: true,
      ...proof,
      id_token_signed_response_alg: "ES256",
    },
  ],
  claims: { openid: ["sub", "roles"], profile: ["name"] },
  conformIdTokenClaims: Boolean(jwk),
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of ${issuer}`, roles: ["clerk"] }),
  }),
  cookies: { keys: ["for tests"] },
  jwks: { keys: [key("rsa", { modulusLength: 2048 }, { kid: "r", use: "sig" }), key("ec", { namedCurve: "P-256" }, { kid: "e", use: "sig" })] },
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource },
  },
  fetch: (url, { dispatcher, ...options }) => fetch(url, options), // its own dispatcher reaches no loopback address
  pkce: { required: () => true },
  ttl: { Interaction: 600, Session: 3600, Grant: 3600, IdToken: 3600, AccessToken: 3600 },
});

const told = [];
provider.on("backchannel.success", (ctx, client, accountId, sid) => told.push({ accountId, sid }));
provider.on("backchannel.error", (ctx, error) => told.push({ error: String(error) }));
provider.use(async (ctx, next) => {
  if (ctx.path === "/test/told") ctx.body = told;
  else await next();
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
