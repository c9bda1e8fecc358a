// Small things that several screens show.

import { type ReactNode, useEffect, useState } from 'react'
import type { StepState } from './api'

export const STATE_WORDS: Record<StepState, string> = {
  queued: 'Queued',
  running: 'Running',
  paused: 'Paused',
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
}

/** Shape and colour of a state; the word stands beside it or is read out. */
export function StateIcon({ state, label }: { state: StepState; label?: boolean }) {
  const paths: Record<StepState, ReactNode> = {
    queued: <circle cx="8" cy="8" r="5.5" strokeDasharray="2.4 2.4" />,
    running: <path d="M8 2.5a5.5 5.5 0 1 1-5.5 5.5" className="spin" />,
    paused: <path d="M6 4.5v7M10 4.5v7" />,
    completed: <path d="M3.5 8.5l3 3 6-7" />,
    failed: <path d="M4.5 4.5l7 7M11.5 4.5l-7 7" />,
    cancelled: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M4.2 11.8l7.6-7.6" />
      </>
    ),
  }
  return (
    <span className={`state ${state}`}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        {paths[state]}
      </svg>
      <span className={label ? '' : 'hidden'}>{STATE_WORDS[state]}</span>
    </span>
  )
}

const ICONS = {
  send: 'M8 13V3.5M3.8 7.6L8 3.4l4.2 4.2',
  stop: 'M4.5 4.5h7v7h-7z',
  reload: 'M12.8 8A4.8 4.8 0 1 1 11 4.2M11.2 2v2.6H8.6',
  open: 'M9 3h4v4M13 3L7.5 8.5M11 9v3.5H3.5V5H7',
  download: 'M8 3v7M5 7.5l3 3 3-3M3.5 13h9',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  moon: 'M12.9 9.6A5.3 5.3 0 0 1 6.4 3.1a5.3 5.3 0 1 0 6.5 6.5z',
  back: 'M9.5 3.5L5 8l4.5 4.5',
  file: 'M4 2.5h5l3 3v8H4zM9 2.5v3h3',
  phone: 'M5 2.5h6v11H5zM7.3 11.5h1.4',
} as const

export function Icon({ name }: { name: keyof typeof ICONS }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" className="icon">
      <path d={ICONS[name]} />
    </svg>
  )
}

export function Mark() {
  return (
    <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" className="mark">
      <rect width="24" height="24" rx="6" />
      <path d="M8 18V6h8M8 12h6" />
    </svg>
  )
}

export const money = (cost: number): string =>
  cost === 0 ? '$0.00' : cost < 0.01 ? `$${cost.toFixed(4)}` : `$${cost.toFixed(2)}`

export function seconds(from: string | null, to: string | null, now: number): string {
  if (!from) return ''
  const length = Math.max(0, (to ? Date.parse(to) : now) - Date.parse(from))
  if (length < 950) return `${Math.round(length)} ms`
  if (length < 60_000) return `${(length / 1000).toFixed(1)} s`
  return `${Math.floor(length / 60_000)} min ${Math.round((length % 60_000) / 1000)} s`
}

export function ago(at: string): string {
  const minutes = Math.round((Date.now() - Date.parse(at)) / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h ago`
  return new Date(at).toLocaleDateString()
}

/** The time, again and again while something runs. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!running) return
    const timer = setInterval(() => setNow(Date.now()), 250)
    return () => clearInterval(timer)
  }, [running])
  return now
}

export function useTheme(): [boolean, () => void] {
  const dark = () =>
    document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === 'dark'
      : matchMedia('(prefers-color-scheme: dark)').matches
  const [isDark, setDark] = useState(dark)
  const change = () => {
    const next = isDark ? 'light' : 'dark'
    document.documentElement.dataset.theme = next
    try {
      localStorage.setItem('lovable.theme', next)
    } catch {
      // Forgotten with the window.
    }
    setDark(!isDark)
  }
  return [isDark, change]
}

export function ThemeButton() {
  const [isDark, change] = useTheme()
  const words = isDark ? 'Use light colours' : 'Use dark colours'
  return (
    <button type="button" className="quiet square" onClick={change} title={words} aria-label={words}>
      <Icon name={isDark ? 'sun' : 'moon'} />
    </button>
  )
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const said = error instanceof Error ? error.message : String(error)
  const request = (error as { request?: string | null }).request
  return (
    <div className="problem" role="alert">
      <span>
        {said}
        {request ? <small> Request {request}</small> : null}
      </span>
      {retry ? (
        <button type="button" onClick={retry}>
          Try again
        </button>
      ) : null}
    </div>
  )
}
