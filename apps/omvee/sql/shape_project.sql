-- Purpose: a project as OMVEE shows it, from its row `p`.
-- Callers: routes::projects; an expression, not a statement.
jsonb_build_object('id', p.id, 'name', p.name, 'audio_path', p.audio_path, 'audio_url', p.audio_url,
    'audio_duration', p.audio_duration, 'audio_format', p.audio_format,
    'transcript_text', p.transcript_text, 'transcription_status', p.transcription_status,
    'transcription_data', p.transcription_data, 'transcription_edited', p.transcription_edited,
    'status', p.status, 'available_artist_ids', p.available_artist_ids,
    'selected_reference_images', p.selected_reference_images,
    'created_at', p.created_at, 'updated_at', p.updated_at)
