import { Component, type ReactNode, useCallback, useEffect, useState } from 'react'
import * as api from './api'
import { Builder } from './Builder'
import { Home } from './Home'
import { Problem } from './parts'
import { SignIn } from './SignIn'

const sessionIn = (path: string): string | null => /^\/lovable\/s\/([0-9a-f-]{36})$/.exec(path)?.[1] ?? null

export function App() {
  const [about, setAbout] = useState<api.About | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [session, setSession] = useState(() => sessionIn(location.pathname))
  const [signed, setSigned] = useState(0)

  const begin = useCallback(() => {
    setError(null)
    api.begin().then(setAbout, setError)
  }, [])
  useEffect(begin, [begin])
  useEffect(() => {
    const moved = () => setSession(sessionIn(location.pathname))
    addEventListener('popstate', moved)
    return () => removeEventListener('popstate', moved)
  }, [])

  const open = useCallback((id: string | null) => {
    history.pushState(null, '', id ? `/lovable/s/${id}` : '/lovable')
    setSession(id)
  }, [])
  const signOut = useCallback(() => {
    api.signOut()
    setSigned((n) => n + 1)
  }, [])

  if (error) return <Problem error={error} retry={begin} />
  if (!about) return null
  return (
    <Boundary>
      <a className="skip" href="#content">
        Skip to content
      </a>
      {about.demo ? (
        <div className="banner" role="note">
          <strong>Demo.</strong> {about.demo}
        </div>
      ) : null}
      {about.sandbox.available ? null : (
        <div className="banner" role="note">
          <strong>No preview.</strong> {about.sandbox.words}
        </div>
      )}
      {!api.isSignedIn() ? (
        <SignIn key={signed} about={about} done={() => setSigned((n) => n + 1)} />
      ) : session ? (
        <Builder key={session} id={session} open={open} signedOut={signOut} />
      ) : (
        <Home about={about} open={open} signOut={signOut} />
      )}
    </Boundary>
  )
}

/** What breaks says so, instead of an empty page. */
class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null }
  static getDerivedStateFromError(error: unknown) {
    return { error }
  }
  override render() {
    if (this.state.error) return <Problem error={this.state.error} retry={() => location.reload()} />
    return this.props.children
  }
}
