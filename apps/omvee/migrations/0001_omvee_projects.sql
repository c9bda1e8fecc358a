-- Why: OMVEE's projects: a song on its way to a music video, each somebody's.
-- The columns are what the app's clients read and write, the ones its own
-- migrations never made included.
-- Lock impact: creates new objects only; no existing relation is locked.

CREATE SCHEMA omvee;
COMMENT ON SCHEMA omvee IS 'OMVEE: projects. Served by the app, under row-level security.';
REVOKE ALL ON SCHEMA omvee FROM PUBLIC;
GRANT USAGE ON SCHEMA omvee TO authenticated, service_role;

CREATE TABLE omvee.projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Whose it is; the app has no others' projects.
    user_id uuid NOT NULL DEFAULT auth.uid() REFERENCES auth.users ON DELETE CASCADE,
    name varchar(255) NOT NULL CHECK (name <> ''),
    audio_path varchar(500),
    audio_url varchar(1000),
    -- Seconds.
    audio_duration double precision CHECK (audio_duration >= 0 AND audio_duration < 'Infinity'),
    audio_format varchar(50),
    transcript_text text,
    transcription_status varchar(50) NOT NULL DEFAULT 'pending'
        CHECK (transcription_status IN ('pending', 'ready', 'processing', 'completed')),
    transcription_data jsonb CHECK (jsonb_typeof(transcription_data) = 'object'),
    transcription_edited boolean NOT NULL DEFAULT false,
    status varchar(50) NOT NULL DEFAULT 'created' CHECK (status IN (
        'created', 'transcribing', 'analyzing', 'scenes_processing', 'scenes_completed',
        'generating', 'reviewing', 'complete'
    )),
    available_artist_ids uuid[] NOT NULL DEFAULT '{}',
    selected_reference_images jsonb NOT NULL DEFAULT '{}'
        CHECK (jsonb_typeof(selected_reference_images) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A list is somebody's, newest change first.
CREATE INDEX projects_owner ON omvee.projects (user_id, updated_at DESC, id DESC);

ALTER TABLE omvee.projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own projects" ON omvee.projects TO authenticated
    USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));
GRANT SELECT, DELETE ON omvee.projects TO authenticated;
-- Whose it is and when it began are not the client's to say.
GRANT INSERT (name) ON omvee.projects TO authenticated;
GRANT UPDATE (
    name, audio_path, audio_url, audio_duration, audio_format, transcript_text,
    transcription_status, transcription_data, transcription_edited, status
) ON omvee.projects TO authenticated;
GRANT ALL ON omvee.projects TO service_role;

CREATE FUNCTION omvee.touch() RETURNS trigger
LANGUAGE plpgsql
SET search_path = ''
AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
REVOKE ALL ON FUNCTION omvee.touch() FROM PUBLIC;
CREATE TRIGGER touch BEFORE UPDATE ON omvee.projects
    FOR EACH ROW EXECUTE FUNCTION omvee.touch();
