// Lines that differ between two texts.

export interface Line {
  kind: 'same' | 'added' | 'removed' | 'gap'
  text: string
  /** In the new text, or in the old one for what was removed. */
  number: number
}

/** Beyond this many changed lines, all of the old goes and all of the new comes. */
const EDITS_MAX = 3000
/** Lines shown around a change. */
const CONTEXT = 3

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))

/** The difference with a few lines around it. */
export function diff(before: string, after: string): Line[] {
  return folded(whole(linesOf(before), linesOf(after)))
}

export function counts(lines: Line[]): { added: number; removed: number } {
  const of = (kind: Line['kind']) => lines.filter((line) => line.kind === kind).length
  return { added: of('added'), removed: of('removed') }
}

function whole(old: string[], now: string[]): Line[] {
  let start = 0
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1
  let end = 0
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1
  const same = (from: number, to: number): Line[] =>
    now.slice(from, to).map((text, n) => ({ kind: 'same', text, number: from + n + 1 }))
  return [
    ...same(0, start),
    ...middle(old.slice(start, old.length - end), now.slice(start, now.length - end), start),
    ...same(now.length - end, now.length),
  ]
}

function middle(old: string[], now: string[], offset: number): Line[] {
  const removed = (n: number): Line => ({ kind: 'removed', text: old[n]!, number: offset + n + 1 })
  const added = (n: number): Line => ({ kind: 'added', text: now[n]!, number: offset + n + 1 })
  if (old.length * now.length > EDITS_MAX * EDITS_MAX) {
    return [...old.map((_, n) => removed(n)), ...now.map((_, n) => added(n))]
  }
  // How long the longest common part from here on is.
  const width = now.length + 1
  const table = new Uint16Array((old.length + 1) * width)
  for (let o = old.length - 1; o >= 0; o -= 1) {
    for (let n = now.length - 1; n >= 0; n -= 1) {
      table[o * width + n] =
        old[o] === now[n]
          ? table[(o + 1) * width + n + 1]! + 1
          : Math.max(table[(o + 1) * width + n]!, table[o * width + n + 1]!)
    }
  }
  const lines: Line[] = []
  let o = 0
  let n = 0
  while (o < old.length || n < now.length) {
    if (o < old.length && n < now.length && old[o] === now[n]) {
      lines.push({ kind: 'same', text: now[n]!, number: offset + n + 1 })
      o += 1
      n += 1
    } else if (o < old.length && (n === now.length || table[(o + 1) * width + n]! >= table[o * width + n + 1]!)) {
      lines.push(removed(o))
      o += 1
    } else {
      lines.push(added(n))
      n += 1
    }
  }
  return lines
}

function folded(lines: Line[]): Line[] {
  const near = lines.map(() => false)
  lines.forEach((line, at) => {
    if (line.kind === 'same') return
    for (let n = Math.max(0, at - CONTEXT); n <= Math.min(lines.length - 1, at + CONTEXT); n += 1) near[n] = true
  })
  const shown: Line[] = []
  let hidden = 0
  const gap = () => {
    if (hidden > 0) shown.push({ kind: 'gap', text: `${hidden} unchanged ${hidden === 1 ? 'line' : 'lines'}`, number: 0 })
    hidden = 0
  }
  lines.forEach((line, at) => {
    if (near[at]) {
      gap()
      shown.push(line)
    } else hidden += 1
  })
  gap()
  return shown
}
