-- Whether object $1 still has version $2. Asked by fsck before it complains.
SELECT EXISTS (
    SELECT FROM storage.objects AS o
    WHERE o.id = $1::uuid AND coalesce(o.version, '') = $2
)
