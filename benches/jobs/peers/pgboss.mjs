// pg-boss. Default: one worker that polls every two seconds. Best: large batches that follow each
// other at once for throughput, notifications for latency, and none of them while enqueuing:
// a notification in the transaction that writes costs it three quarters of its rate.

import pg from 'pg'
import { PgBoss } from 'pg-boss'

import { batch, config, count, drain, enqueue64, gate, latency, url, wants } from './measure.mjs'

const ENGINE = 'pg-boss'
const best = config === 'best'
const boss = new PgBoss({ connectionString: url, ...(best ? { max: 64, useListenNotify: true } : {}) })
boss.on('error', (error) => {
  throw error
})
await boss.start()
await boss.createQueue('noop')
await boss.createQueue('quick', best ? { notify: true } : {})

let handled = 0
const started = gate()
async function handler(jobs) {
  handled += jobs.length
  started.pass()
}

const fill = (n) => boss.insert('noop', Array.from({ length: n }, () => ({ data: {} })))
const pool = new pg.Pool({ connectionString: url, max: 1 })

if (wants('drain')) {
  // What polls every two seconds does half a job a second: five are enough to see it.
  const jobs = best ? count(100_000) : 5
  for (let done = 0; done < jobs; done += 5000) await fill(Math.min(5000, jobs - done))
  await pool.query('vacuum analyze')
  const left = `select not exists (select from pgboss.job where name = 'noop' and state < 'completed') as over`
  const over = async () => (await pool.query(left)).rows[0].over
  const options = best ? { batchSize: 1000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 } : {}
  const start = async () => {
    for (let n = 0; n < (best ? 2 : 1); n++) await boss.work('noop', options, handler)
    return () => boss.offWork('noop')
  }
  await drain(ENGINE, { jobs, start, handled: () => handled, over, limit: 12_000 })
}
if (wants('enqueue64')) await enqueue64(ENGINE, () => boss.send('noop', {}))
if (wants('batch')) await batch(ENGINE, count(best ? 50_000 : 20_000), fill)
if (wants('latency')) {
  await boss.work('quick', {}, handler)
  await latency(ENGINE, count(best ? 200 : 6), { submit: () => boss.send('quick', {}), nextStart: started.next })
}
await pool.end()
await boss.stop({ graceful: false })
process.exit(0)
