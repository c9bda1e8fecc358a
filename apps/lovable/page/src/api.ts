// What the page asks of the server, and who is signed in.

export type StepState = 'queued' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled'

export interface Step {
  id: string
  name: string
  state: StepState
  message: string | null
  error: { message?: string; detail?: string; code?: string } | null
  output: Record<string, unknown> | null
  started_at: string | null
  finished_at: string | null
  attempts: number
  cost: number
}

export interface Turn {
  id: string
  state: StepState
  labels: { prompt?: string; from_seq?: number; refresh?: boolean } | null
  error: { message?: string } | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  steps: Step[]
}

export interface Message {
  id: string
  seq: number
  role: 'user' | 'assistant' | 'system' | 'tool'
  content: string
  job_id: string | null
  created_at: string
}

export interface Checkpoint {
  id: string
  label: string | null
  created_at: string
  metadata: { turn?: string; version?: number; before_restore?: string }
}

export interface FileEntry {
  path: string
  size: number
  updated_at: string
}

export interface SessionState {
  id: string
  session_id: string
  title: string | null
  forked_from: string | null
  cursor: number
  messages: Message[]
  turns: Turn[]
  files: FileEntry[]
  checkpoints: Checkpoint[]
  cost: number
  preview: string | null
}

export interface SessionEntry {
  id: string
  title: string | null
  updated_at: string
  running: boolean
}

export interface About {
  key: string
  guests: boolean
  open: boolean
  demo: string | null
  sandbox: { available: boolean; words: string }
}

export interface StreamEvent {
  seq: number
  job_id: string | null
  kind: string
  at: string
  data: Record<string, unknown>
}

/** What the server said no to. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly request: string | null,
  ) {
    super(message)
  }
}

interface Tokens {
  access_token: string
  refresh_token: string
  /** Milliseconds. */
  until: number
  email: string | null
}

const STORED = 'lovable.auth'
const EARLY_MS = 60_000

let about: About = { key: '', guests: false, open: false, demo: null, sandbox: { available: false, words: '' } }
let tokens: Tokens | null = read()
let renewing: Promise<void> | null = null

function read(): Tokens | null {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? 'null') as Tokens | null
  } catch {
    return null
  }
}

function keep(next: Tokens | null): void {
  tokens = next
  try {
    if (next) localStorage.setItem(STORED, JSON.stringify(next))
    else localStorage.removeItem(STORED)
  } catch {
    // A window that stores nothing is signed in until it closes.
  }
}

export const isSignedIn = (): boolean => tokens !== null || about.open
export const who = (): string | null => (tokens ? (tokens.email ?? 'Guest') : about.open ? 'Demo' : null)
export const signOut = (): void => keep(null)

async function parsed(response: Response): Promise<unknown> {
  const text = await response.text()
  let body: Record<string, unknown> = {}
  try {
    body = JSON.parse(text) as Record<string, unknown>
  } catch {
    // Something between us and the server answered in its own words.
  }
  if (response.ok) return body
  const said = body.message ?? body.msg ?? body.error_description ?? `The server answered ${response.status}`
  const code = body.error_code ?? body.code ?? response.status
  throw new Refused(response.status, String(code), String(said), response.headers.get('x-request-id'))
}

