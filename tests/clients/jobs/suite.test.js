// One graph of jobs, submitted by the official client, run by workers in three languages, watched by
// several people; then everything that can happen to it on the way.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'

import { createClient } from '@supabase/supabase-js'

import { Client } from '../../../sdk/typescript/ferrobase-worker.ts'
import { Server } from '../js/server.js'
import { Provider } from './provider.js'
import { Wire } from './wire.js'
import { WorkerProcess, killAll } from './workers.js'

const ada = { id: randomUUID(), email: 'ada@example.com' }
const bob = { id: randomUUID(), email: 'bob@example.com' }

let server, provider, workers
let asAda, asBob, adas, bobs, service

// Waits for what an event or another process brings about; bounded, so that a failure is told.
async function until(what, look, ms = 60_000) {
  const end = Date.now() + ms
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) throw new Error(`${what}: it has not come to that`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

function good({ data, error, status }) {
  assert.equal(error, null, `status ${status}: ${JSON.stringify(error)}`)
  return data
}

async function finished(client, id, state = 'completed') {
  const job = await client.finished(id, { signal: AbortSignal.timeout(60_000) })
  assert.equal(job.state, state, JSON.stringify(job))
  return job
}

// A worker of one's own, for a type that the shared ones do not take.
const own = (types, language = 'typescript', url = server.ready.api_url) =>
  WorkerProcess.start(language, {
    URL: url,
    KEY: server.ready.service_role_key,
    PROVIDER: provider.url,
    TYPES: types,
  })

before(async () => {
  server = await Server.create()
  provider = await Provider.create()
  const { api_url: url, anon_key: anon, service_role_key: key } = server.ready
  const as = (user) => createClient(url, anon, { accessToken: async () => server.token(user) })
  const client = (user) => new Client({ url, key: anon, token: () => server.token(user) })
  ;[asAda, asBob, adas, bobs] = [as(ada), as(bob), client(ada), client(bob)]
  service = new Client({ url, key })
  const environment = { URL: url, KEY: key, PROVIDER: provider.url }
  const shared = 'storyboard,publish,endless,flaky,nap'
  const python = 'script,scene,py-nap,py-children,py-approval,py-flaky,py-endless'
  workers = await Promise.all([
    WorkerProcess.start('typescript', { ...environment, TYPES: shared }),
    WorkerProcess.start('python', { ...environment, TYPES: python }),
    WorkerProcess.start('rust', environment),
  ])
})

after(async () => {
  await killAll()
  await provider?.close()
  await server?.remove()
})

describe('a graph of jobs', () => {
  const film = [
    { ref: 'film', type: 'film', group: true, name: 'film' },
    { ref: 'script', parent_ref: 'film', type: 'script', name: 'script', input: { title: 'dune' } },
    { ref: 'board', parent_ref: 'film', type: 'storyboard', name: 'board', input: { scenes: ['one', 'two', 'three'] }, depends_on: [{ ref: 'script' }] },
    { ref: 'voice', parent_ref: 'film', type: 'voice', name: 'voice', depends_on: [{ ref: 'script' }] },
    { ref: 'cut', parent_ref: 'film', type: 'cut', name: 'cut', depends_on: [{ ref: 'board' }, { ref: 'voice' }] },
  ]
  let root, made

  before(async () => {
    made = good(await asAda.schema('work').rpc('submit', { jobs: film }))
    root = made[0].id
  })

  it('runs on workers in three languages', async () => {
    await finished(adas, root)
    const { data: jobs } = await asAda.schema('work').from('jobs').select('name,type,state,output,owner').eq('root_id', root)
    const by = Object.fromEntries(jobs.map((job) => [job.name, job.output?.by]))
    const languages = { script: 'python', one: 'python', two: 'python', three: 'python', board: 'typescript', voice: 'rust', cut: 'rust' }
    for (const [name, language] of Object.entries(languages)) assert.equal(by[name], language, name)
    assert.ok(jobs.every((job) => job.owner === ada.id && job.state === 'completed'))
    const board = jobs.find((job) => job.name === 'board')
    assert.deepEqual(board.output.scenes.map((scene) => scene.scene), ['one', 'two', 'three'])
  })

  it('is told to everybody who watches, each event once and in order', async () => {
    const watch = async (client, leaveAfter) => {
      const seen = []
      let cut = 0
      for (;;) {
        let left = false
        for await (const event of client.events(root, { after: seen.at(-1)?.seq ?? 0 })) {
          seen.push(event)
          if (event.kind === 'job.completed' && event.job_id === root) return seen
          // Leaves in the middle and comes back, as a refresh does.
          if (leaveAfter && seen.length % leaveAfter === 0 && cut++ < 3) {
            left = true
            break
          }
        }
        assert.ok(left, 'the stream ended by itself')
      }
    }
    const [first, ...others] = await Promise.all([watch(adas), watch(adas, 5), watch(service, 7), watch(service)])
    assert.deepEqual(first.map((event) => event.seq), first.map((_, n) => n + 1))
    for (const other of others) assert.deepEqual(other, first)
    const kinds = new Set(first.map((event) => event.kind))
    for (const kind of ['job.queued', 'job.started', 'job.log', 'job.chunk', 'job.waiting', 'step.completed', 'job.completed']) {
      assert.ok(kinds.has(kind), kind)
    }
    const chunks = first.filter((event) => event.kind === 'job.chunk').map((event) => event.data.text)
    assert.deepEqual(chunks, ['part 1 ', 'part 2 ', 'part 3 '])
  })

  it('keeps its order: nothing starts before what it depends on is over', async () => {
    const seqs = new Map()
    for await (const event of adas.events(root)) {
      seqs.set(`${event.job_id} ${event.kind}`, event.seq)
      if (event.kind === 'job.completed' && event.job_id === root) break
    }
    const [, script, board, voice, cut] = made.map((job) => job.id)
    for (const [job, on] of [[board, script], [voice, script], [cut, board], [cut, voice]]) {
      assert.ok(seqs.get(`${job} job.started`) > seqs.get(`${on} job.completed`))
    }
  })

  it('is submitted over HTTP as well, and once for one idempotency key', async () => {
    const graph = [
      { ref: 'a', type: 'script', input: { title: 'x' } },
      { type: 'cut', depends_on: [{ ref: 'a' }] },
    ]
    const [, cut] = await adas.submit(graph)
    assert.equal((await finished(adas, cut.id)).output.by, 'rust')
    const spec = { type: 'script', input: { title: 'once' } }
    const idempotencyKey = randomUUID()
    const first = await adas.submit(spec, { idempotencyKey })
    const again = await adas.submit(spec, { idempotencyKey })
    assert.deepEqual([first.is_new, again.is_new, again.id], [true, false, first.id])
    await assert.rejects(adas.submit({ ...spec, input: { title: 'other' } }, { idempotencyKey }), { status: 409, code: 'conflict' })
  })

  it('shows others nothing', async () => {
    assert.deepEqual(good(await asBob.schema('work').from('jobs').select('id')), [])
    assert.deepEqual(good(await asBob.schema('work').from('events').select('seq')), [])
    const nothing = { status: 404 }
    await assert.rejects(bobs.get(root), nothing)
    await assert.rejects(bobs.tree(root), nothing)
    await assert.rejects(bobs.cancel(root), nothing)
    await assert.rejects(bobs.signal(root, 'x'), nothing)
    await assert.rejects(bobs.stream(root).next(), nothing)
    assert.equal((await asBob.schema('work').rpc('cancel', { job: root })).status, 404)
    await assert.rejects(bobs.submit([{ type: 'cut', depends_on: [{ id: root }] }]), nothing)
  })
})

describe('what happens on the way', () => {
  it('a person answers, and only by the form', async () => {
    const { id } = await adas.submit({ type: 'publish', input: { prompt: 'Shall it go out?' } })
    const approval = await until('the approval', async () => (await adas.approvals()).find((one) => one.job_id === id))
    assert.equal(approval.prompt, 'Shall it go out?')
    assert.equal((await adas.get(id)).waiting_on, 'approval')
    assert.ok(!(await bobs.approvals()).some((one) => one.id === approval.id))
    await assert.rejects(bobs.answer(approval.id, { yes: true }), { status: 404 })
    await assert.rejects(adas.answer(approval.id, { yes: 'perhaps' }), { status: 422 })
    await adas.answer(approval.id, { yes: true })
    assert.deepEqual((await finished(adas, id)).output, { by: 'typescript', published: true })
  })

  it('a running job is paused, resumed and cancelled, and its worker stops each time', async () => {
    const { id } = await adas.submit({ type: 'endless' })
    const running = () => until('it runs', async () => ((await adas.get(id)).state === 'running' ? true : undefined))
    await running()
    await adas.pause(id)
    assert.equal((await adas.get(id)).state, 'paused')
    await workers[0].said(`stopped ${id} pause`)
    await adas.resume(id)
    await running()
    await adas.cancel(id, 'enough')
    await workers[0].said(`stopped ${id} cancel`)
    const job = await adas.get(id)
    assert.deepEqual([job.state, job.output, job.failures], ['cancelled', null, 0])
    await assert.rejects(adas.signal(id, 'late'), { status: 409 })
  })

  it('a worker in Python stops as well', async () => {
    const { id } = await adas.submit({ type: 'py-endless' })
    await until('it runs', async () => ((await adas.get(id)).state === 'running' ? true : undefined))
    await adas.cancel(id)
    await workers[1].said(`stopped ${id} cancel`)
    assert.equal((await adas.get(id)).state, 'cancelled')
  })

  for (const type of ['nap', 'py-nap']) {
    it(`${type}: it sleeps, then waits for a signal, which may come early and twice`, async () => {
      const { id } = await adas.submit({ type })
      const idempotencyKey = randomUUID()
      await adas.signal(id, 'wake', { at: 7 }, { idempotencyKey })
      await adas.signal(id, 'wake', { at: 7 }, { idempotencyKey })
      assert.deepEqual((await finished(adas, id)).output, { at: 7 })
    })
  }

  for (const type of ['flaky', 'py-flaky']) {
    it(`${type}: failures are tried again, unless that is no use`, async () => {
      const submit = (fail) => adas.submit({ type, input: { fail }, backoff_ms: 20 })
      const [once, later, never] = await Promise.all(['once', 'later', 'for good'].map(submit))
      assert.equal((await finished(adas, once.id)).output, 2)
      assert.equal((await finished(adas, later.id)).output, 2)
      const failed = await finished(adas, never.id, 'failed')
      assert.deepEqual([failed.failures, failed.error.code, failed.error.message], [1, 'hopeless', 'never'])
    })
  }

  it('Python has children and approvals, too', async () => {
    const { id } = await adas.submit({ type: 'py-children' })
    assert.deepEqual((await finished(adas, id)).output, ['0', '1', '2', '3', '4'])
    const asks = await adas.submit({ type: 'py-approval' })
    const approval = await until('the approval', async () => (await adas.approvals()).find((one) => one.job_id === asks.id))
    await adas.answer(approval.id, false)
    assert.equal((await finished(adas, asks.id)).output, false)
  })
})

describe('kill -9 of a worker in a paid step', () => {
  // The worker dies while the provider works, and another one takes over when the lease has run out.
  async function killedIn(type) {
    let killed
    provider.hold()
    const first = await own(type)
    try {
      const { id } = await adas.submit({ type })
      await provider.called()
      killed = id
    } finally {
      await first.kill()
      provider.release()
    }
    const second = await own(type)
    return { id: killed, second }
  }

  it('with an idempotency key: two calls, one charge', async () => {
    const before = provider.charges.size
    const { id, second } = await killedIn('charge')
    const job = await finished(adas, id)
    await second.stop()
    const charges = [...provider.charges.values()].slice(before)
    assert.deepEqual(charges.map((charge) => [charge.id, charge.calls]), [[job.output, 2]])
    assert.deepEqual([job.crashes, job.failures], [1, 0])
  })

  it('with a handle: the work that was begun is waited for, and none is begun again', async () => {
    const { id, second } = await killedIn('render')
    const job = await finished(adas, id)
    await second.stop()
    assert.deepEqual([...provider.renders.keys()], [job.output.render])
    assert.equal(job.output.runs, 2)
    const [step] = good(await asAda.schema('work').from('steps').select('state,cost,reserved').eq('job_id', id))
    assert.deepEqual(step, { state: 'done', cost: 0.25, reserved: 0 })
  })

  it('without either: it says so and does not pay again', async () => {
    const before = provider.charges.size
    const { id, second } = await killedIn('once')
    const job = await finished(adas, id, 'failed')
    await second.stop()
    assert.equal(provider.charges.size, before + 1)
    assert.equal(job.error.code, 'in_doubt')
  })

  it('kill -9 of the server: workers wait, and go on with what they had', async () => {
    const { id } = await adas.submit({ type: 'nap' })
    await until('it waits', async () => ((await adas.get(id)).waiting_on === 'signal' ? true : undefined))
    await server.kill()
    await server.start()
    await adas.signal(id, 'wake', 'again')
    assert.equal((await finished(adas, id)).output, 'again')
    const [problems] = [await asAda.schema('work').from('jobs').select('id').eq('id', id).neq('state', 'completed')]
    assert.deepEqual(good(problems), [])
  })
})

describe('a worker that is cut off', () => {
  for (const [language, type] of [
    ['typescript', 'cut-off'],
    ['python', 'py-cut-off'],
  ]) {
    it(`stops before its lease is over, and another one has the job: ${language}`, async () => {
      const wire = await Wire.to(new URL(server.ready.api_url))
      const first = await own(type, language, wire.url)
      let second
      try {
        const { id } = await adas.submit({ type })
        await until('it runs', async () => ((await adas.get(id)).state === 'running' ? true : undefined))
        wire.cut()
        second = await own(type, language)
        await first.said(`stopped ${id} lost`)
        const job = await finished(adas, id)
        // The server may have given the job once more to the worker that asked before it was cut
        // off and never heard the answer; each such claim is a lease that ran out.
        assert.ok(job.output >= 2, `run ${job.output}`)
        assert.equal(job.crashes, job.output - 1)
      } finally {
        await Promise.all([first.kill(), second?.stop(), wire.close()])
      }
    })
  }
})

describe('an orderly end', () => {
  it('a worker that is told to stop gives back what it has, and nothing counts as a failure', async () => {
    const worker = await own('charge')
    provider.hold()
    const { id } = await adas.submit({ type: 'charge' })
    await provider.called()
    const stopped = worker.stop()
    provider.release()
    await stopped
    const job = await finished(adas, id)
    assert.deepEqual([job.failures, job.crashes], [0, 0])
  })
})
