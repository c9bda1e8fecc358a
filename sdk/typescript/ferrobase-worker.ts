/**
 * Durable work with Ferrobase: a client that submits and follows jobs, and a worker that runs them.
 *
 * One file, no dependencies; it needs `fetch`, so Node 22.18 as it is, Node 20 compiled, Deno or Bun will do.
 *
 *     const client = new Client({ url, key })
 *     const { id } = await client.submit({ type: 'render', input: { scene: 7 } })
 *     for await (const event of client.events(id)) console.log(event.seq, event.kind)
 *
 *     const worker = new Worker({ url, key: serviceKey, queues: ['default'] })
 *     worker.on<{ scene: number }, Clip>('render', async (job) => {
 *       const clip = await job.step('clip', (step) => provider.render(job.input.scene, { idempotencyKey: step.token }))
 *       await job.approval('ok', { prompt: 'Publish it?' })
 *       return clip
 *     })
 *     await worker.run()
 *
 * A handler may run again from its start, after a crash, a failure or a wait: what it did inside
 * `step` is then not done again but remembered. So whatever costs money or cannot be repeated
 * belongs into a step, and what stands between steps must do no harm when it is repeated.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined }
export type State = 'queued' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled'

/** What can be said about a job when it is submitted; only `type` must be. */
export interface JobSpec {
  type: string
  /** A name within one submission, for `parent_ref` and `depends_on`. */
  ref?: string
  parent_ref?: string
  parent_id?: string
  name?: string
  queue?: string
  priority?: number
  input?: unknown
  owner?: string
  session_id?: string
  /** Has no handler: it ends when its children have. */
  group?: boolean
  depends_on?: { ref?: string; id?: string; when?: 'success' | 'terminal' | 'failure' }[]
  need?: 'all' | 'any' | number
  delay_ms?: number
  run_at?: string
  deadline_ms?: number
  time_limit_ms?: number
  max_attempts?: number
  backoff_ms?: number
  backoff_max_ms?: number
  limit_keys?: string[]
  /** Of this job's children at most so many at once. */
  width?: number
  weight?: number
  cost?: number
  idempotency_key?: string
  unique?: { key: string; within_ms: number }
  on_child_failure?: 'fail' | 'continue' | 'ignore'
  labels?: Json
  events?: boolean
  budget?: { unit: string; cap: number; soft_cap?: number; on_exceed?: 'pause' | 'fail' | 'ask' }[]
}

export interface Submitted {
  id: string
  is_new: boolean
  state: State
}

/** A job as it is read; what is not named here is there as well. */
export interface Job {
  id: string
  root_id: string
  parent_id: string | null
  stream_id: string | null
  type: string
  name: string | null
  state: State
  waiting_on: string | null
  reason: string | null
  progress: number
  output: unknown
  error: { code?: string; message?: string } | null
  [column: string]: unknown
}

export interface StreamEvent {
  seq: number
  job_id: string | null
  kind: string
  data: Record<string, unknown>
  at: string
}

export interface Approval {
  id: string
  job_id: string
  step_key: string
  prompt: string | null
  form: unknown
  state: 'pending' | 'answered' | 'expired' | 'withdrawn'
  answer: unknown
}

export interface Connection {
  /** The project's address, such as `http://localhost:54321`. */
  url: string
  /** An API key: the anon key with a user's token, or a service key. */
  key: string
  /** A user's token, or what fetches one; without it the key speaks for itself. */
  token?: string | (() => string | Promise<string>)
  fetch?: typeof fetch
}

/** What the server refused, in its own words. `code` is for programs, such as `stale` or `not_found`. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: number
  readonly code: string
  readonly retryAfterMs: number | undefined
  constructor(status: number, code: string, message: string, retryAfterMs?: number) {
    super(message)
    this.status = status
    this.code = code
    this.retryAfterMs = retryAfterMs
  }
}

/** Thrown by a handler: try again, but not before so many milliseconds. */
export class RetryAfter extends Error {
  override name = 'RetryAfter'
  readonly ms: number
  constructor(ms: number, message = 'try again later') {
    super(message)
    this.ms = ms
  }
}

