// Starts the built binary on a copy of the shared project, and mints tokens with its secret.
// The suites end what they start; nothing here outlives a test run.

import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

// A debug build that makes its database on a busy machine; a start takes a second otherwise.
const READY_MS_MAX = 120_000
const STOP_MS_MAX = 30_000

const project = fileURLToPath(new URL('../project', import.meta.url))

async function freePort() {
  const server = createServer()
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

export class Server {
  static async create() {
    const server = new Server()
    server.folder = mkdtempSync(join(tmpdir(), 'ferrobase-js-'))
    // PostgreSQL runs as another user when we are root, and has to get through this folder.
    chmodSync(server.folder, 0o755)
    cpSync(project, server.folder, { recursive: true })
    server.ports = ['--port', String(await freePort()), '--db-port', String(await freePort())]
    try {
      await server.start()
    } catch (error) {
      await server.remove()
      throw error
    }
    return server
  }

  // Resolves with what `dev --json` prints when it is ready, also kept in `ready`.
  async start() {
    const binary = process.env.FERROBASE_BIN
    if (!binary) throw new Error('FERROBASE_BIN must name the built binary')
    this.output = ''
    this.child = spawn(binary, ['dev', ...this.ports, '--json'], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    })
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve({ code, signal })))
    this.child.stderr.on('data', (data) => (this.output += data))
    this.ready = await this.#untilReady()
    return this.ready
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
        const value = parse(line)
        if (value?.api_url) {
          clearTimeout(timer)
          resolve(value)
        }
      })
    })
  }

  // As the kernel would on a crash: no handler runs.
  async kill() {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async stop() {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS_MAX)
    const end = await this.ended
    clearTimeout(timer)
    return end
  }

  async remove() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  // A user's token, as the sign-in that comes later will mint it.
  token(user, claims = {}) {
    const now = Math.floor(Date.now() / 1000)
    const payload = {
      sub: user.id,
      email: user.email,
      role: 'authenticated',
      aud: 'authenticated',
      iat: now,
      exp: now + 3600,
      ...claims,
    }
    return sign(payload, this.ready.jwt_secret)
  }
}

export function sign(payload, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(payload)}`
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`
}

function parse(line) {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
