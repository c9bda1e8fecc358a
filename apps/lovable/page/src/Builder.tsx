import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import * as api from './api'
import { Chat } from './Chat'
import { Code } from './Code'
import { Graph } from './Graph'
import { grown, type Live, needsReading, nothing, patched } from './live'
import { Log } from './Log'
import { Icon, Mark, money, Problem, ThemeButton } from './parts'
import { Preview } from './Preview'
import { Versions } from './Versions'

const TABS = ['Preview', 'Code', 'Steps', 'Log', 'Versions'] as const
type Tab = (typeof TABS)[number]

const isOpen = (turn: api.Turn) => ['queued', 'running', 'paused'].includes(turn.state)

interface Props {
  id: string
  open: (id: string | null) => void
  signedOut: () => void
}

export function Builder({ id, open, signedOut }: Props) {
  const [state, setState] = useState<api.SessionState | null>(null)
  const [live, setLive] = useState<Live>(nothing)
  const [link, setLink] = useState<api.Link>({ state: 'live' })
  const [error, setError] = useState<unknown>(null)
  const [note, setNote] = useState('')
  const [tab, setTab] = useState<Tab>('Preview')
  const shown = useRef<api.SessionState | null>(null)

  useEffect(() => {
    const stop = new AbortController()
    let reading: ReturnType<typeof setTimeout> | null = null
    let early: api.StreamEvent[] = []
    const take = (next: api.SessionState) => {
      shown.current = next
      setState(next)
      document.title = `${next.title ?? 'Untitled'} · Builder`
    }
    const read = async () => {
      reading = null
      try {
        const next = await api.show(id)
        if (stop.signal.aborted) return
        const behind = early.filter((event) => event.seq > next.cursor)
        early = []
        take(patched(next, behind))
      } catch (why) {
        if (stop.signal.aborted) return
        const final = why instanceof api.Refused && [401, 403, 404].includes(why.status)
        if (final) setError(why)
        // The server is away for a moment: what is shown stays, and it is asked again.
        else reading ??= setTimeout(() => void read(), 1000)
      }
    }
    const told = (events: api.StreamEvent[]) => {
      const now = shown.current
      if (!now) return
      early.push(...events)
      const fresh = events.filter((event) => event.seq > now.cursor)
      take(patched(now, fresh))
      if (needsReading(fresh, now)) {
        // Jobs that are new must be known before what they say can be placed.
        const unknown = fresh.some((event) => event.kind === 'job.queued' || event.kind === 'session.message')
        if (reading === null) reading = setTimeout(() => void read(), unknown ? 30 : 150)
      }
      setLive((was) => grown(was, events))
    }
    const begin = async () => {
      try {
        const first = await api.show(id)
        if (stop.signal.aborted) return
        take(first)
        // The log of the turn that is last, or under way, is read from its beginning.
        const open = first.turns.find(isOpen) ?? first.turns.at(-1)
        const after = Math.min(first.cursor, open?.labels?.from_seq ?? first.cursor)
        await api.follow(id, after, stop.signal, told, setLink)
      } catch (why) {
        if (stop.signal.aborted) return
        if (why instanceof api.Refused && why.status === 401) signedOut()
        else setError(why)
      }
    }
    void begin()
    return () => {
      stop.abort()
      if (reading) clearTimeout(reading)
      document.title = 'Builder'
    }
  }, [id, signedOut])

  const act = useCallback(async (words: string, doing: () => Promise<unknown>) => {
    setNote('')
    try {
      await doing()
      setNote(words)
      return true
    } catch (why) {
      setNote(why instanceof Error ? why.message : String(why))
      return false
    }
  }, [])

  const turn = state?.turns.at(-1) ?? null
  const running = useMemo(() => state?.turns.find(isOpen) ?? null, [state])
  const spoken = useSpoken(turn)

  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return
      const at = Number(event.key) - 1
      const next = TABS[at]
      if (next) setTab(next)
    }
    addEventListener('keydown', key)
    return () => removeEventListener('keydown', key)
  }, [])

  if (error) {
    return (
      <div className="front">
        <Problem error={error} />
        <button type="button" onClick={() => open(null)}>
          Back to your apps
        </button>
      </div>
    )
  }
  if (!state) return <div className="builder" aria-busy="true" />
  const versions = state.checkpoints.filter((one) => one.metadata.version !== undefined).length

  const download = () =>
    act('The archive is downloaded', async () => {
      const url = URL.createObjectURL(await api.zip(id))
      const anchor = document.createElement('a')
      anchor.href = url
      anchor.download = 'app.zip'
      anchor.click()
      setTimeout(() => URL.revokeObjectURL(url), 10_000)
    })

  return (
    <div className="builder">
      <header className="bar">
        <button type="button" className="quiet square" onClick={() => open(null)} aria-label="Your apps" title="Your apps">
          <Icon name="back" />
        </button>
        <Mark />
        <h1>{state.title ?? 'Untitled'}</h1>
        <span className="hint wide-only">
          {versions === 1 ? '1 version' : `${versions} versions`} · <span data-cost>{money(state.cost)}</span> so far
        </span>
        <span className="grow" />
        <span className={`link-state ${link.state}`} role="status">
          {link.state === 'live' ? 'Live' : 'Reconnecting'}
        </span>
        <button type="button" onClick={() => void download()}>
          <Icon name="download" /> Zip
        </button>
        <ThemeButton />
      </header>
      <Chat
        state={state}
        live={live}
        running={running}
        note={note}
        send={(text) => act('', () => api.prompt(id, text, crypto.randomUUID()))}
        stop={() => void act('The turn is being stopped', () => api.stop(id))}
        restore={(checkpoint) => void act('Restored', () => api.restore(id, checkpoint))}
        show={setTab}
      />
      <main id="content" className="stage">
        <div className="tabs" role="tablist" aria-label="Views">
          {TABS.map((name, at) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={tab === name}
              aria-controls={`view-${name}`}
              tabIndex={tab === name ? 0 : -1}
              title={`${name} (${at + 1})`}
              onClick={() => setTab(name)}
              onKeyDown={(event) => {
                const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
                if (step === 0) return
                const next = TABS[(at + step + TABS.length) % TABS.length]!
                setTab(next)
                document.getElementById(`tab-${next}`)?.focus()
              }}
            >
              {name}
              {name === 'Code' ? <small>{state.files.length}</small> : null}
              {name === 'Versions' ? <small>{versions}</small> : null}
            </button>
          ))}
        </div>
        {TABS.map((name) => (
          <div key={name} id={`view-${name}`} role="tabpanel" aria-labelledby={`tab-${name}`} className="view" hidden={tab !== name}>
            {name === 'Preview' ? <Preview state={state} rebuild={() => void act('', () => api.rebuild(id))} /> : null}
            {name === 'Code' && tab === name ? <Code state={state} live={live} /> : null}
            {name === 'Steps' && tab === name ? <Graph turn={turn} /> : null}
            {name === 'Log' && tab === name ? <Log state={state} lines={live.log} /> : null}
            {name === 'Versions' && tab === name ? (
              <Versions
                state={state}
                restore={(one) => void act(`Restored: ${one.label ?? 'an earlier state'}`, () => api.restore(id, one.id))}
                fork={(one) =>
                  void act('', async () => open(await api.fork(id, one.id, `${state.title ?? 'Untitled'} (fork)`)))
                }
              />
            ) : null}
          </div>
        ))}
      </main>
      <div className="hidden" role="status" aria-live="polite">
        {spoken}
      </div>
    </div>
  )
}

/** What a screen reader is told: steps that begin to run, and how turns end. */
function useSpoken(turn: api.Turn | null): string {
  const step = turn?.steps.find((one) => one.state === 'running')
  if (!turn) return ''
  if (turn.state === 'completed') return 'The turn is completed'
  if (turn.state === 'failed') return 'The turn has failed'
  if (turn.state === 'cancelled') return 'The turn was stopped'
  return step ? `${step.name}, running` : ''
}
