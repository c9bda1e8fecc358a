// The wires of `crates/models` against two doubles that others wrote: aimock
// answers for six protocols, llmock breaks answers on demand and judges how the
// client coped. `probe.rs` is the client. Start at the tests.

import { spawn } from "node:child_process";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";

import { LLMock } from "@copilotkit/aimock";

const PROBE = process.env.MODELS_PROBE;
const LLMOCK = process.env.LLMOCK;

async function probe(order) {
  const child = spawn(PROBE, [], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(order));
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const [code] = await once(child, "close");
  assert.equal(code, 0);
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

const user = (text) => ({ role: "user", parts: [{ type: "text", data: text }] });
const of = (lines, type) => lines.filter((line) => line.type === type).map((line) => line.data);
const tool = {
  name: "get_weather",
  description: "the weather of a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

describe("aimock", () => {
  const mock = new LLMock({ port: 0, chunkSize: 3 });
  const wires = () => [
    { kind: "openai-chat", url: `${mock.url}/v1`, model: "gpt-4o" },
    { kind: "openai-responses", url: `${mock.url}/v1`, model: "gpt-4o" },
    { kind: "anthropic", url: `${mock.url}/v1`, model: "claude-sonnet-4-5" },
    { kind: "gemini", url: `${mock.url}/v1beta`, model: "gemini-2.5-flash" },
    { kind: "openrouter", url: `${mock.url}/api/v1`, model: "openai/gpt-4o" },
  ];

  before(async () => {
    mock.onMessage("greet me", { content: "Grüße, 🦀 und 世界!", usage: { prompt_tokens: 11, completion_tokens: 7, input_tokens: 11, output_tokens: 7, promptTokenCount: 11, candidatesTokenCount: 7 } });
    mock.onMessage("think hard", { content: "42", reasoning: "six times seven", reasoningSignature: "c2ln" });
    mock.onMessage("weather?", { toolCalls: [{ name: "get_weather", arguments: { city: "Köln" } }, { name: "get_weather", arguments: { city: "Bonn" } }] });
    mock.onMessage("as json", { content: 'Sure:\n```json\n{"name": "x", "files": [{"path": "a"}, {"path": "b"}],}\n```' });
    mock.onMessage("be busy", { error: { message: "overloaded", type: "overloaded_error" }, status: 529 });
    mock.onMessage("be wrong", { error: { message: "no", type: "invalid_request_error" }, status: 400 });
    mock.onEmbedding(/.*/, { embedding: [0.5, -0.25, 1] });
    await mock.start();
  });
  after(() => mock.stop());

  test("texts arrive whole, with usage and an end", async () => {
    for (const wire of wires()) {
      const lines = await probe({ ...wire, request: { messages: [user("greet me")] } });
      assert.equal(of(lines, "text").join(""), "Grüße, 🦀 und 世界!", wire.kind);
      const usage = of(lines, "usage").at(-1);
      assert.deepEqual([usage.input, usage.output], [11, 7], wire.kind);
      assert.deepEqual(of(lines, "end"), ["end"], wire.kind);
      assert.equal(lines.at(-1).skipped, 0, wire.kind);
    }
  });

  test("tool calls", async () => {
    for (const wire of wires()) {
      const lines = await probe({ ...wire, request: { messages: [user("weather?")], tools: [tool] } });
      assert.deepEqual(of(lines, "tool_start").map((it) => it.name), ["get_weather", "get_weather"], wire.kind);
      assert.deepEqual(of(lines, "tool_end").map((it) => it.args), [{ city: "Köln" }, { city: "Bonn" }], wire.kind);
      assert.deepEqual(of(lines, "end"), ["tool_use"], wire.kind);
    }
  });

  test("reasoning", async () => {
    for (const wire of wires()) {
      const lines = await probe({ ...wire, request: { messages: [user("think hard")] } });
      assert.equal(of(lines, "reasoning").join(""), "six times seven", wire.kind);
      assert.equal(of(lines, "text").join(""), "42", wire.kind);
      if (wire.kind === "anthropic") {
        assert.deepEqual(of(lines, "reasoning_signature"), ["anthropic:c2ln"]);
      }
    }
  });

  test("an answer in prose, fences and commas still has its shape", async () => {
    const schema = {
      name: "changes",
      strict: true,
      schema: {
        type: "object",
        required: ["name", "files"],
        properties: {
          name: { type: "string" },
          files: { type: "array", items: { type: "object", required: ["path"], properties: { path: { type: "string" } } } },
        },
      },
    };
    for (const wire of wires()) {
      const lines = await probe({ ...wire, request: { messages: [user("as json")], schema } });
      const partials = of(lines, "partial");
      assert.deepEqual(partials.at(-1), { value: { name: "x", files: [{ path: "a" }, { path: "b" }] }, complete: [""], done: true }, wire.kind);
      assert.ok(partials.some((it) => it.complete.includes("/files/0") && !it.done), wire.kind);
    }
  });

  test("errors are told apart", async () => {
    for (const wire of wires()) {
      const busy = await probe({ ...wire, request: { messages: [user("be busy")] } });
      assert.deepEqual(busy.filter((it) => it.error).map((it) => [it.error, it.again]), [["overloaded", true], ["overloaded", true], ["overloaded", false]], wire.kind);
      const wrong = await probe({ ...wire, request: { messages: [user("be wrong")] } });
      assert.deepEqual(wrong.filter((it) => it.error).map((it) => [it.error, it.again]), [["bad_request", false]], wire.kind);
    }
  });

  test("embeddings", async () => {
    const lines = await probe({ ...wires()[0], model: "text-embedding-3-small", embed: ["a", "b"] });
    assert.deepEqual(lines[0].vectors, [[0.5, -0.25, 1], [0.5, -0.25, 1]]);
  });
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

describe("llmock", () => {
  let url;
  let child;
  const wires = () => [
    { kind: "openai-chat", url: `${url}/v1`, model: "gpt-4o" },
    { kind: "openai-responses", url: `${url}/v1`, model: "gpt-4o" },
    { kind: "anthropic", url: `${url}/anthropic/v1`, model: "claude-sonnet-4-5" },
    { kind: "gemini", url: `${url}/gemini/v1beta`, model: "gemini-2.5-flash" },
  ];

  before(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    child = spawn(LLMOCK, ["serve", "--port", String(port), "--log-level", "warning"], { stdio: ["ignore", "inherit", "inherit"] });
    for (let tries = 0; ; tries += 1) {
      const up = await fetch(`${url}/_llmock/verdict`).then((it) => it.ok, () => false);
      if (up) return;
      assert.ok(tries < 600 && child.exitCode === null, "llmock starts");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
  after(() => child?.kill());

  // Each scenario on each wire; the question names both, so that the double
  // does not take two calls for one.
  async function under(behaviors, wire, more = {}) {
    await fetch(`${url}/_llmock/scenario`, { method: "DELETE" });
    const queued = await fetch(`${url}/_llmock/scenario`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ behaviors }),
    });
    assert.equal(queued.status, 201, await queued.clone().text());
    const text = `${JSON.stringify(behaviors)} ${wire.kind}`;
    return probe({ ...wire, request: { messages: [user(text)] }, ...more });
  }

  test("every fault is seen, and what may be tried again is", async () => {
    const faults = [
      [[{ type: "fail", status: 429, retry_after: 1 }], "rate_limited", true],
      [[{ type: "fail", status: 503 }], "overloaded", true],
      [[{ type: "fail", status: 500 }, { type: "fail", status: 500 }], "provider_error", true],
      [[{ type: "fail", status: 400 }], "bad_request", false],
      [[{ type: "fail", status: 401 }], "provider_auth", false],
      [[{ type: "stream_fault", kind: "truncate", after_chunks: 2 }], "truncated", true],
      [[{ type: "stream_fault", kind: "disconnect", after_chunks: 2 }], "truncated", true],
      [[{ type: "stream_fault", kind: "malformed", after_chunks: 2 }], "provider_protocol", true],
    ];
    for (const wire of wires()) {
      for (const [behaviors, code, again] of faults) {
        const lines = await under(behaviors, wire);
        const errors = lines.filter((it) => it.error);
        const where = `${wire.kind} ${JSON.stringify(behaviors)} ${JSON.stringify(lines)}`;
        assert.deepEqual(errors.map((it) => [it.error, it.again]), behaviors.map(() => [code, again]), where);
        assert.equal(of(lines, "end").length, again ? 1 : 0, where);
      }
    }
  });

  test("a stall is not sat through", async () => {
    for (const wire of wires()) {
      const stall = [{ type: "stream_fault", kind: "stall", after_chunks: 2, stall_seconds: 20 }];
      const lines = await under(stall, wire, { idle: 1500 });
      assert.deepEqual(lines.filter((it) => it.error).map((it) => it.error), ["timeout"], JSON.stringify(lines));
    }
  });

  test("the double's verdict on us", async () => {
    const verdict = await (await fetch(`${url}/_llmock/verdict`)).json();
    assert.ok(verdict.attempts > 50, JSON.stringify(verdict).slice(0, 500));
    assert.equal(verdict.passed, true, JSON.stringify(verdict.findings));
    // Two of its warnings are about tests above: a stall that is told as a
    // timeout, and a short answer that had been sent whole before we could stop
    // it at its broken chunk and try again.
    const known = ["gave_up", "malformed_chunk_ignored"];
    assert.deepEqual(verdict.findings.filter((it) => !known.includes(it.code)), []);
  });
});
