-- Why: the drama generator's asset library: pictures, clips and texts of a
-- user's projects, with tags. It was a tree of files with a document beside
-- each; the documents are rows here, and files are Storage's.
-- Lock impact: creates new objects; policies take an exclusive lock on
-- storage.objects for the moment of the commit.

CREATE SCHEMA drama;
COMMENT ON SCHEMA drama IS 'Drama generator: assets. Served by the app, under row-level security.';
REVOKE ALL ON SCHEMA drama FROM PUBLIC;
GRANT USAGE ON SCHEMA drama TO authenticated, service_role;

CREATE TABLE drama.assets (
    asset_id uuid PRIMARY KEY,
    -- Whose it is; the library shows nobody others' assets.
    user_id uuid NOT NULL DEFAULT auth.uid() REFERENCES auth.users ON DELETE CASCADE,
    project_name text NOT NULL CHECK (char_length(project_name) BETWEEN 1 AND 200),
    -- The project as its folder is named.
    project text NOT NULL CHECK (project ~ '^[a-z0-9_-]{1,200}$'),
    asset_type text NOT NULL CHECK (asset_type IN ('image', 'video', 'text')),
    tag text NOT NULL CHECK (tag IN ('character', 'storyboard', 'clip')),
    filename text NOT NULL CHECK (char_length(filename) BETWEEN 1 AND 500),
    content_type text NOT NULL CHECK (char_length(content_type) BETWEEN 1 AND 255),
    file_size bigint NOT NULL CHECK (file_size >= 0),
    -- Its bytes in the bucket, in the owner's own folder.
    r2_key text NOT NULL UNIQUE,
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A list is a project's, newest first.
CREATE INDEX assets_project ON drama.assets (user_id, project, created_at DESC, asset_id);

ALTER TABLE drama.assets ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own assets" ON drama.assets TO authenticated
    USING (user_id = (SELECT auth.uid()))
    WITH CHECK (user_id = (SELECT auth.uid()) AND starts_with(r2_key, user_id::text || '/'));
GRANT SELECT, DELETE ON drama.assets TO authenticated;
-- Whose it is and when it came are not the client's to say.
GRANT INSERT (
    asset_id, project_name, project, asset_type, tag, filename, content_type, file_size, r2_key, metadata
) ON drama.assets TO authenticated;
GRANT ALL ON drama.assets TO service_role;

-- Public to read, since clients show pictures by their public address. Names
-- are random, and only an owner's list says them. A project may have a bucket
-- of that name already: then it stays as it is.
INSERT INTO storage.buckets (id, name, public)
VALUES ('drama-assets', 'drama-assets', true)
ON CONFLICT (id) DO NOTHING;

CREATE POLICY "drama: own folder" ON storage.objects TO authenticated
    USING (bucket_id = 'drama-assets' AND split_part(name, '/', 1) = (SELECT auth.uid())::text)
    WITH CHECK (bucket_id = 'drama-assets' AND split_part(name, '/', 1) = (SELECT auth.uid())::text);
