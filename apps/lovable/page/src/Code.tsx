import { useEffect, useMemo, useRef, useState } from 'react'
import * as api from './api'
import { counts, diff, type Line } from './diff'
import type { Live, LiveFile } from './live'
import { Icon } from './parts'

/** Files of the session beside those that the last turn writes. */
export function Code({ state, live }: { state: api.SessionState; live: Live }) {
  const turn = state.turns.findLast((one) => !one.labels?.refresh) ?? null
  const job = turn?.steps.find((step) => step.name === 'generate') ?? null
  const written = useMemo(() => (job ? (live.files[job.id] ?? []) : []), [job, live])
  const [chosen, setChosen] = useState<string | null>(null)
  const writing = job?.state === 'running'
  // While files are written the newest is shown, unless one was chosen.
  const path = chosen ?? (writing ? placed(written.at(-1)?.path) : null) ?? placed(written[0]?.path) ?? 'src/App.tsx'
  const paths = useMemo(() => {
    const all = new Set([...state.files.map((file) => file.path), ...written.map((file) => placed(file.path)!)])
    return [...all].sort((a, b) => a.localeCompare(b))
  }, [state.files, written])
  const file = written.find((one) => placed(one.path) === path)
  const version = turn ? Date.parse(turn.created_at) : 0
  const before = state.checkpoints.find(
    (one) => one.metadata.version !== undefined && Date.parse(one.created_at) < version,
  )

  return (
    <div className="code">
      <nav aria-label="Files">
        <ul>
          {paths.map((one) => {
            const now = written.find((file) => placed(file.path) === one)
            return (
              <li key={one}>
                <button type="button" aria-current={one === path ? 'true' : undefined} onClick={() => setChosen(one)} title={one}>
                  <Icon name="file" />
                  <span className="name">{one}</span>
                  {now ? <span className={now.done ? 'dot done' : 'dot'} title={now.done ? 'Changed by the last turn' : 'Being written'} /> : null}
                </button>
              </li>
            )
          })}
        </ul>
      </nav>
      <FileView key={path} id={state.id} path={path} file={file} before={before?.id ?? null} stamp={state.files.find((one) => one.path === path)?.updated_at ?? ''} />
    </div>
  )
}

/** Where a file that the model names goes, as the server places it. */
function placed(path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  const short = path.replace(/^\/app\//, '').replace(/^\.\//, '')
  const root = /^(src|public)\//.test(short) || /^(index\.html|package\.json|README\.md|(vite|tailwind|postcss)\.config\..*|tsconfig\..*)$/.test(short)
  return root ? short : `src/${short}`
}

interface FileProps {
  id: string
  path: string
  file: LiveFile | undefined
  before: string | null
  stamp: string
}

function FileView({ id, path, file, before, stamp }: FileProps) {
  const [old, setOld] = useState<string | null>(null)
  const [now, setNow] = useState<string | null | undefined>(undefined)
  const [error, setError] = useState<unknown>(null)
  const [whole, setWhole] = useState(false)
  const box = useRef<HTMLDivElement>(null)

  useEffect(() => {
    let current = true
    const read = async () => {
      try {
        const then = before ? await api.file(id, path, before) : null
        const text = await api.file(id, path)
        if (!current) return
        setOld(then)
        setNow(text)
      } catch (why) {
        if (current) setError(why)
      }
    }
    void read()
    return () => {
      current = false
    }
  }, [id, path, before, stamp])

  const text = file ? file.text : now
  const isWriting = file !== undefined && !file.done
  const lines = useMemo<Line[]>(() => {
    if (text === undefined || text === null) return []
    const plain = (kind: Line['kind']): Line[] => text.split('\n').map((one, n) => ({ kind, text: one, number: n + 1 }))
    if (isWriting) return plain('added')
    if (whole || file === undefined) return plain('same')
    return diff(old ?? '', text)
  }, [text, old, whole, isWriting, file])
  const count = counts(lines)

  useEffect(() => {
    if (isWriting && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [isWriting, lines])

  return (
    <section className="file" aria-label={path}>
      <div className="toolbar">
        <span className="address">{path}</span>
        {file?.done ? (
          <span className="counts tabular">
            <ins>+{count.added}</ins> <del>−{count.removed}</del>
          </span>
        ) : null}
        {isWriting ? <span className="hint">Being written</span> : null}
        <span className="grow" />
        {file?.done ? (
          <button type="button" className="quiet" aria-pressed={whole} onClick={() => setWhole(!whole)}>
            Whole file
          </button>
        ) : null}
      </div>
      <div className="lines" ref={box} tabIndex={0} role="region" aria-label={`Text of ${path}`}>
        {error ? <p className="hint">The file could not be read.</p> : null}
        {now === null && !file ? <p className="hint">This is no text, or the file is gone.</p> : null}
        <table>
          <tbody>
            {lines.map((line, at) => (
              <tr key={at} className={line.kind}>
                <td className="number">{line.number || ''}</td>
                <td className="sign" aria-label={line.kind === 'same' || line.kind === 'gap' ? undefined : line.kind}>
                  {line.kind === 'added' ? '+' : line.kind === 'removed' ? '−' : ''}
                </td>
                <td className="text">{line.text}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}
