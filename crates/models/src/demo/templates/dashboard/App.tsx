import { useMemo, useState } from 'react'

// Made by the scripted demo: dashboard
const TITLE = 'Dashboard'

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']
const WEEKS: Record<string, number[]> = {
  'This week': [32, 41, 28, 54, 61, 22, 19],
  'Last week': [25, 38, 31, 47, 40, 18, 24],
}

export default function App() {
  const [week, setWeek] = useState('This week')
  const values = WEEKS[week]
  const total = useMemo(() => values.reduce((sum, value) => sum + value, 0), [values])
  const most = Math.max(...values)
  return (
    <main>
      <h1>{TITLE}</h1>
      <div className="row">
        {Object.keys(WEEKS).map((name) => (
          <button key={name} aria-pressed={name === week} onClick={() => setWeek(name)}>
            {name}
          </button>
        ))}
      </div>
      <div className="row" style={{ marginTop: '1rem' }}>
        <article className="card">
          <p className="muted">Visits</p>
          <p className="big">{total}</p>
        </article>
        <article className="card">
          <p className="muted">Best day</p>
          <p className="big">{DAYS[values.indexOf(most)]}</p>
        </article>
        <article className="card">
          <p className="muted">A day</p>
          <p className="big">{Math.round(total / values.length)}</p>
        </article>
      </div>
      <section>
        <svg viewBox="0 0 140 70" role="img" aria-label={`Visits, ${week}`} width="100%">
          {values.map((value, index) => (
            <g key={DAYS[index]}>
              <rect x={index * 20 + 4} y={58 - (value / most) * 50} width={12} height={(value / most) * 50} rx={2} fill="var(--accent)" />
              <text x={index * 20 + 10} y={67} fontSize={6} textAnchor="middle" fill="currentColor">
                {DAYS[index]}
              </text>
            </g>
          ))}
        </svg>
      </section>
      {/* more pages */}
    </main>
  )
}
