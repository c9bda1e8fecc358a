// A provider that costs money: it counts what it was paid for, and answers when the test lets it.

import { createServer } from 'node:http'

export class Provider {
  // Charges by idempotency key: the same key is the same charge.
  charges = new Map()
  // Renders that were begun; each costs, and there is no key that would make two one.
  renders = new Map()
  held = []
  waiting = []
  holding = false

  static async create() {
    const provider = new Provider()
    provider.server = createServer((request, response) => void provider.#answer(request, response))
    await new Promise((resolve) => provider.server.listen(0, '127.0.0.1', resolve))
    provider.url = `http://127.0.0.1:${provider.server.address().port}`
    return provider
  }

  // From now on calls are taken and not answered.
  hold() {
    this.holding = true
  }

  // Answers whoever waits, and all who come.
  release() {
    this.holding = false
    for (const answer of this.held.splice(0)) answer()
  }

  // The next call that is held.
  async called() {
    if (this.held.length === 0) await new Promise((resolve) => this.waiting.push(resolve))
  }

  async close() {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  async #answer(request, response) {
    const said = () => response.writeHead(200, { 'content-type': 'application/json' })
    if (request.url === '/charge') {
      const key = request.headers['idempotency-key']
      const charge = this.charges.get(key) ?? { id: `charge-${this.charges.size + 1}`, calls: 0 }
      charge.calls += 1
      this.charges.set(key, charge)
      await this.#turn()
      return said().end(JSON.stringify({ id: charge.id }))
    }
    if (request.method === 'POST' && request.url === '/renders') {
      const id = `render-${this.renders.size + 1}`
      this.renders.set(id, {})
      return said().end(JSON.stringify({ id }))
    }
    const id = request.url.replace('/renders/', '')
    if (!this.renders.has(id)) return response.writeHead(404).end()
    await this.#turn()
    said().end(JSON.stringify({ id, url: `https://cdn.example/${id}.mp4` }))
  }

  #turn() {
    if (!this.holding) return Promise.resolve()
    return new Promise((resolve) => {
      this.held.push(resolve)
      for (const called of this.waiting.splice(0)) called()
    })
  }
}
