-- Why: where songs are uploaded to. The bucket is public to read, since the
-- app's clients play files by their public address; what is written into a
-- folder is said by the owner of the project that the folder is named after.
-- A project may have a bucket of that name already: then it stays as it is.
-- Lock impact: policies take an exclusive lock on storage.objects for the
-- moment of the commit.

INSERT INTO storage.buckets (id, name, public)
VALUES ('project-files', 'project-files', true)
ON CONFLICT (id) DO NOTHING;

-- Runs as the caller, so the projects' own policy answers.
CREATE FUNCTION omvee.owns_folder(name text) RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = ''
AS $$
    SELECT EXISTS (
        SELECT FROM omvee.projects AS p
        WHERE p.id::text = split_part(name, '/', 1) AND p.user_id = auth.uid()
    );
$$;
REVOKE ALL ON FUNCTION omvee.owns_folder(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION omvee.owns_folder(text) TO authenticated, service_role;

CREATE POLICY "omvee: own projects' files" ON storage.objects TO authenticated
    USING (bucket_id = 'project-files' AND omvee.owns_folder(name))
    WITH CHECK (bucket_id = 'project-files' AND omvee.owns_folder(name));
