import { useState } from 'react'
import type { Turn } from './api'
import { stepWord } from './Chat'
import { money, seconds, StateIcon, STATE_WORDS, useNow } from './parts'

/** The jobs of the last turn. They are a row, so nothing moves while they change. */
export function Graph({ turn }: { turn: Turn | null }) {
  const [chosen, setChosen] = useState<string | null>(null)
  const now = useNow(turn !== null && ['queued', 'running', 'paused'].includes(turn.state))
  if (!turn) return <div className="empty">No turn has run yet.</div>
  const step =
    turn.steps.find((one) => one.id === chosen) ??
    turn.steps.find((one) => one.state === 'running' || one.state === 'failed') ??
    turn.steps[0]
  return (
    <div className="graph">
      <ol className="nodes" aria-label="Jobs of the turn">
        {turn.steps.map((one) => (
          <li key={one.id} className={one.state}>
            <button
              type="button"
              aria-pressed={one.id === step?.id}
              aria-label={`${stepWord(one.name)}, ${STATE_WORDS[one.state]}`}
              onClick={() => setChosen(one.id)}
            >
              <span className="row">
                <StateIcon state={one.state} />
                <strong>{stepWord(one.name)}</strong>
              </span>
              <span className="hint tabular">{seconds(one.started_at, one.finished_at, now) || 'not begun'}</span>
            </button>
          </li>
        ))}
      </ol>
      {step ? (
        <section className="card inspector" aria-label={`Job ${stepWord(step.name)}`}>
          <div className="row">
            <h2>{stepWord(step.name)}</h2>
            <StateIcon state={step.state} label />
          </div>
          <dl>
            <dt>Took</dt>
            <dd className="tabular">{seconds(step.started_at, step.finished_at, now) || '–'}</dd>
            <dt>Cost</dt>
            <dd className="tabular">{money(step.cost)}</dd>
            <dt>Earlier tries</dt>
            <dd className="tabular">{step.attempts}</dd>
            <dt>Job</dt>
            <dd className="mono">{step.id}</dd>
          </dl>
          {step.error ? <pre tabIndex={0}>{JSON.stringify(step.error, null, 2)}</pre> : null}
          {step.output ? <pre tabIndex={0}>{JSON.stringify(step.output, null, 2)}</pre> : null}
        </section>
      ) : null}
    </div>
  )
}