/** Thrown by a handler: another try would end the same way. */
export class NonRetryable extends Error {
  override name = 'NonRetryable'
  readonly code: string
  constructor(message: string, code = 'non_retryable') {
    super(message)
    this.code = code
  }
}

/** A paid step may have been paid: the worker died in it, and it said not what to do about that. */
export class InDoubt extends NonRetryable {
  override name = 'InDoubt'
  constructor(key: string) {
    super(`Step ${key} was begun and never ended; nobody knows whether it took effect`, 'in_doubt')
  }
}

/** The job is no longer this worker's: suspended, cancelled, paused or lost. Never catch it. */
export class Stop extends Error {
  override name = 'Stop'
  readonly why: 'suspended' | 'cancel' | 'pause' | 'lost' | 'shutdown'
  constructor(why: Stop['why']) {
    super(`stopped: ${why}`)
    this.why = why
  }
}

// How often a request is tried when the network or a node fails, and how long the pauses get:
// a restart of a node takes seconds, and a lease lasts longer than all of them.
const TRIES_MAX = 6
const PAUSE_MS_MAX = 5_000
// Long polls end before proxies cut them off.
const LONG_POLL_MS = 20_000
// No answer by then, beyond what was asked to wait for, and the connection is held to be dead.
const ANSWER_MS_MAX = 30_000
const HEARTBEAT_MS = 1_000
// Of a lease without a heartbeat that was heard: the rest is for clocks and for what still runs.
const LEASE_SHARE_MAX = 0.8
// What a handler tells is sent in bundles: so often, and at most so many at once.
const EVENTS_MS = 100
const EVENTS_MAX = 200
// Children whose results are fetched together.
const READS_AT_ONCE = 16

const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    signal?.addEventListener('abort', done)
  })
const backoff = (tries: number): number => Math.min(PAUSE_MS_MAX, 100 * 2 ** tries) * (0.5 + Math.random())

interface Ask {
  signal?: AbortSignal
  headers?: Record<string, string>
  /** How long the server was asked to wait before it answers. */
  waitMs?: number
  tries?: number
}

/** Requests with keys, a limit on waiting, and another try where one does no harm. */
class Http {
  private readonly base: string
  private readonly to: Connection
  constructor(to: Connection) {
    this.to = to
    this.base = to.url.replace(/\/+$/, '')
  }

  async headers(): Promise<Record<string, string>> {
    const { key, token } = this.to
    const bearer = typeof token === 'function' ? await token() : token
    return { apikey: key, authorization: `Bearer ${bearer ?? key}` }
  }

  async open(method: string, path: string, body: unknown, ask: Ask): Promise<Response> {
    const headers = { ...(await this.headers()), ...ask.headers }
    const init: RequestInit = { method, headers, signal: ask.signal ?? null }
    if (body !== undefined) {
      init.body = JSON.stringify(body)
      headers['content-type'] = 'application/json'
    }
    const response = await (this.to.fetch ?? fetch)(this.base + path, init)
    if (response.ok) return response
    const said = (await response.json().catch(() => ({}))) as { code?: string; message?: string }
    const after = Number(response.headers.get('retry-after'))
    throw new ApiError(response.status, said.code ?? 'unknown', said.message ?? response.statusText, after > 0 ? after * 1000 : undefined)
  }

  /** Every request here may be sent twice: reads, what is fenced by a claim, and what has a key. */
  async call<T>(method: string, path: string, body?: unknown, ask: Ask = {}): Promise<T> {
    for (let tries = 1; ; tries++) {
      const limit = AbortSignal.timeout((ask.waitMs ?? 0) + ANSWER_MS_MAX)
      const signal = ask.signal ? AbortSignal.any([ask.signal, limit]) : limit
      try {
        const response = await this.open(method, path, body, { ...ask, signal })
        const text = await response.text()
        return (text ? JSON.parse(text) : null) as T
      } catch (error) {
        if (ask.signal?.aborted || tries >= (ask.tries ?? TRIES_MAX) || !isPassing(error)) throw error
        await pause((error instanceof ApiError && error.retryAfterMs) || backoff(tries), ask.signal)
      }
    }
  }
}

