// The worker in TypeScript: a process that the suite starts, and kills.

import { NonRetryable, RetryAfter, Worker } from '../../../sdk/typescript/ferrobase-worker.ts'

declare const process: {
  env: Record<string, string>
  once(signal: string, run: () => void): void
  exit(code: number): never
  stdout: { write(text: string): void }
}

const { URL: url = '', KEY: key = '', PROVIDER: provider = '', TYPES: types = '' } = process.env
const worker = new Worker({ url, key, leaseMs: 3000, concurrency: 8, codeVersion: 'ts-1' })
const on = <Input, Output>(type: string, handler: Parameters<typeof worker.on<Input, Output>>[1]): void => {
  if (types === '' || types.split(',').includes(type)) worker.on<Input, Output>(type, handler)
}

interface Named {
  id: string
}
const call = async (path: string, init: RequestInit = {}): Promise<Named> =>
  (await (await fetch(provider + path, init)).json()) as Named

on<{ scenes: string[] }, { by: string; scenes: unknown[] }>('storyboard', async (job) => {
  job.log('drawing', { scenes: job.input.scenes.length })
  const specs = job.input.scenes.map((scene) => ({ type: 'scene', name: scene, input: { scene } }))
  const scenes = await job.children('scenes', specs, { width: 2 })
  return { by: 'typescript', scenes: scenes.map((scene) => scene.output) }
})

on<{ prompt: string }, { by: string; published: boolean }>('publish', async (job) => {
  const form = { type: 'object', properties: { yes: { type: 'boolean' } }, required: ['yes'] }
  const answer = await job.approval<{ yes: boolean }>('publish?', { prompt: job.input.prompt, form })
  return { by: 'typescript', published: answer?.yes ?? false }
})

on<null, string>('charge', async (job) =>
  job.step('pay', async (step) => {
    const charge = await call('/charge', { method: 'POST', headers: { 'idempotency-key': step.token } })
    return charge.id
  }),
)

on<null, { render: string; runs: number }>('render', async (job) => {
  const render = await job.step(
    'render',
    async (step) => {
      const begun = (step.handle as string | undefined) ?? (await call('/renders', { method: 'POST' })).id
      if (step.handle === undefined) await step.keep(begun)
      step.cost(0.25)
      return (await call(`/renders/${begun}`)).id
    },
    { unit: 'usd', estimate: 0.5, inDoubt: 'fail' },
  )
  return { render, runs: job.claimed.epoch }
})

on<null, string>('once', async (job) => {
  // A provider without keys and handles: after a crash nobody knows, and nobody pays again.
  return job.step('pay', async (step) => (await call('/charge', { method: 'POST', headers: { 'idempotency-key': `once-${step.token}-${Math.random()}` } })).id, {
    inDoubt: 'fail',
  })
})

on<null, string>('endless', async (job) => {
  job.log('at it')
  await new Promise((resolve) => job.signal.addEventListener('abort', resolve))
  // Seen by the suite: whoever is told to stop does so, and what it says then no longer counts.
  process.stdout.write(`stopped ${job.id} ${(job.signal.reason as { why: string }).why}\n`)
  return 'too late'
})

on<null, number>('cut-off', async (job) => {
  if (job.claimed.epoch === 1) {
    await new Promise((resolve) => job.signal.addEventListener('abort', resolve))
    process.stdout.write(`stopped ${job.id} ${(job.signal.reason as { why: string }).why}\n`)
  }
  return job.claimed.epoch
})

on<{ fail: 'once' | 'for good' | 'later' }, number>('flaky', (job) => {
  if (job.input.fail === 'for good') throw new NonRetryable('never', 'hopeless')
  if (job.attempt === 1) throw job.input.fail === 'later' ? new RetryAfter(50, 'busy') : new Error('not yet')
  return job.attempt
})

on<null, unknown>('nap', async (job) => {
  await job.sleep('nap', 50)
  return job.waitSignal('wake', { timeoutMs: 60_000 })
})

process.once('SIGTERM', () => void worker.stop().then(() => process.exit(0)))
process.stdout.write('ready\n')
await worker.run()
