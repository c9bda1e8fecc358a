import { useEffect, useState } from 'react'

// Made by the scripted demo: notes
const TITLE = 'Notes'

type Note = { id: number; text: string }

function stored(): Note[] {
  try {
    return JSON.parse(localStorage.getItem('notes') ?? '[]') as Note[]
  } catch {
    return []
  }
}

export default function App() {
  const [notes, setNotes] = useState<Note[]>(stored)
  const [search, setSearch] = useState('')

  useEffect(() => {
    localStorage.setItem('notes', JSON.stringify(notes))
  }, [notes])

  const found = notes.filter((note) => note.text.toLowerCase().includes(search.toLowerCase()))
  return (
    <main>
      <h1>{TITLE}</h1>
      <div className="row">
        <input style={{ flex: 1 }} aria-label="Search" value={search} onChange={(e) => setSearch(e.target.value)} placeholder="Search" />
        <button onClick={() => setNotes([{ id: Date.now(), text: '' }, ...notes])}>New note</button>
      </div>
      {found.map((note) => (
        <section key={note.id}>
          <textarea
            rows={3}
            aria-label="Note"
            value={note.text}
            onChange={(e) => setNotes(notes.map((n) => (n.id === note.id ? { ...n, text: e.target.value } : n)))}
          />
          <button onClick={() => setNotes(notes.filter((n) => n.id !== note.id))}>Remove</button>
        </section>
      ))}
      {found.length === 0 && <p className="muted">No notes.</p>}
      {/* more pages */}
    </main>
  )
}
