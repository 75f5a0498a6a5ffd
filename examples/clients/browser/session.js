// A session at an MCP server, kept by a page: for servers that speak the dialect in which GET opens the session.
//
// store       the id lies in sessionStorage: it goes with the tab, and no other site can read it
// resume      a reloaded page, or a broken stream, names the id and hears `session-resumed`
// reconnect   with waits that double, up to half a minute, each a little different
// watch       a stream that has been silent for two keep-alive intervals is dead
// expire      `session-expired`, or 404 to a request, means: nothing was done, open another session
// clean up    leave() ends the session
//
// EventSource would put the id into the address, where logs keep it; fetch sends it in a header.

const KEY = "mcp-session-id";
const VERSION = "2025-06-18";

export class Session {
  #url;
  #silence;
  #tell;
  #stream = new AbortController();
  #opened = Promise.withResolvers();
  #number = 0;

  // `tell(name, data)` is called with every event: those of the server, and `connecting`, `waiting` and `left` of ours.
  constructor(url, { silence = 30_000, tell = () => {} } = {}) {
    this.#url = url;
    this.#silence = silence;
    this.#tell = tell;
  }

  get id() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  // Keep a stream open until leave() is called.
  async stay() {
    let wait = 500;
    while (!this.#stream.signal.aborted) {
      this.#tell("connecting", { session_id: this.id });
      try {
        await this.#listen(() => (wait = 500));
      } catch (error) {
        if (this.#stream.signal.aborted) break;
        this.#tell("waiting", { reason: error.message, milliseconds: wait });
      }
      await new Promise((next) => setTimeout(next, wait * (0.5 + Math.random() / 2)));
      wait = Math.min(2 * wait, 30_000);
    }
  }

  // Call a tool; return its result.
  async call(name, args) {
    const request = { jsonrpc: "2.0", id: ++this.#number, method: "tools/call", params: { name, arguments: args } };
    for (;;) {
      const id = this.id || (await this.#opened.promise);
      const response = await fetch(this.#url, {
        method: "POST",
        headers: this.#headers(id, { Accept: "application/json", "Content-Type": "application/json" }),
        body: JSON.stringify(request),
      });
      if (response.status === 404) {
        this.#forget(id);
        continue;
      }
      const answer = await response.json();
      if (answer.error) throw new Error(answer.error.message);
      return answer.result;
    }
  }

  // End the session.
  async leave() {
    this.#stream.abort();
    const id = this.id;
    if (id) await fetch(this.#url, { method: "DELETE", headers: this.#headers(id) });
    this.#forget(id);
    this.#tell("left", {});
  }

  async #listen(alive) {
    const silent = new AbortController();
    const signal = AbortSignal.any([silent.signal, this.#stream.signal]);
    let watch = 0;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => silent.abort(new Error("the stream fell silent")), this.#silence);
    };
    heard();
    try {
      const headers = this.#headers(this.id, { Accept: "text/event-stream" });
      const response = await fetch(this.#url, { headers, signal });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      for await (const event of events(response.body, heard)) {
        alive();
        this.#take(event);
      }
    } finally {
      clearTimeout(watch);
    }
    throw new Error("the stream ended");
  }

  #take({ name, data }) {
    const fields = name === "endpoint" ? { endpoint: data } : JSON.parse(data || "{}");
    if (name === "session" || name === "session-resumed") {
      sessionStorage.setItem(KEY, fields.session_id);
      this.#opened.resolve(fields.session_id);
    }
    if (name === "session-expired") this.#forget(this.id);
    this.#tell(name, fields);
  }

  #forget(id) {
    if (this.id !== id) return;
    sessionStorage.removeItem(KEY);
    this.#opened = Promise.withResolvers();
  }

  #headers(id, more = {}) {
    return { "MCP-Protocol-Version": VERSION, ...(id && { "X-Session-ID": id }), ...more };
  }
}

// Yield the events of a stream; `heard` is called for every piece, comments too.
async function* events(body, heard) {
  let text = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
      const data = field("data").join("\n");
      if (data) yield { name: field("event")[0] ?? "message", data };
    }
  }
}
