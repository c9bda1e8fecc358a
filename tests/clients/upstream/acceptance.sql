-- Purpose: what the acceptance suite of the official storage server expects to find: a bucket
-- whose folder `authenticated` everybody who is signed in may use, and nobody else.
-- Callers: xtask/src/upstream/acceptance.rs, as a migration of its project.
INSERT INTO storage.buckets (id, name, public) VALUES ('bucket2', 'bucket2', false);

CREATE POLICY "signed in" ON storage.objects TO authenticated
    USING (bucket_id = 'bucket2' AND (storage.foldername(name))[1] = 'authenticated')
    WITH CHECK (bucket_id = 'bucket2' AND (storage.foldername(name))[1] = 'authenticated');
