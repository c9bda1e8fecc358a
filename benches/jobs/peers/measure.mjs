// What every peer on Node measures alike, and how it is told: one line of JSON for each measure.

const CLIENTS = 64

const args = Object.fromEntries(process.argv.slice(2).map((arg) => arg.replace(/^--/, '').split('=')))
export const config = args.config
export const url = args.url
export const seconds = Number(args.seconds)
// How many jobs of each kind; the short run that tries the scripts asks for fewer.
export const count = (full) => Math.max(5, Math.round(full * Number(args.scale)))
export const wants = (measure) => !args.only || args.only.split(',').includes(measure)

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export function tell(engine, measure, fields) {
  console.log(JSON.stringify({ engine, config, measure, ...fields }))
}

const round = (value) => Math.round(value * 100) / 100

// Jobs a second from the worker's start until the last one is over in the database. What a
// configuration cannot drain within the time is counted as far as it came.
export async function drain(engine, { jobs, start, handled, over, limit = 8000 }) {
  const from = performance.now()
  const stop = await start()
  while (performance.now() - from < limit) {
    if (handled() >= jobs && (await over())) break
    await sleep(handled() >= jobs ? 2 : 10)
  }
  const value = round((Math.min(handled(), jobs) * 1000) / (performance.now() - from))
  await stop()
  tell(engine, 'drain', { value, unit: 'jobs/s' })
}

// Single enqueues a second from 64 clients, each sending its next when the last is durable.
export async function enqueue64(engine, enqueue) {
  const from = performance.now()
  const until = from + seconds * 1000
  const times = []
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let now = performance.now(); now < until; ) {
        await enqueue()
        const then = performance.now()
        times.push(then - now)
        now = then
      }
    }),
  )
  const value = round((times.length * 1000) / (performance.now() - from))
  tell(engine, 'enqueue64', { value, unit: 'jobs/s', ...quantiles(times) })
}

// Jobs a second when they are handed over a thousand at a time.
export async function batch(engine, jobs, insert) {
  const from = performance.now()
  for (let done = 0; done < jobs; done += 1000) await insert(Math.min(1000, jobs - done))
  tell(engine, 'batch', { value: round((jobs * 1000) / (performance.now() - from)), unit: 'jobs/s' })
}

// Milliseconds from the call that enqueues to the handler's first line, one job at a time.
export async function latency(engine, jobs, { submit, nextStart, pause = 20, limit = 12_000 }) {
  const times = []
  const until = performance.now() + limit
  for (let n = 0; n < jobs && performance.now() < until; n++) {
    const started = nextStart()
    const from = performance.now()
    await submit()
    times.push((await started) - from)
    // Not in step with any timer of theirs.
    await sleep(pause * (0.5 + Math.random()))
  }
  const found = quantiles(times)
  tell(engine, 'latency', { value: found.p50, unit: 'ms', ...found })
}

function quantiles(times) {
  const sorted = Float64Array.from(times).sort()
  const at = (share) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { p50: at(0.5), p99: at(0.99) }
}

// The promise of the next call of a handler, for `latency`.
export function gate() {
  let open = () => {}
  return {
    next: () => new Promise((resolve) => (open = resolve)),
    pass: () => open(performance.now()),
  }
}
