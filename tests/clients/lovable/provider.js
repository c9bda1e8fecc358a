// A provider at its wire: chat completions as server-sent events. It takes its time, knows
// idempotency keys, and counts what it was paid for: calls with a key of their own.

import { createServer } from 'node:http'

const APPS = [
  (n) => `import { useState } from 'react'

export default function App() {
  const [count, setCount] = useState(0)
  return (
    <main className="card">
      <h1>Counter</h1>
      <p>Version ${n}</p>
      <output>{count}</output>
      <button onClick={() => setCount(count + 1)}>Add one</button>
    </main>
  )
}
`,
]

const CSS = (colour) => `:root { font-family: system-ui, sans-serif; color: #222; background: #f6f4f1; }
body { margin: 0; display: grid; place-items: center; min-height: 100vh; }
.card { background: #fff; padding: 32px 48px; border-radius: 16px; box-shadow: 0 8px 32px #0002; text-align: center; }
output { display: block; font-size: 56px; font-weight: 700; margin: 12px; color: ${colour}; }
button { font: inherit; border: 0; border-radius: 8px; padding: 10px 18px; background: ${colour}; color: #fff; }
`

export class Provider {
  /** By key: what was answered. The same key is the same answer, and the same bill. */
  answers = new Map()
  /** Every request: role, key. */
  requests = []
  /** Milliseconds between two pieces. */
  pace = 8
  /** What the next coder's answers do to package.json. */
  packageJson = ''
  #waiting = []
  #held = null

  static async start() {
    const provider = new Provider()
    provider.server = createServer((request, response) => void provider.#answer(request, response))
    await new Promise((done) => provider.server.listen(0, '127.0.0.1', done))
    provider.url = `http://127.0.0.1:${provider.server.address().port}/v1`
    return provider
  }

  stop() {
    this.go()
    this.server.closeAllConnections()
    return new Promise((done) => this.server.close(done))
  }

  /** Answers of this role stop in their middle. Resolves when one has. */
  hold(role) {
    this.#held = role
    return new Promise((done) => this.#waiting.push({ reached: done }))
  }

  go() {
    this.#held = null
    for (const one of this.#waiting.splice(0)) one.go?.()
  }

  get paid() {
    return this.answers.size
  }

  asked(role) {
    return this.requests.filter((one) => one.role === role).length
  }

  #text(role) {
    const before = [...this.answers.values()].filter((one) => one.role === role).length
    const n = before + 1
    if (role === 'planner') {
      return `A counter in one card.\n\n- A large number in the middle\n- A button that adds one\n- Version ${n}, in ${n === 1 ? 'blue' : 'green'}`
    }
    return JSON.stringify({
      plan: `Version ${n}`,
      files: [
        { path: 'src/App.tsx', content: APPS[0](n) },
        { path: 'src/index.css', content: CSS(n === 1 ? 'rgb(15, 102, 172)' : 'rgb(29, 114, 62)') },
      ],
      deleted_files: [],
      package_json: this.packageJson,
    })
  }

  async #answer(request, response) {
    let body = ''
    for await (const piece of request) body += piece
    const asked = JSON.parse(body)
    const key = request.headers['idempotency-key']
    const role = asked.model
    this.requests.push({ role, key })
    if (!key) {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ error: { message: 'this provider wants an idempotency key' } }))
      return
    }
    const known = this.answers.get(key) ?? { role, text: this.#text(role) }
    this.answers.set(key, known)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (data) => response.write(`data: ${JSON.stringify(data)}\n\n`)
    const chunk = (delta, finish = null) =>
      send({
        id: `chatcmpl-${key}`,
        object: 'chat.completion.chunk',
        created: 0,
        model: role,
        choices: [{ index: 0, delta, finish_reason: finish }],
      })
    chunk({ role: 'assistant', content: '' })
    const pieces = known.text.match(/[\s\S]{1,24}/g)
    for (const [n, piece] of pieces.entries()) {
      if (response.destroyed) return
      if (this.#held === role && n >= pieces.length / 2) await this.#wait()
      chunk({ content: piece })
      await new Promise((done) => setTimeout(done, this.pace))
    }
    chunk({}, 'stop')
    const usage = { prompt_tokens: 100, completion_tokens: pieces.length * 6, total_tokens: 100 + pieces.length * 6 }
    send({ id: `chatcmpl-${key}`, object: 'chat.completion.chunk', created: 0, model: role, choices: [], usage })
    response.end('data: [DONE]\n\n')
  }

  #wait() {
    for (const one of this.#waiting) one.reached?.()
    return new Promise((go) => this.#waiting.push({ go }))
  }
}
