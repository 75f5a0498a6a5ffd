// The example of a TypeScript client, led step by step: each line of stdin is a command, each answer a line of stdout.
// usage: node steady.mjs URL FILE SILENCE_MS
import { createInterface } from "node:readline";
import { SteadyClient } from "./steady_client.ts";

const [url, file, silence] = process.argv.slice(2);
const heard = [];
const troubles = [];
const client = new SteadyClient(url, {
  file,
  silence: Number(silence),
  heard: (message) => heard.push(message.params.data),
  troubled: (error) => troubles.push(String(error)),
});
const commands = {
  call: async ({ name, args }) => (await client.call(name, args)).content[0].text,
  session: async () => await client.sessionId,
  heard: async () => heard,
  troubles: async () => troubles,
  close: async () => await client.close(),
  leave: async () => await client.leave(),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...more } = JSON.parse(line);
  const answer = await commands[command](more).then(
    (value) => ({ value: value ?? null }),
    (error) => ({ error: String(error) }),
  );
  console.log(JSON.stringify(answer));
}
process.exit(0);
