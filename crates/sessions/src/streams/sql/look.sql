-- As the caller: whether the stream is theirs to read, and how far it is.
SELECT last_seq FROM work.streams WHERE id = $1::uuid
