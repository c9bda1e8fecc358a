import { useEffect, useState } from 'react'

// Made by the scripted demo: todo
const TITLE = 'Things to do'

type Item = { id: number; text: string; done: boolean }

function stored(): Item[] {
  try {
    return JSON.parse(localStorage.getItem('items') ?? '[]') as Item[]
  } catch {
    return []
  }
}

export default function App() {
  const [items, setItems] = useState<Item[]>(stored)
  const [text, setText] = useState('')

  useEffect(() => {
    localStorage.setItem('items', JSON.stringify(items))
  }, [items])

  function add(event: React.FormEvent) {
    event.preventDefault()
    if (text.trim() === '') return
    setItems([...items, { id: Date.now(), text: text.trim(), done: false }])
    setText('')
  }

  const open = items.filter((item) => !item.done).length
  return (
    <main>
      <h1>{TITLE}</h1>
      <section>
        <form className="row" onSubmit={add}>
          <input aria-label="New item" value={text} onChange={(e) => setText(e.target.value)} placeholder="What is next?" />
          <button type="submit">Add</button>
        </form>
        <ul>
          {items.map((item) => (
            <li key={item.id}>
              <input
                type="checkbox"
                style={{ width: 'auto' }}
                aria-label={item.text}
                checked={item.done}
                onChange={() => setItems(items.map((i) => (i.id === item.id ? { ...i, done: !i.done } : i)))}
              />
              <span style={{ flex: 1, textDecoration: item.done ? 'line-through' : 'none' }}>{item.text}</span>
              <button onClick={() => setItems(items.filter((i) => i.id !== item.id))}>Remove</button>
            </li>
          ))}
        </ul>
        <p className="muted">{open === 0 ? 'Nothing is open.' : `${open} open`}</p>
      </section>
      {/* more pages */}
    </main>
  )
}
