import { useEffect, useRef, useState } from 'react'

// Made by the scripted demo: snake
const TITLE = 'Snake'

const SIZE = 16
type Cell = { x: number; y: number }
type Game = { snake: Cell[]; food: Cell; over: boolean }

const TURNS: Record<string, Cell> = {
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
}

function fresh(): Game {
  return { snake: [{ x: 8, y: 8 }], food: { x: 4, y: 4 }, over: false }
}

function somewhere(snake: Cell[]): Cell {
  for (;;) {
    const cell = { x: Math.floor(Math.random() * SIZE), y: Math.floor(Math.random() * SIZE) }
    if (!snake.some((part) => part.x === cell.x && part.y === cell.y)) return cell
  }
}

function step(game: Game, turn: Cell): Game {
  const head = { x: game.snake[0].x + turn.x, y: game.snake[0].y + turn.y }
  const out = head.x < 0 || head.y < 0 || head.x >= SIZE || head.y >= SIZE
  if (out || game.snake.some((part) => part.x === head.x && part.y === head.y)) return { ...game, over: true }
  if (head.x === game.food.x && head.y === game.food.y) {
    const snake = [head, ...game.snake]
    return { ...game, snake, food: somewhere(snake) }
  }
  return { ...game, snake: [head, ...game.snake.slice(0, -1)] }
}

export default function App() {
  const [game, setGame] = useState<Game>(fresh)
  const turn = useRef<Cell>({ x: 1, y: 0 })

  useEffect(() => {
    function pressed(event: KeyboardEvent) {
      const next = TURNS[event.key]
      if (!next) return
      event.preventDefault()
      if (next.x !== -turn.current.x || next.y !== -turn.current.y) turn.current = next
    }
    window.addEventListener('keydown', pressed)
    const timer = setInterval(() => setGame((now) => (now.over ? now : step(now, turn.current))), 160)
    return () => {
      window.removeEventListener('keydown', pressed)
      clearInterval(timer)
    }
  }, [])

  return (
    <main>
      <h1>{TITLE}</h1>
      <section>
        <p role="status">
          {game.over ? 'Over. ' : ''}Points: {game.snake.length - 1}
        </p>
        <svg viewBox={`0 0 ${SIZE} ${SIZE}`} width="100%" style={{ maxWidth: '28rem', background: 'var(--background)' }} role="img" aria-label="The field">
          <rect x={game.food.x} y={game.food.y} width={1} height={1} fill="#dc2626" />
          {game.snake.map((part, index) => (
            <rect key={index} x={part.x} y={part.y} width={1} height={1} fill="var(--accent)" />
          ))}
        </svg>
        <p className="muted">Arrow keys steer.</p>
        <button
          onClick={() => {
            turn.current = { x: 1, y: 0 }
            setGame(fresh())
          }}
        >
          New game
        </button>
      </section>
      {/* more pages */}
    </main>
  )
}
