// E2B's official SDKs, unmodified, with their two addresses pointing at us.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { Sandbox as CodeSandbox } from '@e2b/code-interpreter'
import { NotFoundError, Sandbox } from 'e2b'
import { Server } from './server.js'

const ADA = '7d3c1f60-3333-4f5e-9a62-0f6a4f4b0a01'
let server, options, box

before(async () => {
  server = await Server.create()
  const made = execFileSync(
    process.env.FERROBASE_BIN,
    ['keys', 'create', 'e2b', '--role', 'authenticated', '--sub', ADA, '--scope', 'sessions'],
    { cwd: server.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const url = `${server.ready.api_url}/e2b`
  options = { apiKey: made.trim().split('\n').at(-1), apiUrl: url, sandboxUrl: url }
  // Nodes hear of new keys a moment later.
  await new Promise((resolve) => setTimeout(resolve, 1000))
  box = await Sandbox.create({ ...options, timeoutMs: 120_000 })
})

after(async () => {
  await box?.kill()
  await server?.remove()
})

test('files', async () => {
  await box.files.write('a/b.txt', 'hello')
  assert.equal(await box.files.read('a/b.txt'), 'hello')
  await box.files.write([
    { path: 'c.txt', data: 'c' },
    { path: 'd.bin', data: new Uint8Array([0, 255, 1]).buffer },
  ])
  assert.deepEqual([...(await box.files.read('d.bin', { format: 'bytes' }))], [0, 255, 1])
  assert.equal(await box.files.makeDir('e'), true)
  assert.equal(await box.files.makeDir('e'), false)
  await box.files.rename('c.txt', 'e/c.txt')
  const names = (await box.files.list('e')).map((entry) => entry.name)
  assert.deepEqual(names, ['c.txt'])
  await box.files.remove('e')
  assert.equal(await box.files.exists('e/c.txt'), false)
  await assert.rejects(box.files.read('e/c.txt'), NotFoundError)
})

test('commands', async () => {
  const heard = []
  const done = await box.commands.run('echo out; echo err >&2', { onStdout: (text) => heard.push(text) })
  assert.deepEqual([done.exitCode, done.stdout, done.stderr], [0, 'out\n', 'err\n'])
  assert.equal(heard.join(''), 'out\n')
  await assert.rejects(box.commands.run('exit 3'), { exitCode: 3 })
  const sleeper = await box.commands.run('sleep 60', { background: true })
  assert.ok((await box.commands.list()).some((process) => process.pid === sleeper.pid))
  assert.equal(await box.commands.kill(sleeper.pid), true)
})

test('life', async () => {
  assert.equal(await box.isRunning(), true)
  const before = await Sandbox.getInfo(box.sandboxId, options)
  await box.setTimeout(600_000)
  const later = await Sandbox.getInfo(box.sandboxId, options)
  assert.ok(later.endAt - before.endAt > 300_000)
  const other = await Sandbox.connect(box.sandboxId, options)
  assert.equal((await other.commands.run('echo again')).stdout, 'again\n')
  const one = await Sandbox.create({ ...options, timeoutMs: 60_000 })
  assert.equal(await one.kill(), true)
  assert.equal(await one.isRunning(), false)
})

test('code', async () => {
  const sandbox = await CodeSandbox.create({ ...options, timeoutMs: 120_000 })
  try {
    await sandbox.runCode('x = 1')
    assert.equal((await sandbox.runCode('x + 1')).text, '2')
    assert.equal((await sandbox.runCode('nope')).error.name, 'NameError')
  } finally {
    await sandbox.kill()
  }
})
