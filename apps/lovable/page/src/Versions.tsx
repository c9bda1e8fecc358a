import type { Checkpoint, SessionState } from './api'
import { ago } from './parts'

interface Props {
  state: SessionState
  restore: (checkpoint: Checkpoint) => void
  fork: (checkpoint: Checkpoint) => void
}

export function Versions({ state, restore, fork }: Props) {
  if (state.checkpoints.length === 0) {
    return <div className="empty">Every turn that ends well is kept here, to come back to.</div>
  }
  const newest = state.checkpoints.find((one) => one.metadata.version !== undefined)
  return (
    <div className="versions">
      <p className="hint">Going back loses nothing: what is there now is kept first.</p>
      <ul>
        {state.checkpoints.map((one) => (
          <li key={one.id} className="card">
            <div className="row">
              <span className="title">{one.label ?? 'Before going back'}</span>
              {one.id === newest?.id ? <span className="tag">newest</span> : null}
              <span className="grow" />
              <span className="hint">{ago(one.created_at)}</span>
              <button type="button" onClick={() => restore(one)} aria-label={`Restore ${one.label ?? 'the state before going back'}`}>
                Restore
              </button>
              <button type="button" onClick={() => fork(one)} aria-label={`Fork ${one.label ?? 'the state before going back'}`}>
                Fork
              </button>
            </div>
          </li>
        ))}
      </ul>
    </div>
  )
}