/** The network, a node that restarts, or one that has too much to do. */
function isPassing(error: unknown): boolean {
  return error instanceof ApiError ? [429, 502, 503, 504].includes(error.status) : true
}

const isStale = (error: unknown): boolean => error instanceof ApiError && (error.code === 'stale' || error.status === 409 || error.status === 404)
const part = encodeURIComponent

/** Submits jobs, changes them and follows what happens. */
export class Client {
  private readonly http: Http
  constructor(to: Connection) {
    this.http = new Http(to)
  }

  /** One job, or a graph of them in one transaction: all of them are there afterwards, or none. */
  async submit(spec: JobSpec, options?: { idempotencyKey?: string }): Promise<Submitted>
  async submit(specs: JobSpec[], options?: { idempotencyKey?: string }): Promise<Submitted[]>
  async submit(specs: JobSpec | JobSpec[], options: { idempotencyKey?: string } = {}): Promise<Submitted | Submitted[]> {
    const headers: Record<string, string> = options.idempotencyKey ? { 'idempotency-key': options.idempotencyKey } : {}
    const many = Array.isArray(specs)
    // Without a key the second of two tries would be a second job.
    const keyed = options.idempotencyKey !== undefined || (many ? specs : [specs]).every((one) => one.idempotency_key ?? one.unique)
    const body = many ? { jobs: specs } : specs
    const answer = await this.http.call<Submitted | { jobs: Submitted[] }>('POST', '/jobs/v1/jobs', body, { headers, tries: keyed ? TRIES_MAX : 1 })
    return 'jobs' in answer ? answer.jobs : answer
  }

  async get(id: string): Promise<Job> {
    return this.http.call('GET', `/jobs/v1/jobs/${part(id)}`)
  }

  /** The job, and everything below it without inputs and outputs, itself first. */
  async tree(id: string): Promise<{ job: Job; jobs: Job[] }> {
    return this.http.call('GET', `/jobs/v1/jobs/${part(id)}?tree=1`)
  }

  async cancel(id: string, reason?: string): Promise<void> {
    await this.http.call('POST', `/jobs/v1/jobs/${part(id)}/cancel`, { reason })
  }
  async pause(id: string): Promise<void> {
    await this.http.call('POST', `/jobs/v1/jobs/${part(id)}/pause`, {})
  }
  async resume(id: string): Promise<void> {
    await this.http.call('POST', `/jobs/v1/jobs/${part(id)}/resume`, {})
  }
  async retry(id: string): Promise<void> {
    await this.http.call('POST', `/jobs/v1/jobs/${part(id)}/retry`, {})
  }

  async signal(id: string, name: string, payload?: unknown, options: { idempotencyKey?: string } = {}): Promise<void> {
    const headers = { 'idempotency-key': options.idempotencyKey ?? crypto.randomUUID() }
    await this.http.call('POST', `/jobs/v1/jobs/${part(id)}/signals/${part(name)}`, { payload: payload ?? null }, { headers })
  }

  /** What waits for an answer of mine. */
  async approvals(): Promise<Approval[]> {
    return this.http.call('GET', '/jobs/v1/approvals')
  }
  async answer(approval: string, answer: unknown): Promise<void> {
    await this.http.call('POST', `/jobs/v1/approvals/${part(approval)}`, { answer })
  }

  /**
   * What happens in a job's stream, from the beginning or after `after`, each event once and in
   * order: a session's jobs share one, and so do the jobs of a tree without a session. It
   * reconnects by itself and ends with `signal` or with the loop's `break`.
   */
  async *events(job: string, options: { after?: number; signal?: AbortSignal } = {}): AsyncGenerator<StreamEvent, void, undefined> {
    const { stream_id: stream } = await this.get(job)
    if (stream === null) throw new ApiError(404, 'not_found', 'The job tells no events')
    yield* this.stream(stream, options)
  }

