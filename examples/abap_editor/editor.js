// Edits ABAP objects through a sticky session, with OpenUI5's ODataModel V4: it keeps the session's id and keeps the
// session alive. What is typed is in the session half a second later, so a server may die meanwhile.
"use strict";

const PAUSE_MS = 500;
const SERVICE = "odata/abap/";
const at = (id) => document.getElementById(id);
let model; // OpenUI5's; one for this tab, and so is the session
let opened = null; // the context of the object that is shown
let editing = false;
let unsent = null; // the timer of what was typed and is not in the session yet
let sending = Promise.resolve();

const addressOf = ({ Type, Name }) => {
  const quoted = (text) => `'${encodeURIComponent(text.replaceAll("'", "''"))}'`;
  return `/Objects(Type=${quoted(Type)},Name=${quoted(Name)})`;
};

async function start() {
  const ODataModel = await new Promise((done, fail) => sap.ui.require(["sap/ui/model/odata/v4/ODataModel"], done, fail));
  model = new ODataModel({ serviceUrl: new URL(SERVICE, location.href).pathname, autoExpandSelect: false });
  model.attachSessionTimeout(lose);
  at("find").addEventListener("submit", (event) => (event.preventDefault(), guarded(find)));
  at("source").addEventListener("input", typed);
  at("source").addEventListener("scroll", () => (at("lines").scrollTop = at("source").scrollTop));
  for (const [id, does] of Object.entries({ edit, check, save, discard })) at(id).onclick = () => guarded(does);
  addEventListener("beforeunload", (event) => editing && event.preventDefault());
  addEventListener("pagehide", leave);
  show();
  await guarded(find);
}

// -- the list

async function find() {
  const text = at("query").value.trim();
  const parameters = { $select: "Type,Name,Package,Description", ...(text && { $search: `"${text.replaceAll('"', "")}"` }) };
  const contexts = await model.bindList("/Objects", undefined, undefined, undefined, parameters).requestContexts(0, 200);
  const objects = contexts.map((context) => context.getObject());
  at("objects").replaceChildren(...objects.map(entry));
  at("found").textContent = objects.length === 1 ? "1 object" : `${objects.length} objects`;
}

function entry(object) {
  const [button, name, about] = ["button", "span", "span"].map((tag) => document.createElement(tag));
  name.textContent = object.Name;
  about.textContent = [object.Type, object.Description].filter(Boolean).join(" · ");
  about.className = "quiet";
  button.append(name, about);
  button.onclick = () => guarded(() => open(object, button));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function open(object, button) {
  if (editing) throw new Error("Save or discard what you are editing first.");
  await read(object);
  for (const other of at("objects").querySelectorAll("button")) other.setAttribute("aria-current", other === button);
}

async function read(object) {
  const binding = model.bindContext(addressOf(object));
  await binding.requestObject();
  opened = binding.getBoundContext();
  show({ text: true });
}

// -- the choreography

async function call(name, context = opened) {
  const operation = model.bindContext(context ? `Abap.${name}(...)` : `/${name}(...)`, context);
  await operation.invoke();
  return operation.getBoundContext()?.getObject() ?? null;
}

async function edit() {
  await call("Edit");
  editing = true;
  await read(opened.getObject());
  at("source").focus();
}

function typed() {
  clearTimeout(unsent);
  unsent = setTimeout(() => guarded(send), PAUSE_MS);
  number();
}

async function send() {
  clearTimeout(unsent);
  unsent = null;
  const text = at("source").value;
  sending = sending.catch(() => {}).then(() => editing && opened.setProperty("Source", text));
  await sending;
}

async function check() {
  if (editing) await send();
  const found = (await call("Check")).value;
  tell(found.map(({ Severity, Text, Line }) => ({ kind: Severity, text: Text, line: Line })));
  if (!found.length) tell([{ kind: "good", text: "No errors." }]);
}

async function save() {
  await send();
  await call("Save");
  editing = false;
  await read(opened.getObject());
  tell([{ kind: "good", text: "Saved and active." }]);
}

async function discard() {
  clearTimeout(unsent);
  await call("Discard", null);
  editing = false;
  await read(opened.getObject());
  tell([{ kind: "good", text: "Discarded; the object is unlocked." }]);
}

function lose() {
  editing = false;
  clearTimeout(unsent);
  show({ lost: true });
  tell([{ kind: "error", text: "The session is lost, and so is the lock. Your text is still here: copy it, then edit again." }]);
}

function leave() {
  const id = model.getHttpHeaders(true)["SAP-ContextId"];
  if (!id) return;
  const headers = { ...model.getHttpHeaders(true), "sap-terminate": "session" };
  fetch(SERVICE, { method: "HEAD", keepalive: true, headers });
}

// -- what is seen

function show({ text = false, lost = false } = {}) {
  const object = opened?.getObject();
  if (object) {
    at("name").textContent = object.Name;
    at("about").textContent = [object.Type, object.Package, object.Description].filter(Boolean).join(" · ");
  }
  if (text) at("source").value = object.Source;
  at("source").readOnly = !editing;
  const state = lost ? "lost" : editing ? "editing" : opened ? "reading" : "closed";
  at("state").textContent = state;
  at("state").className = `state ${state}`;
  at("edit").disabled = !opened || editing;
  at("check").disabled = !opened;
  at("save").disabled = at("discard").disabled = !editing;
  number();
}

function number() {
  const count = at("source").value.split("\n").length;
  at("lines").textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
}

function tell(messages) {
  at("messages").replaceChildren(
    ...messages.map(({ kind, text, line }) => {
      const item = document.createElement("li");
      item.className = kind;
      if (line) {
        const button = document.createElement("button");
        button.textContent = `Line ${line}`;
        button.onclick = () => go(line);
        item.append(button, ": ");
      }
      item.append(text);
      return item;
    }),
  );
}

function go(line) {
  const before = at("source").value.split("\n").slice(0, line - 1);
  const start = before.reduce((sum, text) => sum + text.length + 1, 0);
  const end = at("source").value.indexOf("\n", start);
  at("source").focus();
  at("source").setSelectionRange(start, end < 0 ? at("source").value.length : end);
}

// Do something; say what went wrong. The model has told a lost session already.
async function guarded(does) {
  tell([]);
  try {
    await does();
  } catch (error) {
    if (at("state").classList.contains("lost") && !editing) return;
    const found = (error.error?.details ?? []).map(({ message, code }) => {
      const [, line, text] = /^Line (\d+): (.*)$/s.exec(message) ?? [];
      return { kind: code?.replace("abap_", "") ?? "error", text: text ?? message, line: Number(line) || undefined };
    });
    tell([{ kind: "error", text: error.message }, ...found]);
  }
}

start();
