import { useEffect, useRef, useState } from 'react'
import type { SessionState, Step, Turn } from './api'
import { Composer } from './Composer'
import type { Live } from './live'
import { money, seconds, StateIcon, STATE_WORDS, useNow } from './parts'

interface Props {
  state: SessionState
  live: Live
  running: Turn | null
  note: string
  send: (text: string) => Promise<boolean>
  stop: () => void
  restore: (checkpoint: string) => void
  show: (tab: 'Log' | 'Steps') => void
}

export function Chat({ state, live, running, note, send, stop, restore, show }: Props) {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const list = useRef<HTMLDivElement>(null)
  const near = useRef(true)

  // Follows what comes, unless somebody has scrolled up to read.
  useEffect(() => {
    const box = list.current
    if (box && near.current) box.scrollTop = box.scrollHeight
  })

  const go = async (words: string) => {
    setBusy(true)
    near.current = true
    if (await send(words)) setText('')
    setBusy(false)
  }

  return (
    <aside className="chat" aria-label="Conversation">
      <div
        className="messages"
        ref={list}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Messages"
        onScroll={(event) => {
          const box = event.currentTarget
          near.current = box.scrollHeight - box.scrollTop - box.clientHeight < 80
        }}
      >
        {entries(state).map((entry) => (
          <Entry key={entry.key} entry={entry} state={state} live={live} stop={stop} restore={restore} show={show} />
        ))}
      </div>
      <div className="foot">
        <p className="note" role="status">
          {note}
        </p>
        <Composer
          text={text}
          setText={setText}
          send={(words) => void go(words)}
          busy={busy}
          placeholder="Describe a change"
          note={running ? 'A turn is running; this one waits for it' : undefined}
        />
      </div>
    </aside>
  )
}

type EntryOf = { key: string; request: string | null; answer: string | null; turn: Turn | null }

/** Each turn with what was asked and answered, in the order of their beginning. */
function entries(state: SessionState): EntryOf[] {
  const all: (EntryOf & { at: string })[] = []
  const told = new Set<string>()
  for (const turn of state.turns) {
    const ids = new Set([turn.id, ...turn.steps.map((step) => step.id)])
    const of = state.messages.filter((message) => message.job_id !== null && ids.has(message.job_id))
    for (const message of of) told.add(message.id)
    const said = (role: string) => of.find((message) => message.role === role)?.content ?? null
    // What was put aside by going back is no longer part of the conversation.
    if (!turn.labels?.refresh && of.length === 0) continue
    all.push({ key: turn.id, at: turn.created_at, request: said('user'), answer: said('assistant'), turn })
  }
  for (const message of state.messages) {
    if (told.has(message.id)) continue
    const mine = message.role === 'user'
    all.push({
      key: message.id,
      at: message.created_at,
      request: mine ? message.content : null,
      answer: mine ? null : message.content,
      turn: null,
    })
  }
  return all.sort((a, b) => a.at.localeCompare(b.at))
}

interface EntryProps {
  entry: EntryOf
  state: SessionState
  live: Live
  stop: () => void
  restore: (checkpoint: string) => void
  show: (tab: 'Log' | 'Steps') => void
}

function Entry({ entry, state, live, stop, restore, show }: EntryProps) {
  const plan = entry.turn?.steps.find((step) => step.name === 'plan')
  const growing = plan ? live.plans[plan.id] : undefined
  const answer = entry.answer ?? growing ?? null
  return (
    <article>
      {entry.request ? <div className="mine">{entry.request}</div> : null}
      {answer ? <Prose text={answer} growing={entry.answer === null} /> : null}
      {entry.turn ? <Card turn={entry.turn} state={state} live={live} stop={stop} restore={restore} show={show} /> : null}
    </article>
  )
}

