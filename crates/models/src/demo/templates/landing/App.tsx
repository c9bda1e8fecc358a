import { useState } from 'react'

// Made by the scripted demo: landing
const TITLE = 'Something new'

const FEATURES = [
  { name: 'Fast', text: 'Ready before the coffee is.' },
  { name: 'Calm', text: 'No noise, no badges, no streaks.' },
  { name: 'Yours', text: 'Take everything with you whenever you like.' },
]

export default function App() {
  const [mail, setMail] = useState('')
  const [sent, setSent] = useState(false)
  return (
    <main>
      <h1 className="big">{TITLE}</h1>
      <p className="muted">One sentence that says what it is and whom it is for.</p>
      <div className="row">
        {FEATURES.map((feature) => (
          <article className="card" key={feature.name}>
            <h2>{feature.name}</h2>
            <p>{feature.text}</p>
          </article>
        ))}
      </div>
      <section>
        <h2>Be told first</h2>
        {sent ? (
          <p role="status">Thank you, {mail}.</p>
        ) : (
          <form
            className="row"
            onSubmit={(event) => {
              event.preventDefault()
              setSent(true)
            }}
          >
            <input aria-label="Mail address" type="email" required value={mail} onChange={(e) => setMail(e.target.value)} placeholder="you@example.com" />
            <button type="submit">Sign up</button>
          </form>
        )}
      </section>
      {/* more pages */}
    </main>
  )
}
