import { type FormEvent, useState } from 'react'
import * as api from './api'
import { Mark, Problem, ThemeButton } from './parts'

export function SignIn({ about, done }: { about: api.About; done: () => void }) {
  const [error, setError] = useState<unknown>(null)
  const [busy, setBusy] = useState(false)
  const [isNew, setNew] = useState(true)
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')

  const go = (signing: () => Promise<void>) => async (event?: FormEvent) => {
    event?.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await signing()
      done()
    } catch (why) {
      setError(why)
      setBusy(false)
    }
  }
  const byMail = go(() => (isNew ? api.signUp(email, password) : api.signIn(email, password)))

  return (
    <div className="front">
      <header>
        <Mark /> <strong>Builder</strong>
        <ThemeButton />
      </header>
      <main id="content">
        <h1>Say what you want, and watch it being built</h1>
        <p className="lead">What you build is yours: sign in, so that only you see it, on any device.</p>
        <div className="card sign">
          {about.guests ? (
            <>
              <button type="button" className="primary wide" disabled={busy} onClick={() => void go(api.signInAsGuest)()}>
                Go on as a guest
              </button>
              <div className="or">or by e-mail</div>
            </>
          ) : null}
          <form onSubmit={(event) => void byMail(event)}>
            <label>
              E-mail
              <input
                type="email"
                required
                autoComplete="email"
                value={email}
                onChange={(event) => setEmail(event.target.value)}
              />
            </label>
            <label>
              Password
              <input
                type="password"
                required
                minLength={6}
                autoComplete={isNew ? 'new-password' : 'current-password'}
                value={password}
                onChange={(event) => setPassword(event.target.value)}
              />
            </label>
            {error ? <Problem error={error} /> : null}
            <button type="submit" className={about.guests ? 'wide' : 'primary wide'} disabled={busy}>
              {isNew ? 'Create an account' : 'Sign in'}
            </button>
            <button type="button" className="link" onClick={() => setNew(!isNew)}>
              {isNew ? 'I have an account already' : 'I have no account yet'}
            </button>
          </form>
        </div>
      </main>
    </div>
  )
}
