import { useId } from 'react'
import { Icon } from './parts'

interface Props {
  text: string
  setText: (text: string) => void
  send: (text: string) => void
  busy: boolean
  placeholder: string
  note?: string
}

/** Characters of a prompt at most, as the server has it. */
const CHARS_MAX = 20_000

export function Composer({ text, setText, send, busy, placeholder, note }: Props) {
  const id = useId()
  const ready = text.trim() !== '' && !busy
  const go = () => {
    if (ready) send(text.trim())
  }
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault()
        go()
      }}
    >
      <label className="hidden" htmlFor={id}>
        What to build or change
      </label>
      <textarea
        id={id}
        rows={3}
        value={text}
        maxLength={CHARS_MAX}
        placeholder={placeholder}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault()
            go()
          }
        }}
      />
      <div className="row">
        <span className="hint">{note ?? 'Enter sends, Shift Enter is a new line'}</span>
        <button type="submit" className="primary square" disabled={!ready} aria-label="Send" title="Send">
          <Icon name="send" />
        </button>
      </div>
    </form>
  )
}
