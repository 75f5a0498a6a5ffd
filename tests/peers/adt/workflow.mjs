// The whole life of a class, an interface and a program, done by the npm client abap-adt-api against the simulator.
// Prints one JSON line per step: {"type", "step", "ok", …}. Stops at the first step that fails, with exit code 1.
// Usage: node workflow.mjs <url of the system> <url of its admin API>

import assert from "node:assert/strict"
import { ADTClient } from "abap-adt-api"

const [system, admin] = process.argv.slice(2)
const PACKAGE = "$TMP"

const SUBJECTS = [
  {
    type: "CLAS/OC",
    name: "ZCL_PEER_DEMO",
    path: "/sap/bc/adt/oo/classes/zcl_peer_demo",
    good: [
      "CLASS zcl_peer_demo DEFINITION PUBLIC FINAL CREATE PUBLIC.",
      "  PUBLIC SECTION.",
      "    METHODS answer RETURNING VALUE(rv_answer) TYPE i.",
      "ENDCLASS.",
      "",
      "CLASS zcl_peer_demo IMPLEMENTATION.",
      "  METHOD answer.",
      "    rv_answer = 42.",
      "  ENDMETHOD.",
      "ENDCLASS.",
    ],
    bad: ["CLASS zcl_peer_demo DEFINITION PUBLIC.", "  PUBLIC SECTION.", "    METHODS answer.", "ENDCLASS."],
    members: ["ANSWER"],
  },
  {
    type: "INTF/OI",
    name: "ZIF_PEER_DEMO",
    path: "/sap/bc/adt/oo/interfaces/zif_peer_demo",
    good: ["INTERFACE zif_peer_demo PUBLIC.", "  METHODS answer RETURNING VALUE(rv_answer) TYPE i.", "ENDINTERFACE."],
    bad: ["INTERFACE zif_peer_demo PUBLIC.", "  METHDOS answer.", "ENDINTERFACE."],
    members: ["ANSWER"],
  },
  {
    type: "PROG/P",
    name: "Z_PEER_DEMO",
    path: "/sap/bc/adt/programs/programs/z_peer_demo",
    good: ["REPORT z_peer_demo.", "", "START-OF-SELECTION.", "  IF sy-subrc = 0.", "    WRITE / `ok`.", "  ENDIF."],
    bad: ["REPORT z_peer_demo.", "IF sy-subrc = 0.", "  WRITE / `ok`."],
    members: [],
  },
]

let subject = ""
async function step(name, work) {
  try {
    const detail = await work()
    console.log(JSON.stringify({ type: subject, step: name, ok: true, detail }))
    return detail
  } catch (error) {
    console.log(JSON.stringify({ type: subject, step: name, ok: false, error: `${error?.message}`, stack: error?.stack }))
    process.exit(1)
  }
}

async function refused(promise) {
  return promise.then(
    () => assert.fail("was not refused"),
    error => error
  )
}

async function administer(method, path, body) {
  const answer = await fetch(admin + path, { method, body: body && JSON.stringify(body) })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.json()
}

const client = user => new ADTClient(system, user, "Holdfast1", "001", "EN")
const text = lines => lines.join("\r\n")

