-- A message as its row is in the original. Of `m`.
jsonb_build_object('id', m.id, 'session_id', m.session_id, 'role', m.role, 'content', m.content,
    'metadata', m.metadata, 'created_at', m.created_at)
