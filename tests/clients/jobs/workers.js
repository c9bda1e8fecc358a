// Worker processes in three languages. They end with the suite, and die when a test says so.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const READY_MS_MAX = 60_000

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const COMMANDS = {
  typescript: () => [process.execPath, [here('worker.ts')]],
  python: () => [process.env.PYTHON ?? 'python3', [here('worker.py')]],
  rust: () => [process.env.RUST_WORKER, []],
}

// Whatever a test that failed has left running.
const started = []
export const killAll = () => Promise.all(started.map((worker) => worker.kill()))

export class WorkerProcess {
  lines = []
  waiting = []

  static async start(language, environment) {
    const worker = new WorkerProcess()
    const [command, args] = COMMANDS[language]()
    if (!command) throw new Error('RUST_WORKER must name the worker that was built')
    worker.child = spawn(command, args, {
      env: { ...process.env, NODE_NO_WARNINGS: '1', PYTHONDONTWRITEBYTECODE: '1', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    worker.ended = new Promise((resolve) => worker.child.once('close', (code, signal) => resolve({ code, signal })))
    started.push(worker)
    let errors = ''
    worker.child.stderr.on('data', (data) => (errors += data))
    createInterface({ input: worker.child.stdout }).on('line', (line) => {
      worker.lines.push(line)
      for (const one of worker.waiting) one()
    })
    const early = worker.ended.then(() => {
      throw new Error(`the ${language} worker ended:\n${errors}`)
    })
    early.catch(() => undefined)
    await Promise.race([worker.said('ready'), early])
    return worker
  }

  // The first line that begins like this, said before or to come.
  async said(start) {
    const until = Date.now() + READY_MS_MAX
    for (;;) {
      const line = this.lines.find((one) => one.startsWith(start))
      if (line) return line
      if (Date.now() > until) throw new Error(`the worker has not said: ${start}`)
      await new Promise((resolve) => {
        this.waiting.push(resolve)
        setTimeout(resolve, 1000)
      })
    }
  }

  async kill() {
    this.child.kill('SIGKILL')
    return this.ended
  }

  async stop() {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20_000)
    const end = await this.ended
    clearTimeout(timer)
    return end
  }
}
