-- Why: what belongs to a session: its messages, files, checkpoints, artifacts,
-- tool runs and sandboxes. Files are kept by content, once for each owner and
-- never across owners; a checkpoint is a cursor into everything else.
-- Lock impact: adds columns with constant defaults to work.sessions, which
-- rewrites nothing; everything else is new.

ALTER TABLE work.sessions
    -- The number of its last message. Numbers of deleted messages do not come back.
    ADD COLUMN message_seq bigint NOT NULL DEFAULT 0,
    -- So many checkpoints without a label are kept, the newest ones.
    ADD COLUMN keep_checkpoints integer NOT NULL DEFAULT 20 CHECK (keep_checkpoints BETWEEN 0 AND 1000),
    ADD COLUMN forked_from uuid REFERENCES work.sessions ON DELETE SET NULL;
CREATE INDEX sessions_forked_from ON work.sessions (forked_from) WHERE forked_from IS NOT NULL;

CREATE TABLE work.messages (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    session_id uuid NOT NULL REFERENCES work.sessions ON DELETE CASCADE,
    -- Counts within the session, without two of one number.
    seq bigint NOT NULL,
    -- A client's own name for it, unique in its session: sent twice, kept once.
    key text CHECK (char_length(key) BETWEEN 1 AND 200),
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    -- A book of a thousand pages fits; a film does not.
    content text NOT NULL DEFAULT '' CHECK (octet_length(content) <= 1048576),
    -- What is not text: calls of tools, pictures by address.
    parts jsonb,
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    job_id uuid REFERENCES work.jobs ON DELETE SET NULL,
    -- A restored checkpoint put it aside. It is kept, and may come back.
    superseded_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The words, and the session's owner as one more word: so the index finds
    -- what is the caller's without looking at what is not.
    search tsvector NOT NULL
);
CREATE UNIQUE INDEX messages_seq ON work.messages (session_id, seq);
CREATE UNIQUE INDEX messages_key ON work.messages (session_id, key) WHERE key IS NOT NULL;
CREATE INDEX messages_job ON work.messages (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX messages_search ON work.messages USING gin (search);

-- Bytes by content. Two owners with the same bytes have two rows: whether
-- somebody else has a file must show nowhere, not even in the time of a write.
CREATE TABLE work.blobs (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    -- Empty for sessions that have no owner.
    owner text NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    size bigint NOT NULL,
    -- Larger files belong into storage, with an artifact that says where.
    content bytea NOT NULL CHECK (octet_length(content) <= 8388608),
    -- Last written or used by a write: what is young is not swept.
    used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX blobs_content ON work.blobs (owner, sha256);
CREATE INDEX blobs_used ON work.blobs (used_at);

-- The files of a session as they are.
CREATE TABLE work.workspace_files (
    session_id uuid NOT NULL REFERENCES work.sessions ON DELETE CASCADE,
    -- Relative and normalised, see work_engine.clean_path.
    path text COLLATE "C" NOT NULL,
    blob_id uuid NOT NULL REFERENCES work.blobs,
    size bigint NOT NULL,
    mode text NOT NULL DEFAULT '644' CHECK (mode IN ('644', '755')),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, path)
);
CREATE INDEX workspace_files_blob ON work.workspace_files (blob_id);

-- The files of a session as they were: never changed, shared by all
-- checkpoints and forks that saw the same files.
CREATE TABLE work.trees (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    owner text NOT NULL,
    -- Of all paths, modes and contents.
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    files integer NOT NULL,
    size bigint NOT NULL,
    used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX trees_content ON work.trees (owner, hash);
CREATE INDEX trees_used ON work.trees (used_at);

CREATE TABLE work.tree_files (
    tree_id uuid NOT NULL REFERENCES work.trees ON DELETE CASCADE,
    path text COLLATE "C" NOT NULL,
    blob_id uuid NOT NULL REFERENCES work.blobs,
    size bigint NOT NULL,
    mode text NOT NULL,
    PRIMARY KEY (tree_id, path)
);
CREATE INDEX tree_files_blob ON work.tree_files (blob_id);

CREATE TABLE work.checkpoints (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    session_id uuid NOT NULL REFERENCES work.sessions ON DELETE CASCADE,
    -- Without one it is an automatic checkpoint, of which the newest are kept.
    label text CHECK (char_length(label) BETWEEN 1 AND 1000),
    -- The number of the last message, and which of all those were in force.
    message_seq bigint NOT NULL,
    messages int8multirange NOT NULL,
    tree_id uuid NOT NULL REFERENCES work.trees,
    -- The last event and the last job of the session at that moment.
    event_seq bigint NOT NULL,
    job_cursor uuid,
    -- Somebody else's word for a snapshot of theirs, such as a sandbox's.
    snapshot_ref text CHECK (char_length(snapshot_ref) <= 4000),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX checkpoints_session ON work.checkpoints (session_id, created_at DESC, id DESC);
CREATE INDEX checkpoints_tree ON work.checkpoints (tree_id);

-- What a job made stays with its session when the job is pruned. Without a
-- session it has nothing to stay with: nobody sees it then, and it is swept.
CREATE TABLE work.artifacts (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    session_id uuid REFERENCES work.sessions ON DELETE CASCADE,
    job_id uuid REFERENCES work.jobs ON DELETE SET NULL,
    type text NOT NULL CHECK (char_length(type) BETWEEN 1 AND 100),
    name text CHECK (char_length(name) <= 1000),
    uri text NOT NULL CHECK (char_length(uri) BETWEEN 1 AND 4000),
    size bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX artifacts_lost ON work.artifacts (id) WHERE session_id IS NULL AND job_id IS NULL;
CREATE INDEX artifacts_session ON work.artifacts (session_id, created_at DESC) WHERE session_id IS NOT NULL;
CREATE INDEX artifacts_job ON work.artifacts (job_id, created_at DESC) WHERE job_id IS NOT NULL;

CREATE TABLE work.tool_runs (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    session_id uuid REFERENCES work.sessions ON DELETE CASCADE,
    job_id uuid REFERENCES work.jobs ON DELETE SET NULL,
    tool text NOT NULL CHECK (char_length(tool) BETWEEN 1 AND 200),
    input jsonb,
    output jsonb,
    error text CHECK (octet_length(error) <= 65536),
    duration_ms integer NOT NULL DEFAULT 0 CHECK (duration_ms >= 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tool_runs_lost ON work.tool_runs (id) WHERE session_id IS NULL AND job_id IS NULL;
CREATE INDEX tool_runs_session ON work.tool_runs (session_id, created_at DESC) WHERE session_id IS NOT NULL;
CREATE INDEX tool_runs_job ON work.tool_runs (job_id, created_at DESC) WHERE job_id IS NOT NULL;

CREATE TABLE work.sandboxes (
    id uuid PRIMARY KEY DEFAULT work.uuid_v7(),
    session_id uuid NOT NULL REFERENCES work.sessions ON DELETE CASCADE,
    -- The provider's id.
    sandbox_id text NOT NULL CHECK (char_length(sandbox_id) BETWEEN 1 AND 500),
    url text CHECK (char_length(url) <= 4000),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'stopped', 'error')),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX sandboxes_provider ON work.sandboxes (session_id, sandbox_id);

-- Who shows the key of a session without an owner becomes its owner. Only the
-- key's hash is kept.
CREATE TABLE work_engine.claim_keys (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES work.sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX claim_keys_session ON work_engine.claim_keys (session_id);
ALTER TABLE work_engine.claim_keys ENABLE ROW LEVEL SECURITY;

SELECT work_engine.admit();