  /** The same for a stream by its id. */
  async *stream(stream: string, options: { after?: number; signal?: AbortSignal } = {}): AsyncGenerator<StreamEvent, void, undefined> {
    const path = `/sessions/v1/streams/${part(stream)}/events`
    let after = options.after ?? 0
    let failures = 0
    const leave = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, leave.signal]) : leave.signal
    try {
      while (!signal.aborted) {
        try {
          const headers = { accept: 'text/event-stream', 'last-event-id': String(after) }
          const response = await this.http.open('GET', `${path}?after=${after}`, undefined, { headers, signal })
          for await (const event of frames(response)) {
            failures = 0
            // What was seen before the connection broke is not told again.
            if (event.seq <= after) continue
            after = event.seq
            yield event
          }
        } catch (error) {
          if (signal.aborted) return
          if (!isPassing(error)) throw error
          failures++
        }
        await pause(backoff(failures), signal)
      }
    } finally {
      leave.abort()
    }
  }

  /** The job once it is over; its events say when to look. */
  async finished(id: string, options: { signal?: AbortSignal } = {}): Promise<Job> {
    const over = (job: Job): boolean => ['completed', 'failed', 'cancelled'].includes(job.state)
    let job = await this.get(id)
    while (!over(job) && !options.signal?.aborted) {
      if (job.stream_id === null) {
        await pause(500, options.signal)
      } else {
        const looking = AbortSignal.any([AbortSignal.timeout(LONG_POLL_MS), ...(options.signal ? [options.signal] : [])])
        for await (const event of this.events(id, { signal: looking })) {
          if (event.job_id === id && /^job\.(completed|failed|cancelled)$/.test(event.kind)) break
        }
      }
      job = await this.get(id)
    }
    return job
  }
}

/** The events of one connection; comments keep it alive and are skipped. */
async function* frames(response: Response): AsyncGenerator<StreamEvent, void, undefined> {
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  let text = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      text += value.replaceAll('\r', '')
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = frame(text.slice(0, end))
        text = text.slice(end + 2)
        if (event) yield event
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

function frame(text: string): StreamEvent | undefined {
  let seq = NaN
  const data: string[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith('id:')) seq = Number(line.slice(3))
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
  }
  if (data.length === 0 || !Number.isFinite(seq)) return undefined
  return { ...(JSON.parse(data.join('\n')) as StreamEvent), seq }
}

interface Claimed {
  id: string
  root_id: string
  parent_id: string | null
  session_id: string | null
  stream_id: string | null
  owner: string | null
  type: string
  name: string | null
  epoch: number
  failures: number
  input: unknown
  queue: string
  lease_ms: number
  steps: Record<string, { result: unknown; version: string }> | null
}

type Verdict = 'hit' | 'run' | 'resume' | 'in_doubt' | 'over_budget' | 'mismatch' | 'stale'
interface Begun {
  verdict: Verdict
  result: unknown
  handle: unknown
  idempotency_token: string | null
}

export interface StepOptions<T> {
  /** The handler's word for this step's code: after a change the step runs anew. */
  version?: string
  /** What the step is expected to cost, held against budgets before it runs. */
  estimate?: number
  unit?: 'usd' | 'tokens' | 'seconds' | 'calls'
  /** What is asked for. The same key with another request is refused instead of answered wrongly. */
  request?: unknown
  /**
   * What to do when a worker died within the step and there is no handle: run it again with the
   * same `token`, which is right for providers that know such tokens and for what may be done
   * twice; or fail, or ask the provider, for what may have been paid. */
  inDoubt?: 'retry' | 'fail' | ((step: Step) => Promise<T>)
}

