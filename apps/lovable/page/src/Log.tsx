import { useEffect, useRef } from 'react'
import type { SessionState } from './api'
import { stepWord } from './Chat'
import { type LogLine, stepOf } from './live'

export function Log({ state, lines: all }: { state: SessionState; lines: LogLine[] }) {
  const lines = all
    .map((line) => ({ ...line, step: stepOf(state, line.job) }))
    .filter((line) => line.step !== null && line.step !== 'turn')
  const box = useRef<HTMLDivElement>(null)
  const near = useRef(true)
  useEffect(() => {
    if (box.current && near.current) box.current.scrollTop = box.current.scrollHeight
  }, [lines])
  return (
    <div
      className="log"
      role="log"
      aria-live="off"
      aria-label="Log"
      tabIndex={0}
      ref={box}
      onScroll={(event) => {
        const at = event.currentTarget
        near.current = at.scrollHeight - at.scrollTop - at.clientHeight < 60
      }}
    >
      {lines.length === 0 ? <p className="hint">Waiting for the first event.</p> : null}
      {lines.map((line, at) => (
        <div key={`${line.seq} ${at}`} className={`line ${line.kind}`}>
          <time dateTime={line.at}>{new Date(line.at).toLocaleTimeString([], { hour12: false })}</time>
          <span className="step">{stepWord(line.step ?? '')}</span>
          <span className="text">{line.text}</span>
        </div>
      ))}
    </div>
  )
}
