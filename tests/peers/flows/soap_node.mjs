// A SOAP service by node's `soap` on express, as a process of its own: node soap_node.mjs, which prints its port.
//
// `/orders` wants Basic credentials and keeps sessions, `/secured` wants a username token in the envelope. The WSDL is
// at `/orders?wsdl`, what it imports at `/orders.xsd`. `POST /admin/{stats,reset}` tells what has arrived, or forgets it.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import express from "express";
import soap from "soap";

const file = fileURLToPath(new URL("orders.wsdl", import.meta.url));
const wsdl = readFileSync(file, "utf8");
const fresh = () => ({ authentications: 0, begun: 0, sessions: new Map(), requests: [], orders: [], notices: [], tokens: [] });
let world = fresh();

const app = express();
app.post("/admin/:what", (request, response) => {
  if (request.params.what === "reset") world = fresh();
  const { authentications, begun, requests, orders, notices, tokens } = world;
  response.json({ authentications, sessions: begun, requests, orders, notices, tokens });
});

app.get("/orders.xsd", (_, response) => response.sendFile(file.replace(/wsdl$/, "xsd")));

app.post("/orders", (request, response, next) => {
  const { cookie, authorization, soapaction } = request.headers;
  const coding = request.headers["content-encoding"] ?? "";
  world.requests.push({ cookie: cookie ?? null, authorized: authorization !== undefined, action: soapaction, coding });
  request.session = world.sessions.get(/JSESSIONID=(\w+)/.exec(cookie ?? "")?.[1]);
  if (request.session === undefined) {
    const [user, password] = Buffer.from((authorization ?? "").replace(/^Basic /, ""), "base64").toString().split(":");
    if (password !== "secret") return response.status(401).end("log on");
    const id = randomBytes(8).toString("hex");
    world.authentications += 1;
    world.begun += 1;
    request.session = { user, calls: 0 };
    world.sessions.set(id, request.session);
    response.setHeader("Set-Cookie", `JSESSIONID=${id}; Path=/; HttpOnly`);
  }
  request.session.calls += 1;
  next();
});

const refused = {
  Fault: { faultcode: "soap:Client.NoPlant", faultstring: "no such plant", detail: { plant: "0815" }, statusCode: 500 },
};
const operations = {
  Place({ id, due, item }) {
    if (id === "refused") throw refused;
    const items = item === undefined ? [] : [].concat(item);
    world.orders.push({ id, due: due?.toISOString?.() ?? due ?? null, items });
    const total = items.reduce((sum, one) => sum + Number(one.count), 0);
    const line = items.map(({ name, count }) => ({ attributes: { unit: "kg" }, name, count }));
    return { id, total, price: "12.50", ready: "2026-11-21T10:00:00Z", line };
  },
  Count: (_, __, ___, request) => ({ calls: request.session?.calls ?? 0 }),
  Notify({ text }) {
    world.notices.push(text);
  },
};
const services = { Shop: { Plain: operations, Newer: operations } };

const sha1 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha1")).digest("base64");
const value = (element) => element?.$value ?? element;

app.listen(0, "127.0.0.1", function () {
  const options = { wsdl_options: {}, oneWay: { emptyBody: true, statusCode: 202 } };
  soap.listen(app, { path: "/orders", services, xml: wsdl, uri: file, ...options });
  const secured = soap.listen(app, { path: "/secured", services, xml: wsdl, uri: file, ...options });
  secured.authenticate = (security) => {
    const token = security?.UsernameToken;
    const [user, password, created] = [value(token?.Username), value(token?.Password), value(token?.Created)];
    const digested = (token?.Password?.attributes?.Type ?? "").endsWith("#PasswordDigest");
    world.tokens.push({ user, digested });
    if (!digested) return user === "anna" && password === "secret";
    return user === "anna" && password === sha1(Buffer.from(value(token.Nonce), "base64"), created, "secret");
  };
  console.log(this.address().port);
});
