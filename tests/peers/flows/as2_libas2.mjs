// A partner by the AS2 library libas2, as a process of its own: node as2_libas2.mjs FOLDER, which prints its port.
//
// `/as2` decrypts and verifies what comes and answers with a signed receipt, or sends that to where the message says.
// It wants Basic credentials and keeps sessions. `/compressed` gives back what is in a CompressedData, read by asn1js
// and zlib. `POST /admin/{stats,reset}` tells what has arrived, or forgets it.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request as send } from "node:http";
import { inflateSync } from "node:zlib";
import asn1 from "asn1js";
import libas2 from "libas2";
import pkijs from "pkijs/build/index.js";

// libas2 was written for a pkijs that takes an RSA key for one that signs; that of today takes it for one that encrypts.
const engine = pkijs.CryptoEngine.prototype;
const known = engine.getAlgorithmByOID;
engine.getAlgorithmByOID = function (oid) {
  return oid === "1.2.840.113549.1.1.1" ? { name: "RSASSA-PKCS1-v1_5", hash: { name: "SHA-256" } } : known.call(this, oid);
};

const folder = process.argv[2];
const file = (name) => readFileSync(`${folder}/${name}`, "utf8");
const fresh = () => ({ authentications: 0, begun: 0, sessions: new Set(), requests: [], delivered: [] });
let world = fresh();

const agreement = (encrypted, algorithm) => ({
  host: { name: "you", id: "you", certificate: file("partner.pem"), privateKey: file("partner.key"), decrypt: encrypted, sign: true },
  partner: { name: "me", id: "me", certificate: file("me.pem"), verify: true, mdn: { signing: algorithm } },
});

const whole = (request, body) => {
  const names = ["content-type", "content-disposition", "message-id", "as2-from", "as2-to"];
  const head = names.map((name) => (name in request.headers ? `${name}: ${request.headers[name]}\r\n` : "")).join("");
  if (!request.headers["content-type"].includes("pkcs7-mime")) return Buffer.concat([Buffer.from(`${head}\r\n`), body]);
  return Buffer.from(`${head}Content-Transfer-Encoding: base64\r\n\r\n${body.toString("base64")}\r\n`);
};

const receipt = async (request, body) => {
  const encrypted = request.headers["content-type"].includes("enveloped-data");
  const algorithm = request.headers["disposition-notification-options"].split(",").pop().trim();
  const message = await libas2.AS2Parser.parse(whole(request, body));
  const out = await message.dispositionOut({ agreement: agreement(encrypted, algorithm) });
  const { disposition, receivedContentMic } = out.disposition.notification;
  const content = out.contentNode === undefined ? null : Buffer.from(out.contentNode.content).toString("latin1");
  const { cookie } = request.headers;
  world.requests.push({ content, processed: disposition.processed, mic: receivedContentMic?.mic, cookie: cookie ?? null });
  const raw = (await out.dispositionNode.build()).toString("latin1");
  const end = raw.indexOf("\r\n\r\n");
  const lines = raw.slice(0, end).replace(/\r\n[ \t]+/g, " ").split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
  return { headers, content: Buffer.from(raw.slice(end + 4), "latin1") };
};

const deliver = (url, { headers, content }) => {
  const going = send(url, { method: "POST", headers: { ...headers, "Content-Length": content.length } }, (answer) => {
    world.delivered.push(answer.statusCode);
    answer.resume();
  });
  going.end(content);
};

const decompressed = (body) => {
  const compressed = asn1.fromBER(new Uint8Array(body).buffer).result.valueBlock.value[1].valueBlock.value[0];
  const octets = compressed.valueBlock.value[2].valueBlock.value[1].valueBlock.value[0];
  return inflateSync(Buffer.from(octets.valueBlock.valueHex));
};

const loggedOn = (request, response) => {
  if (world.sessions.has(/JSESSIONID=(\w+)/.exec(request.headers.cookie ?? "")?.[1])) return true;
  const [, password] = Buffer.from((request.headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString().split(":");
  if (password !== "secret") return false;
  const id = randomBytes(8).toString("hex");
  world.authentications += 1;
  world.begun += 1;
  world.sessions.add(id);
  response.setHeader("Set-Cookie", `JSESSIONID=${id}; Path=/; HttpOnly`);
  return true;
};

const serve = async (request, response, body) => {
  if (request.url === "/compressed") return response.end(decompressed(body));
  if (request.url === "/admin/reset") world = fresh();
  if (request.url.startsWith("/admin/")) {
    const { authentications, begun, requests, delivered } = world;
    return response.end(JSON.stringify({ authentications, sessions: begun, requests, delivered }));
  }
  if (!loggedOn(request, response)) return response.writeHead(401).end("log on");
  const made = await receipt(request, body);
  const url = request.headers["receipt-delivery-option"];
  if (url === undefined) return response.writeHead(200, made.headers).end(made.content);
  response.end();
  return deliver(url, made);
};

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    await serve(request, response, Buffer.concat(parts));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
