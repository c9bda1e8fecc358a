// A session as it is shown: what the server said at one moment, and what its
// log has said since. Pure; the log may be read again from any earlier point.

import type { SessionState, StepState, StreamEvent } from './api'

export interface LiveFile {
  path: string
  text: string
  done: boolean
}

export interface LogLine {
  seq: number
  at: string
  /** Whose step it is may be known later. */
  job: string
  text: string
  kind: 'line' | 'state' | 'error'
}

export interface Live {
  /** Growing text of a plan, by job. */
  plans: Record<string, string>
  /** Files as the coder writes them, by job. */
  files: Record<string, LiveFile[]>
  log: LogLine[]
  seen: number
}

/** Lines kept for the log: what was before is on the server. */
const LINES_MAX = 2000

export const nothing: Live = { plans: {}, files: {}, log: [], seen: 0 }

const STATES: Record<string, StepState> = {
  'job.queued': 'queued',
  'job.waiting': 'queued',
  'job.retrying': 'queued',
  'job.started': 'running',
  'job.resumed': 'queued',
  'job.paused': 'paused',
  'job.completed': 'completed',
  'job.failed': 'failed',
  'job.cancelled': 'cancelled',
}

/** The name of a job's step, and whether it is one of a turn. */
export function stepOf(state: SessionState, job: string | null): string | null {
  for (const turn of state.turns) {
    if (turn.id === job) return 'turn'
    const step = turn.steps.find((one) => one.id === job)
    if (step) return step.name
  }
  return null
}

/** The state with what events say of its jobs. */
export function patched(state: SessionState, events: StreamEvent[]): SessionState {
  const states = new Map<string, { state: StepState; at: string; error: { message?: string } | null }>()
  for (const event of events) {
    const next = STATES[event.kind]
    if (next && event.job_id) {
      const error = (event.data.error ?? null) as { message?: string } | null
      states.set(event.job_id, { state: next, at: event.at, error })
    }
  }
  if (states.size === 0) return state
  const over = (word: StepState) => word === 'completed' || word === 'failed' || word === 'cancelled'
  const changed = <T extends { id: string; state: StepState; started_at: string | null; finished_at: string | null; error: unknown }>(
    one: T,
  ): T => {
    const said = states.get(one.id)
    if (!said) return one
    return {
      ...one,
      state: said.state,
      error: said.error ?? one.error,
      started_at: said.state === 'running' ? (one.started_at ?? said.at) : one.started_at,
      finished_at: over(said.state) ? said.at : null,
    }
  }
  return {
    ...state,
    turns: state.turns.map((turn) => ({ ...changed(turn), steps: turn.steps.map(changed) })),
  }
}

/** What was said live, with these events as well. */
export function grown(live: Live, events: StreamEvent[]): Live {
  const fresh = events.filter((event) => event.seq > live.seen)
  if (fresh.length === 0) return live
  const next: Live = { plans: { ...live.plans }, files: { ...live.files }, log: [...live.log], seen: fresh.at(-1)!.seq }
  for (const event of fresh) {
    const job = event.job_id
    if (!job) continue
    if (event.kind === 'job.chunk') chunk(next, job, event.data)
    const say = (text: string, kind: LogLine['kind']) =>
      next.log.push({ seq: event.seq, at: event.at, job, text, kind })
    if (event.kind === 'job.log') say(String(event.data.message ?? ''), 'line')
    else if (STATES[event.kind]) {
      const error = event.data.error as { message?: string; detail?: string } | undefined
      const word = event.kind.slice(4)
      if (error) say([`${word}: ${error.message ?? 'no reason given'}`, error.detail].filter(Boolean).join('\n'), 'error')
      else if (event.kind !== 'job.waiting' && event.kind !== 'job.queued') say(word, 'state')
    }
  }
  if (next.log.length > LINES_MAX) next.log = next.log.slice(-LINES_MAX)
  return next
}

function chunk(live: Live, job: string, data: Record<string, unknown>): void {
  if (data.reset) {
    live.plans[job] = ''
    live.files[job] = []
    return
  }
  if (typeof data.text === 'string' && data.file === undefined) {
    live.plans[job] = (live.plans[job] ?? '') + data.text
    return
  }
  if (typeof data.file !== 'string') return
  const files = (live.files[job] ?? []).slice()
  const at = files.findIndex((one) => one.path === data.file)
  const known = files[at] ?? { path: data.file, text: '', done: false }
  const grownFile: LiveFile = {
    path: known.path,
    text: typeof data.text === 'string' ? known.text + data.text : known.text,
    done: known.done || data.done === true,
  }
  if (at < 0) files.push(grownFile)
  else files[at] = grownFile
  live.files[job] = files
}

/** What is told once more of a session must be asked again. */
export function needsReading(events: StreamEvent[], state: SessionState): boolean {
  return events.some(
    (event) =>
      event.kind.startsWith('session.') ||
      event.kind === 'job.completed' ||
      event.kind === 'job.failed' ||
      event.kind === 'job.cancelled' ||
      (event.job_id !== null && stepOf(state, event.job_id) === null),
  )
}