/** A plan: paragraphs and lists, nothing else of Markdown. */
function Prose({ text, growing }: { text: string; growing: boolean }) {
  const blocks = text.split(/\n{2,}/).filter((block) => block.trim() !== '')
  return (
    <div className={growing ? 'theirs growing' : 'theirs'}>
      {blocks.map((block, at) => {
        const lines = block.split('\n')
        const items = lines.filter((line) => /^\s*([-*]|\d+\.)\s/.test(line))
        if (items.length > 0 && items.length === lines.length) {
          return (
            <ul key={at}>
              {items.map((line, n) => (
                <li key={n}>{plain(line.replace(/^\s*([-*]|\d+\.)\s+/, ''))}</li>
              ))}
            </ul>
          )
        }
        return <p key={at}>{plain(block.replace(/^#+\s*/, ''))}</p>
      })}
    </div>
  )
}

const plain = (text: string): string => text.replace(/\*\*|__|`/g, '')

const STEP_WORDS: Record<string, string> = {
  plan: 'Plan',
  generate: 'Write',
  apply: 'Apply',
  install: 'Install',
  preview: 'Preview',
  checkpoint: 'Keep',
}

export const stepWord = (name: string): string => STEP_WORDS[name] ?? name

function Card({ turn, state, live, stop, restore, show }: Omit<EntryProps, 'entry'> & { turn: Turn }) {
  const isOpen = ['queued', 'running', 'paused'].includes(turn.state)
  const now = useNow(isOpen)
  const cost = turn.steps.reduce((sum, step) => sum + step.cost, 0)
  const failed = turn.steps.find((step) => step.state === 'failed')
  const kept = state.checkpoints.find((one) => one.metadata.turn === turn.id)
  const before = state.checkpoints.find(
    (one) => one.metadata.version !== undefined && Date.parse(one.created_at) < Date.parse(turn.created_at),
  )
  const title = turn.labels?.refresh
    ? (turn.labels.prompt ?? 'Build')
    : kept
      ? `Version ${kept.metadata.version}`
      : isOpen
        ? 'Building'
        : 'Not kept'
  return (
    <section className={`card turn ${turn.state}`} aria-label={`${title}, ${STATE_WORDS[turn.state]}`}>
      <div className="row">
        <strong>{title}</strong>
        <StateIcon state={turn.state} label />
        <span className="grow" />
        <span className="hint tabular">
          {[seconds(turn.started_at ?? turn.created_at, turn.finished_at, now), cost > 0 ? money(cost) : ''].filter(Boolean).join(' · ')}
        </span>
      </div>
      <ol className="steps">
        {turn.steps.map((step) => (
          <li key={step.id} className={step.state}>
            <StateIcon state={step.state} />
            <span>{stepWord(step.name)}</span>
            <span className="what">{doing(step, live)}</span>
            <span className="hint tabular">{seconds(step.started_at, step.finished_at, now)}</span>
          </li>
        ))}
      </ol>
      {failed ? (
        <div className="problem">
          <span>{failed.error?.message ?? 'It failed without a reason'}</span>
          <button type="button" onClick={() => show('Log')}>
            Log
          </button>
          {before ? (
            <button type="button" onClick={() => restore(before.id)}>
              Back to version {before.metadata.version}
            </button>
          ) : null}
        </div>
      ) : null}
      {isOpen ? (
        <button type="button" className="stop" onClick={stop}>
          Stop
        </button>
      ) : null}
    </section>
  )
}

function doing(step: Step, live: Live): string {
  if (step.name === 'generate') {
    const files = live.files[step.id]
    if (step.state === 'running') return files?.at(-1)?.path ?? ''
    const count = (step.output?.files as unknown[] | undefined)?.length
    if (count) return count === 1 ? '1 file' : `${count} files`
  }
  if (step.name === 'install' && step.state === 'running') {
    return live.log.findLast((line) => line.job === step.id && line.kind === 'line')?.text.split('\n').at(-1) ?? ''
  }
  const skipped = step.output?.skipped
  return typeof skipped === 'string' ? skipped : ''
}