/** A step that runs. */
export interface Step {
  /** The same for every try: give it to the provider as its idempotency key. */
  token: string
  /** What an earlier try kept with `keep`: go on with that work instead of beginning another. */
  handle: unknown
  /** Keeps the provider's name for work that has begun, before waiting for it. */
  keep(handle: unknown): Promise<void>
  /** What it did cost, in the unit of its estimate, and details for people. */
  cost(amount: number, usage?: unknown): void
  signal: AbortSignal
}

/** What a handler has. */
export class Context<Input> {
  readonly input: Input
  readonly id: string
  readonly attempt: number
  private readonly abort = new AbortController()
  private readonly repeats = new Map<string, number>()
  private readonly told: { kind: string; data: unknown }[] = []
  private sending: Promise<unknown> = Promise.resolve()
  private next = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  /** @internal */ heard = performance.now()
  /** @internal */ fraction: number | undefined
  /** @internal */ message: string | undefined

  private readonly http: Http
  /** @internal */
  readonly claimed: Claimed

  /** @internal */
  constructor(http: Http, claimed: Claimed) {
    this.http = http
    this.claimed = claimed
    this.input = claimed.input as Input
    this.id = claimed.id
    this.attempt = claimed.failures + 1
  }

  /** Aborts as soon as the job is no longer ours; `reason` is a `Stop`. Give it to whatever can stop. */
  get signal(): AbortSignal {
    return this.abort.signal
  }
  /** @internal */
  stop(why: Stop['why']): void {
    if (!this.signal.aborted) this.abort.abort(new Stop(why))
  }

  /** Does `run` once and remembers what it returned, across crashes and retries. */
  async step<T>(key: string, run: (step: Step) => Promise<T> | T, options: StepOptions<T> = {}): Promise<T> {
    this.signal.throwIfAborted()
    const name = this.unique(key)
    const version = options.version ?? ''
    const known = this.claimed.steps?.[name]
    if (known && known.version === version && options.request === undefined) return known.result as T
    const path = `steps/${part(name)}`
    const begun = await this.post<Begun>(`${path}/begin`, {
      version,
      request_hash: options.request === undefined ? undefined : await sha256(options.request),
      unit: options.unit,
      estimate: options.estimate,
      idempotent: options.inDoubt === undefined || options.inDoubt === 'retry',
    })
    let doing = run
    switch (begun.verdict) {
      case 'hit':
        return begun.result as T
      case 'run':
      case 'resume':
        break
      case 'in_doubt':
        if (typeof options.inDoubt === 'function') doing = options.inDoubt
        else if (options.inDoubt !== 'retry') throw new InDoubt(name)
        break
      case 'mismatch':
        throw new NonRetryable(`Step ${name} was made of another request`, 'mismatch')
      case 'over_budget':
        // The engine paused or failed the job in the same breath, as the budget says.
        this.stop('pause')
        throw this.signal.reason
      case 'stale':
        this.stop('lost')
        throw this.signal.reason
    }
    let cost: number | undefined
    let usage: unknown
    const step: Step = {
      token: begun.idempotency_token ?? '',
      handle: begun.handle ?? undefined,
      keep: async (handle) => void (await this.post(`${path}/handle`, { handle })),
      cost: (amount, details) => ([cost, usage] = [amount, details]),
      signal: this.signal,
    }
    // Nothing is begun that nobody waits for any more.
    this.signal.throwIfAborted()
    let result: T
    try {
      result = await doing(step)
    } catch (error) {
      if (!(error instanceof Stop) && !this.signal.aborted) {
        await this.post(`${path}/fail`, { error: described(error), charged: cost !== undefined && cost > 0 })
      }
      throw error
    }
    // Also when the job was lost meanwhile: what was paid for is kept.
    const kept = await this.post<{ outcome: string; result?: unknown }>(`${path}/end`, { result: result ?? null, cost, usage }, true)
    // Another claim was first: its result is the one that every later run will see.
    return kept.outcome === 'superseded' ? (kept.result as T) : result
  }

  /** Gives the worker free and goes on, in a new run, when the time has passed. */
  async sleep(key: string, ms: number): Promise<void> {
    await this.wait(key, { kind: 'timer', due_ms: ms })
  }

