-- A session as its row is in the original. Of `s`.
jsonb_build_object('id', s.id, 'created_at', s.created_at, 'updated_at', s.updated_at, 'title', s.title,
    'status', s.status, 'metadata', s.metadata)