async function auth(path: string, body: unknown): Promise<void> {
  const response = await fetch(`/auth/v1/${path}`, {
    method: 'POST',
    headers: { apikey: about.key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const said = (await parsed(response)) as {
    access_token?: string
    refresh_token?: string
    expires_in?: number
    user?: { email?: string }
  }
  if (!said.access_token || !said.refresh_token) {
    throw new Refused(200, 'confirm', 'Look into your mail, confirm the address, then sign in.', null)
  }
  keep({
    access_token: said.access_token,
    refresh_token: said.refresh_token,
    until: Date.now() + (said.expires_in ?? 3600) * 1000,
    email: said.user?.email || null,
  })
}

export const signInAsGuest = (): Promise<void> => auth('signup', {})
export const signIn = (email: string, password: string): Promise<void> =>
  auth('token?grant_type=password', { email, password })
export const signUp = (email: string, password: string): Promise<void> => auth('signup', { email, password })

async function headers(): Promise<Record<string, string>> {
  if (tokens && tokens.until - EARLY_MS < Date.now()) {
    renewing ??= auth('token?grant_type=refresh_token', { refresh_token: tokens.refresh_token })
      .catch((error: unknown) => {
        if (error instanceof Refused && error.status < 500) keep(null)
        throw error
      })
      .finally(() => {
        renewing = null
      })
    await renewing
  }
  return tokens ? { apikey: about.key, authorization: `Bearer ${tokens.access_token}` } : {}
}

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const said: RequestInit = { method, headers: await headers() }
  if (body !== undefined) {
    said.headers = { ...said.headers, 'content-type': 'application/json' }
    said.body = JSON.stringify(body)
  }
  return parsed(await fetch(`/lovable/api/${path}`, said))
}

export async function begin(): Promise<About> {
  const said = (await parsed(await fetch('/lovable/api/about'))) as About
  about = { ...said, guests: false }
  const settings = (await parsed(await fetch('/auth/v1/settings', { headers: { apikey: said.key } }).catch(() => new Response('{}')))) as {
    external?: { anonymous_users?: boolean }
  }
  about = { ...about, guests: settings.external?.anonymous_users === true }
  return about
}

export const sessions = async (): Promise<SessionEntry[]> =>
  ((await ask('GET', 'sessions')) as { sessions: SessionEntry[] }).sessions
export const create = async (): Promise<string> => ((await ask('POST', 'sessions', {})) as { id: string }).id
export const show = async (id: string): Promise<SessionState> => (await ask('GET', `sessions/${id}`)) as SessionState
export const prompt = (id: string, text: string, key: string): Promise<unknown> =>
  ask('POST', `sessions/${id}/turns`, { text, key })
export const stop = (id: string): Promise<unknown> => ask('POST', `sessions/${id}/stop`)
export const rebuild = (id: string): Promise<unknown> => ask('POST', `sessions/${id}/refresh`)
export const restore = (id: string, checkpoint: string): Promise<unknown> =>
  ask('POST', `sessions/${id}/restore`, { checkpoint_id: checkpoint })
export const fork = async (id: string, checkpoint: string, title: string): Promise<string> =>
  ((await ask('POST', `sessions/${id}/fork`, { checkpoint_id: checkpoint, title })) as { id: string }).id
export const remove = (id: string): Promise<unknown> => ask('DELETE', `sessions/${id}`)

/** A file's text, now or at a checkpoint; null where there is none. */
export async function file(id: string, path: string, checkpoint?: string): Promise<string | null> {
  const at = new URLSearchParams({ path })
  if (checkpoint) at.set('checkpoint', checkpoint)
  try {
    return ((await ask('GET', `sessions/${id}/file?${at}`)) as { content: string }).content
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null
    throw error
  }
}

export async function zip(id: string): Promise<Blob> {
  const response = await fetch(`/lovable/api/sessions/${id}/zip`, { headers: await headers() })
  if (!response.ok) await parsed(response)
  return response.blob()
}

export type Link = { state: 'live' } | { state: 'lost'; again: number }

/**
 * Follows a session's log behind a cursor until told to stop. A connection that
 * ends, for whatever reason, is made again where it was.
 */
export async function follow(
  id: string,
  after: number,
  stop: AbortSignal,
  told: (events: StreamEvent[]) => void,
  link: (state: Link) => void,
): Promise<void> {
  let cursor = after
  let failures = 0
  while (!stop.aborted) {
    try {
      const response = await fetch(`/lovable/api/sessions/${id}/events?after=${cursor}`, {
        headers: { ...(await headers()), accept: 'text/event-stream' },
        signal: stop,
      })
      if (!response.ok) await parsed(response)
      link({ state: 'live' })
      failures = 0
      for await (const events of blocks(response)) {
        const fresh = events.filter((event) => event.seq > cursor)
        cursor = fresh.at(-1)?.seq ?? cursor
        if (fresh.length > 0) told(fresh)
      }
    } catch (error) {
      if (stop.aborted) return
      if (error instanceof Refused && [401, 403, 404].includes(error.status)) throw error
    }
    failures += 1
    const wait = Math.min(500 * 2 ** Math.min(failures, 4), 5000)
    if (failures > 1) link({ state: 'lost', again: Date.now() + wait })
    await new Promise((done) => setTimeout(done, wait))
  }
}

async function* blocks(response: Response): AsyncGenerator<StreamEvent[]> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const parts = (rest + value).split('\n\n')
    rest = parts.pop() ?? ''
    const events: StreamEvent[] = []
    for (const part of parts) {
      const lines = part.split('\n')
      if (!lines.some((line) => line.startsWith('id: '))) continue
      const data = lines.find((line) => line.startsWith('data: '))
      if (data) events.push(JSON.parse(data.slice(6)) as StreamEvent)
    }
    if (events.length > 0) yield events
  }
}