  /** Waits for a signal to this job; `undefined` if none came in time. */
  async waitSignal<T>(name: string, options: { key?: string; timeoutMs?: number } = {}): Promise<T | undefined> {
    return this.wait<T>(options.key ?? `signal:${name}`, { kind: 'signal', name, due_ms: options.timeoutMs })
  }

  /** Waits for a person's answer; `undefined` if none came in time. */
  async approval<T>(key: string, options: { prompt?: string; form?: unknown; assignee?: string; timeoutMs?: number } = {}): Promise<T | undefined> {
    const { prompt, form, assignee, timeoutMs } = options
    const said = await this.wait<{ answer: T; by: string | null }>(key, { kind: 'approval', prompt, form, assignee, due_ms: timeoutMs })
    return said?.answer
  }

  /** Makes children of this job; the same call in a later run makes no others. */
  async spawn(specs: JobSpec[]): Promise<Submitted[]> {
    const key = this.unique('spawn')
    const jobs = specs.map((spec, n) => (spec.idempotency_key ?? spec.unique ? spec : { ...spec, idempotency_key: `${this.id}/${key}/${n}` }))
    const answer = await this.post<Submitted[] | { jobs: Submitted[] }>('spawn', { jobs })
    return Array.isArray(answer) ? answer : answer.jobs
  }

  /** Makes children, at most `width` of them at once, and waits until all are over. */
  async children(key: string, specs: JobSpec[], options: { width?: number; onFailure?: 'fail' | 'continue' | 'ignore' } = {}): Promise<Job[]> {
    const group: JobSpec = { type: 'group', ref: 'children', name: key, group: true }
    if (options.width !== undefined) group.width = options.width
    if (options.onFailure !== undefined) group.on_child_failure = options.onFailure
    const made = await this.spawn([group, ...specs.map((spec) => ({ ...spec, parent_ref: 'children' }))])
    await this.wait(key, { kind: 'children' })
    const done: Job[] = []
    const ids = made.slice(1).map((one) => one.id)
    for (let n = 0; n < ids.length; n += READS_AT_ONCE) {
      const some = ids.slice(n, n + READS_AT_ONCE)
      done.push(...(await Promise.all(some.map((id) => this.http.call<Job>('GET', `/jobs/v1/jobs/${id}`, undefined, { signal: this.signal })))))
    }
    return done
  }

  /** A line for people, in the job's stream. */
  log(message: string, data: Record<string, unknown> = {}): void {
    this.emit('job.log', { message, ...data })
  }

  /**
   * An event of one's own, such as `job.chunk` with a piece of text; `job.`, `step.`, `approval.`
   * and `budget.` are otherwise the engine's. Events of one handler keep their order. */
  emit(kind: string, data: unknown): void {
    this.told.push({ kind, data })
    if (this.told.length >= EVENTS_MAX) void this.flush()
    else this.timer ??= setTimeout(() => void this.flush(), EVENTS_MS)
  }

  /** How far it is, 0 to 1; told with the next heartbeat. */
  progress(fraction: number, message?: string): void {
    this.fraction = Math.min(1, Math.max(0, fraction))
    if (message !== undefined) this.message = message
  }

  /** @internal Sends what was told; a job that is not ours any more has nothing to tell. */
  flush(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    const events = this.told.splice(0)
    const { stream_id: stream, epoch } = this.claimed
    if (events.length > 0 && stream !== null) {
      // The producer's name and number let the server drop what it has already, and what a claim
      // says that has lost its job.
      const body = { producer: `${this.id}:${epoch}:sdk`, n: this.next, events }
      this.next += events.length
      const send = (): Promise<unknown> => this.http.call('POST', `/sessions/v1/streams/${stream}/events`, body)
      this.sending = this.sending.then(send).then(undefined, () => undefined)
    }
    return this.sending.then(() => undefined)
  }

