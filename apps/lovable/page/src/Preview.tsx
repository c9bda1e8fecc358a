import { useRef, useState } from 'react'
import type { SessionState } from './api'
import { Icon, StateIcon } from './parts'
import { stepWord } from './Chat'

export function Preview({ state, rebuild }: { state: SessionState; rebuild: () => void }) {
  const frame = useRef<HTMLIFrameElement>(null)
  const [narrow, setNarrow] = useState(false)
  const [again, setAgain] = useState(0)
  const turn = state.turns.at(-1) ?? null
  const shown = state.turns.findLast((one) => one.steps.some((step) => step.name === 'preview' && step.state === 'completed'))
  const up = shown?.steps.find((step) => step.name === 'preview')
  const url = state.preview ?? null
  const building = turn !== null && ['queued', 'running', 'paused'].includes(turn.state)
  const wasUp = typeof up?.output?.url === 'string'

  if (!url) {
    return (
      <div className="empty">
        {building && turn ? (
          <>
            <ol className="stages" aria-label="Stages">
              {turn.steps.map((step) => (
                <li key={step.id} className={step.state}>
                  <span className="bar" />
                  <StateIcon state={step.state} />
                  {stepWord(step.name)}
                </li>
              ))}
            </ol>
            <p>The preview opens as soon as the app runs.</p>
          </>
        ) : (
          <>
            <p>{turn ? (wasUp ? 'The preview has gone to sleep.' : 'Nothing runs.') : 'Say what you want to build.'}</p>
            {turn ? (
              <button type="button" onClick={rebuild}>
                Start the preview
              </button>
            ) : null}
          </>
        )}
      </div>
    )
  }
  return (
    <div className="preview">
      <div className="toolbar">
        <span className="address" title={url}>
          {url.replace(/^https?:\/\//, '').replace(/\?.*$/, '')}
        </span>
        {building ? <span className="hint">Showing the version before</span> : null}
        <span className="grow" />
        <button type="button" className="quiet square" aria-pressed={narrow} aria-label="Narrow screen" title="Narrow screen" onClick={() => setNarrow(!narrow)}>
          <Icon name="phone" />
        </button>
        <button type="button" className="quiet square" aria-label="Load again" title="Load again" onClick={() => setAgain(again + 1)}>
          <Icon name="reload" />
        </button>
        <a className="button quiet square" href={url} target="_blank" rel="noreferrer noopener" aria-label="Open in a window" title="Open in a window">
          <Icon name="open" />
        </a>
      </div>
      <div className={narrow ? 'frame narrow' : 'frame'}>
        <iframe
          ref={frame}
          key={`${shown?.id ?? ''} ${again}`}
          src={url}
          title="Preview of your app"
          sandbox="allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-downloads"
          referrerPolicy="no-referrer"
        />
      </div>
    </div>
  )
}
