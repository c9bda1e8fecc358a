// Graphile Worker. Default: `run` with nothing set but the address. Best: a large local queue and
// batched completion, as its own documentation on performance has it.

import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import pg from 'pg'

import { batch, config, count, drain, enqueue64, gate, latency, url, wants } from './measure.mjs'

const ENGINE = 'Graphile Worker'
const best = config === 'best'
const logger = new Logger(() => () => {})
const pool = new pg.Pool({ connectionString: url, max: best ? 64 : 10 })
const utils = await makeWorkerUtils({ pgPool: pool, logger })
await utils.migrate()

let handled = 0
const started = gate()
const taskList = {
  noop: () => {
    handled++
    started.pass()
  },
}

// For throughput; jobs that come one by one would wait for the batches.
const large = {
  worker: { concurrentJobs: 24, maxPoolSize: 26, localQueue: { size: 5000 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
}
const quick = { worker: { concurrentJobs: 24, maxPoolSize: 26 } }

async function worker(preset) {
  const runner = await run({
    connectionString: url,
    taskList,
    logger,
    noHandleSignals: true,
    ...(best ? { preset } : {}),
  })
  return () => runner.stop()
}

const fill = (n) => utils.addJobs(Array.from({ length: n }, () => ({ identifier: 'noop', payload: {} })))
const empty = () => pool.query('truncate graphile_worker._private_jobs')

if (wants('drain')) {
  const jobs = count(best ? 100_000 : 2000)
  for (let done = 0; done < jobs; done += 5000) await fill(Math.min(5000, jobs - done))
  await pool.query('vacuum analyze graphile_worker._private_jobs')
  const left = 'select not exists (select from graphile_worker._private_jobs) as over'
  const over = async () => (await pool.query(left)).rows[0].over
  await drain(ENGINE, { jobs, start: () => worker(large), handled: () => handled, over })
}
if (wants('enqueue64')) await enqueue64(ENGINE, () => utils.addJob('noop', {}))
if (wants('batch')) await batch(ENGINE, count(best ? 50_000 : 20_000), fill)
await empty()
if (wants('latency')) {
  const stop = await worker(quick)
  await latency(ENGINE, count(200), { submit: () => utils.addJob('noop', {}), nextStart: started.next })
  await stop()
}
await utils.release()
await pool.end()
