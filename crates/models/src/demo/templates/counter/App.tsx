import { useState } from 'react'

// Made by the scripted demo: counter
const TITLE = 'Counter'

export default function App() {
  const [count, setCount] = useState(0)
  const [step, setStep] = useState(1)
  return (
    <main>
      <h1>{TITLE}</h1>
      <section>
        <p className="big" aria-live="polite">
          {count}
        </p>
        <div className="row">
          <button onClick={() => setCount(count - step)}>Less</button>
          <button onClick={() => setCount(count + step)}>More</button>
          <button onClick={() => setCount(0)}>Reset</button>
        </div>
        <p>
          <label>
            Step <input type="number" min={1} value={step} onChange={(e) => setStep(Math.max(1, Number(e.target.value)))} />
          </label>
        </p>
      </section>
      {/* more pages */}
    </main>
  )
}
