// Starts the built binary with the app, in a folder of its own.

import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// A debug build that makes its database on a busy machine; a start takes a second otherwise.
const READY_MS_MAX = 180_000
const STOP_MS_MAX = 30_000

async function freePort() {
  const server = createServer()
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

export class Server {
  static async create(provider) {
    const server = new Server()
    server.folder = mkdtempSync(join(tmpdir(), 'ferrobase-lovable-'))
    // PostgreSQL and sandboxes run as other users when we are root.
    chmodSync(server.folder, 0o755)
    writeFileSync(
      join(server.folder, 'ferrobase.toml'),
      `[ai.providers.imitation]
kind = "openai-chat"
url = "${provider.url}"
key = "sk-nobody"
free = true

[ai.roles.planner]
routes = ["imitation/planner"]

[ai.roles.coder]
routes = ["imitation/coder"]
`,
    )
    server.ports = ['--port', String(await freePort()), '--db-port', String(await freePort())]
    try {
      await server.start()
    } catch (error) {
      await server.remove()
      throw error
    }
    return server
  }

  async start() {
    const binary = process.env.FERROBASE_BIN
    if (!binary) throw new Error('FERROBASE_BIN must name the built binary')
    this.output = ''
    this.child = spawn(binary, ['dev', '--app', 'lovable', ...this.ports, '--json'], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', FERROBASE_INBOX__ENABLED: 'false' },
    })
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve({ code, signal })))
    this.child.stderr.on('data', (data) => (this.output += data))
    this.ready = await this.#untilReady()
    this.url = this.ready.api_url
  }

  #untilReady() {
    return new Promise((resolve, reject) => {
      const fail = (why) => {
        clearTimeout(timer)
        reject(new Error(`${why}; it said:\n${this.output}`))
      }
      const timer = setTimeout(() => fail('the server was not ready in time'), READY_MS_MAX)
      this.child.once('error', (error) => fail(error.message))
      this.ended.then(({ code, signal }) => fail(`the server ended (${code ?? signal})`))
      createInterface({ input: this.child.stdout }).on('line', (line) => {
        this.output += `${line}\n`
        try {
          const value = JSON.parse(line)
          if (value.api_url) {
            clearTimeout(timer)
            resolve(value)
          }
        } catch {
          // A line for people.
        }
      })
    })
  }

  /** As the kernel would on a crash: no handler runs. */
  async kill() {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async remove() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM')
      const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS_MAX)
      await this.ended
      clearTimeout(timer)
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}