  /** @internal Everything a worker says about a job names the claim that it has. */
  async post<T>(what: string, body: object, evenLost = false): Promise<T> {
    const ask: Ask = evenLost ? {} : { signal: this.signal }
    try {
      return await this.http.call<T>('POST', `/jobs/v1/jobs/${this.id}/${what}`, { epoch: this.claimed.epoch, ...body }, ask)
    } catch (error) {
      if (isStale(error)) this.stop('lost')
      if (this.signal.aborted) throw this.signal.reason
      throw error
    }
  }

  private async wait<T>(key: string, wait: object): Promise<T | undefined> {
    this.signal.throwIfAborted()
    const name = this.unique(key)
    const known = this.claimed.steps?.[name]
    if (known) return (known.result ?? undefined) as T | undefined
    await this.flush()
    const answer = await this.post<{ state: 'suspended' | 'ready' | 'stale'; steps: Record<string, { state: string; result: unknown }> }>('suspend', {
      waits: [{ key: name, ...wait }],
    })
    if (answer.state !== 'ready') {
      this.stop(answer.state === 'suspended' ? 'suspended' : 'lost')
      throw this.signal.reason
    }
    return (answer.steps[name]?.result ?? undefined) as T | undefined
  }

  /** A key that is used again within one run is another step: `key`, `key#2`, `key#3`. */
  private unique(key: string): string {
    const n = (this.repeats.get(key) ?? 0) + 1
    this.repeats.set(key, n)
    return n === 1 ? key : `${key}#${n}`
  }
}

export type Handler<Input, Output> = (job: Context<Input>) => Promise<Output> | Output

export interface WorkerOptions extends Connection {
  /** Its name; a new one for each process unless said. */
  id?: string
  queues?: string[]
  /** Jobs at once. */
  concurrency?: number
  /** How long a silent worker keeps its jobs. */
  leaseMs?: number
  codeVersion?: string
  /** What the worker cannot tell the server; it is written to the console otherwise. */
  onError?: (error: unknown) => void
}

/** Claims jobs, runs their handlers and tells the end of each. */
export class Worker {
  readonly id: string
  private readonly http: Http
  private readonly handlers = new Map<string, Handler<unknown, unknown>>()
  private readonly running = new Map<string, { job: Context<unknown>; done: Promise<void> }>()
  private readonly stopping = new AbortController()
  private freed: () => void = () => undefined
  private beats = false
  private readonly onError: (error: unknown) => void

  private readonly options: WorkerOptions

  constructor(options: WorkerOptions) {
    this.options = options
    this.onError = options.onError ?? ((error) => console.warn(`worker ${this.id}:`, error))
    this.http = new Http(options)
    this.id = options.id ?? `ts-${crypto.randomUUID()}`
  }

  /** What runs jobs of this type. */
  on<Input = unknown, Output = unknown>(type: string, handler: Handler<Input, Output>): this {
    this.handlers.set(type, handler as Handler<unknown, unknown>)
    return this
  }

  /** Works until `stop` is called. */
  async run(): Promise<void> {
    const beating = setInterval(() => void this.beat(), HEARTBEAT_MS)
    let failures = 0
    try {
      while (!this.stopping.signal.aborted) {
        const slots = (this.options.concurrency ?? 4) - this.running.size
        if (slots <= 0) {
          await new Promise<void>((resolve) => (this.freed = resolve))
          continue
        }
        try {
          for (const claimed of await this.claim(slots)) this.start(claimed)
          failures = 0
        } catch (error) {
          if (this.stopping.signal.aborted) break
          this.onError(error)
          await pause(backoff(++failures), this.stopping.signal)
        }
      }
      await Promise.all([...this.running.values()].map(({ done }) => done))
    } finally {
      clearInterval(beating)
    }
  }

  /** Takes nothing new, lets what runs come to its end, and gives back what has not by then. */
  async stop(graceMs = 10_000): Promise<void> {
    this.stopping.abort()
    this.freed()
    const all = Promise.all([...this.running.values()].map(({ done }) => done))
    await Promise.race([all, pause(graceMs)])
    for (const { job } of this.running.values()) job.stop('shutdown')
    await all
  }

