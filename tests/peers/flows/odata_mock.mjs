// SAP's mock server for Fiori elements behind a logon, as a process of its own: node odata_mock.mjs DATA_FOLDER
//
// It prints its port. `/v2` and `/v4` are the same shop in both versions. The OData is the mock server's; logon, session
// and the demand for the token that it hands out stand before it. `POST /admin/{stats,reset}` tells what has arrived.

import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import FEMockserver from "@sap-ux/fe-mockserver-core";
import express from "express";

const [mockdataPath] = process.argv.slice(2);
const metadata = (version) => fileURLToPath(new URL(`odata_mock_${version}.xml`, import.meta.url));
const fresh = () => ({ authentications: 0, sessions: new Set(), requests: [] });
let world = fresh();

const app = express();
app.post("/admin/:what", (request, response) => {
  if (request.params.what === "reset") world = fresh();
  response.json({ authentications: world.authentications, sessions: world.sessions.size, requests: world.requests });
});
app.use((request, response, next) => {
  const { cookie, authorization, "x-csrf-token": token } = request.headers;
  world.requests.push({ method: request.method, path: decodeURIComponent(request.url), cookie: cookie ?? null });
  if (!world.sessions.has(/JSESSIONID=(\w+)/.exec(cookie ?? "")?.[1])) {
    const credentials = Buffer.from((authorization ?? "").replace(/^Basic /, ""), "base64").toString();
    if (credentials !== "anna:secret") return response.status(401).end("log on");
    const id = randomBytes(8).toString("hex");
    world.authentications += 1;
    world.sessions.add(id);
    response.setHeader("Set-Cookie", `JSESSIONID=${id}; Path=/; HttpOnly`);
  }
  if (!["GET", "HEAD"].includes(request.method) && token !== "0504-71383") {
    return response.status(403).setHeader("X-CSRF-Token", "Required").end();
  }
  next();
});

const services = ["v2", "v4"].map((version) => ({
  urlPath: `/${version}`,
  name: version,
  metadataPath: metadata(version),
  mockdataPath,
  generateMockData: false,
}));
const Server = FEMockserver.default ?? FEMockserver;
const mock = new Server({ services, annotations: [], plugins: [] });
await mock.isReady;
app.use(mock.getRouter());
const listener = app.listen(0, "127.0.0.1", () => console.log(listener.address().port));
