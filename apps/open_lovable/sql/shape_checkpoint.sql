-- A checkpoint as its row is in the original. Of `c`.
jsonb_build_object('id', c.id, 'session_id', c.session_id, 'label', coalesce(c.label, ''),
    'snapshot_ref', coalesce(c.snapshot_ref, ''), 'created_at', c.created_at, 'metadata', c.metadata)