  private async claim(slots: number): Promise<Claimed[]> {
    const body = {
      queues: this.options.queues ?? ['default'],
      types: [...this.handlers.keys()],
      slots,
      wait_ms: LONG_POLL_MS,
      lease_ms: this.options.leaseMs,
      code_version: this.options.codeVersion,
    }
    const ask: Ask = { signal: this.stopping.signal, waitMs: LONG_POLL_MS, tries: 1 }
    const { jobs } = await this.http.call<{ jobs: Claimed[] }>('POST', `/jobs/v1/workers/${part(this.id)}/claim`, body, ask)
    return jobs
  }

  private start(claimed: Claimed): void {
    const job = new Context<unknown>(this.http, claimed)
    const done = this.perform(job)
      .catch((error: unknown) => this.onError(error))
      .finally(() => {
        this.running.delete(claimed.id)
        this.freed()
      })
    this.running.set(claimed.id, { job, done })
  }

  private async perform(job: Context<unknown>): Promise<void> {
    let end: object
    try {
      const handler = this.handlers.get(job.claimed.type)
      if (!handler) throw new NonRetryable(`This worker has no handler for ${job.claimed.type}`)
      end = { outcome: 'completed', output: (await handler(job)) ?? null }
      // A handler that swallowed a `Stop` has nothing to say either.
      const reason = job.signal.reason as Stop | undefined
      if (reason && reason.why !== 'shutdown') return
      // What is no JSON is the handler's failure, and shall not be found out by the request.
      JSON.stringify(end)
    } catch (error) {
      const stop = job.signal.aborted ? (job.signal.reason as Stop) : error instanceof Stop ? error : undefined
      // Suspended, cancelled, paused or lost: the engine knows already.
      if (stop && stop.why !== 'shutdown') return
      end = stop ? { outcome: 'released' } : { outcome: 'failed', ...failed(error) }
    }
    await job.flush()
    try {
      const path = `/jobs/v1/jobs/${job.id}/finish`
      await this.http.call('POST', path, { epoch: job.claimed.epoch, ...end })
    } catch (error) {
      if (!isStale(error)) throw error
    }
  }

  /** One request for all jobs; what is no longer ours is stopped. */
  private async beat(): Promise<void> {
    const jobs = [...this.running.values()].map(({ job }) => job)
    const sent = performance.now()
    for (const job of jobs) {
      if (sent - job.heard > job.claimed.lease_ms * LEASE_SHARE_MAX) job.stop('lost')
    }
    // The last one is still on its way: a server that is slow is not asked twice.
    if (jobs.length === 0 || this.beats) return
    this.beats = true
    const body = {
      jobs: jobs.map((job) => ({ id: job.id, epoch: job.claimed.epoch, progress: job.fraction, message: job.message })),
      lease_ms: this.options.leaseMs,
    }
    try {
      const ask: Ask = { signal: AbortSignal.timeout(HEARTBEAT_MS * 3), tries: 1 }
      const answer = await this.http.call<{ directives: { id: string; directive: Stop['why'] }[] }>('POST', `/jobs/v1/workers/${part(this.id)}/heartbeat`, body, ask)
      const told = new Map(answer.directives.map((one) => [one.id, one.directive]))
      for (const job of jobs) {
        const directive = told.get(job.id)
        if (directive) job.stop(directive)
        else job.heard = sent
      }
    } catch (error) {
      this.onError(error)
    } finally {
      this.beats = false
    }
  }
}

/** What a failure means for the next try. */
function failed(error: unknown): { error: Json; retryable: boolean; delay_ms?: number } {
  const told = { error: described(error), retryable: !(error instanceof NonRetryable) }
  return error instanceof RetryAfter ? { ...told, delay_ms: error.ms } : told
}

function described(error: unknown): Json {
  if (!(error instanceof Error)) return { code: 'error', message: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return { code, message: error.message }
}

async function sha256(value: unknown): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(value)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