async function life({ type, name, path, good, bad, members }) {
  subject = type
  const mine = client("DEVELOPER")
  const other = client("ALICE")
  const source = `${path}/source/main`

  await step("login", async () => {
    await mine.login()
    assert.ok(mine.loggedin)
  })
  await step("search before", async () => assert.deepEqual(await mine.searchObject(name, type), []))
  await step("validate", async () => {
    const result = await mine.validateNewObject({ objtype: type, objname: name, description: "Peer", packagename: PACKAGE })
    assert.ok(result.success)
  })
  await step("create", () => mine.createObject(type, name, PACKAGE, "Peer", `/sap/bc/adt/packages/%24tmp`))
  await step("create twice is refused", async () => {
    const error = await refused(mine.createObject(type, name, PACKAGE, "Peer", `/sap/bc/adt/packages/%24tmp`))
    assert.match(error.message, /exist/)
  })
  await step("validate an existing name", async () => {
    const wanted = { objtype: type, objname: name, description: "Peer", packagename: PACKAGE }
    assert.match((await refused(mine.validateNewObject(wanted))).message, new RegExp(name))
  })
  await step("search", async () => {
    const [found] = await mine.searchObject(name, type)
    assert.equal(found["adtcore:type"], type)
    assert.equal(found["adtcore:uri"], path)
    assert.equal(found["adtcore:packageName"], PACKAGE)
  })
  await step("package contents", async () => {
    const contents = await mine.nodeContents("DEVC/K", PACKAGE)
    assert.ok(contents.nodes.some(node => node.OBJECT_NAME === name && node.OBJECT_URI === path))
  })
  await step("structure", async () => {
    const found = await mine.objectStructure(path)
    assert.equal(found.metaData["adtcore:name"], name)
    assert.equal(found.metaData["adtcore:version"], "inactive")
    if (type === "CLAS/OC")
      assert.deepEqual(
        found.includes.map(include => include["class:includeType"]),
        ["definitions", "implementations", "macros", "main"]
      )
  })
  await step("transport info", async () => {
    const info = await mine.transportInfo(path, PACKAGE)
    assert.equal(info.RECORDING, "")
  })

  mine.stateful = "stateful"
  const lock = await step("lock", () => mine.lock(path))
  assert.match(`${lock.LOCK_HANDLE}`, /^[0-9A-F]{40}$/)
  assert.equal(lock.IS_LOCAL, "X")
  await step("second client's lock names the owner", async () => {
    await other.login()
    other.stateful = "stateful"
    const error = await refused(other.lock(path))
    assert.equal(error.err, 403)
    assert.equal(error.properties["T100KEY-V1"], "DEVELOPER")
    assert.match(error.message, new RegExp(`User DEVELOPER is currently editing ${name}`))
  })
  await step("syntax check of unsaved source", async () => {
    const found = await mine.syntaxCheck(source, path, text(bad))
    assert.ok(found.length > 0 && found[0].severity === "E" && found[0].line > 0)
    assert.deepEqual(await mine.syntaxCheck(source, path, text(good)), [])
    return found.map(message => `${message.line}: ${message.text}`)
  })
  await step("wrong handle", async () => {
    const error = await refused(mine.setObjectSource(source, text(good), "0".repeat(40)))
    assert.equal(error.err, 423)
  })
  await step("set bad source", () => mine.setObjectSource(source, text(bad), lock.LOCK_HANDLE))
  await step("activation of bad source is refused", async () => {
    const result = await mine.activate(name, path)
    assert.equal(result.success, false)
    return result.messages.map(message => message.shortText)
  })
  await step("set source", () => mine.setObjectSource(source, text(good), lock.LOCK_HANDLE))
  if (type === "CLAS/OC")
    await step("create test include", async () => {
      await mine.createTestInclude(name, lock.LOCK_HANDLE)
      const include = `${path}/includes/testclasses`
      await mine.setObjectSource(include, "* no tests yet", lock.LOCK_HANDLE)
      assert.equal(await mine.getObjectSource(include), "* no tests yet")
    })
  await step("inactive objects", async () => {
    const found = await mine.inactiveObjects()
    assert.ok(found.some(entry => entry.object?.["adtcore:name"] === name))
  })
  await step("unlock", () => mine.unLock(path, lock.LOCK_HANDLE))
  await step("activate", async () => {
    const result = await mine.activate(name, path)
    assert.deepEqual({ ...result, messages: [] }, { success: true, messages: [], inactive: [] })
  })
  await step("read back", async () => {
    assert.equal(await mine.getObjectSource(source, { version: "active" }), text(good))
    assert.equal((await mine.objectStructure(path)).metaData["adtcore:version"], "active")
  })
  await step("outline", async () => {
    const found = await mine.objectStructureElements(path)
    assert.deepEqual(found.map(element => element.name), members)
  })
  await step("revisions", async () => {
    const found = await mine.objectStructure(path)
    const revisions = await mine.revisions(found)
    assert.equal(revisions.length, 1)
    assert.equal(await mine.getObjectSource(revisions[0].uri), text(good))
  })
  await step("second client may lock now", async () => {
    const theirs = await other.lock(path)
    await other.unLock(path, theirs.LOCK_HANDLE)
  })

  const doomed = await step("lock before expiry", () => mine.lock(path))
  await step("clock past expiry", async () => {
    await administer("POST", "/clock/advance", { seconds: 1801 })
    const error = await refused(mine.setObjectSource(source, text(good), doomed.LOCK_HANDLE))
    assert.deepEqual(await administer("GET", "/sm12"), [])
    return error.message
  })
  await step("log on again", async () => {
    mine.stateful = "stateless"
    await mine.login()
    mine.stateful = "stateful"
  })
  const last = await step("lock again", () => mine.lock(path))
  await step("handle of the dead context", async () => {
    const error = await refused(mine.setObjectSource(source, text(good), doomed.LOCK_HANDLE))
    assert.equal(error.err, 423)
  })
  await step("delete", async () => {
    await mine.deleteObject(path, last.LOCK_HANDLE)
    assert.equal((await refused(mine.getObjectSource(source))).err, 404)
  })
  await step("drop session", async () => {
    await mine.dropSession()
    const rows = await administer("GET", "/sm04")
    assert.ok(rows.every(row => row.user !== "DEVELOPER"))
  })
  await step("logout", async () => {
    await mine.logout()
    await other.login()
    await other.logout()
  })
}

for (const one of SUBJECTS) await life(one)
