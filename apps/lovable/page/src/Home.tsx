import { useCallback, useEffect, useState } from 'react'
import * as api from './api'
import { Composer } from './Composer'
import { ago, Mark, Problem, StateIcon, ThemeButton } from './parts'

const IDEAS = [
  'A todo list with due dates',
  'A landing page for a small bakery',
  'A dashboard with three charts',
  'A counter with a history',
]

export function Home({ about, open, signOut }: { about: api.About; open: (id: string) => void; signOut: () => void }) {
  const [list, setList] = useState<api.SessionEntry[] | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)

  const load = useCallback(() => {
    setError(null)
    api.sessions().then(setList, setError)
  }, [])
  useEffect(load, [load])

  const send = async (words: string) => {
    setBusy(true)
    setError(null)
    try {
      const id = await api.create()
      await api.prompt(id, words, crypto.randomUUID())
      open(id)
    } catch (why) {
      setError(why)
      setBusy(false)
    }
  }

  return (
    <div className="front">
      <header>
        <Mark /> <strong>Builder</strong>
        <span className="grow" />
        <span className="hint">{api.who()}</span>
        {about.open ? null : (
          <button type="button" className="quiet" onClick={signOut}>
            Sign out
          </button>
        )}
        <ThemeButton />
      </header>
      <main id="content">
        <h1>What do you want to build?</h1>
        <Composer text={text} setText={setText} send={send} busy={busy} placeholder="A recipe box with nutrition labels" />
        <ul className="ideas" aria-label="Ideas">
          {IDEAS.map((idea) => (
            <li key={idea}>
              <button type="button" onClick={() => setText(idea)}>
                {idea}
              </button>
            </li>
          ))}
        </ul>
        {error ? <Problem error={error} retry={load} /> : null}
        <section className="yours" aria-labelledby="yours">
          <h2 id="yours">Your apps</h2>
          {list === null && !error ? <div className="skeleton" aria-hidden="true" /> : null}
          {list?.length === 0 ? <p className="hint">None yet. The first prompt makes one.</p> : null}
          <ul>
            {list?.map((one) => (
              <li key={one.id}>
                <a
                  href={`/lovable/s/${one.id}`}
                  onClick={(event) => {
                    if (event.metaKey || event.ctrlKey) return
                    event.preventDefault()
                    open(one.id)
                  }}
                >
                  <span className="title">{one.title ?? 'Untitled'}</span>
                  {one.running ? <StateIcon state="running" label /> : null}
                  <span className="hint">{ago(one.updated_at)}</span>
                </a>
              </li>
            ))}
          </ul>
        </section>
      </main>
    </div>
  )
}
