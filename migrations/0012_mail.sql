-- Why: a mail is written in the transaction that makes it necessary, so that
-- both happen or neither, and sent afterwards by whichever node comes first.
-- Without SMTP it stays in the built-in inbox instead. Bodies hold links that
-- sign people in: nobody but the auth room reads these tables, and the body
-- goes when the mail has.
-- Lock impact: creates new objects only; no existing relation is locked.

DO $$
BEGIN
    IF to_regclass('ferrobase.mail_queue') IS NULL THEN
        CREATE TABLE ferrobase.mail_queue (
            -- The Message-ID is made of it: a mail that goes out twice because
            -- a node died in between can be recognised as one.
            id uuid PRIMARY KEY,
            template text NOT NULL,
            recipient text NOT NULL,
            subject text NOT NULL,
            html text NOT NULL,
            plain text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
            attempts integer NOT NULL DEFAULT 0,
            -- When it may be claimed: at once, after a pause, or when the
            -- lease of whoever has it now has run out.
            next_at timestamptz NOT NULL DEFAULT now(),
            claim uuid,
            last_error text,
            done_at timestamptz
        );
        COMMENT ON TABLE ferrobase.mail_queue IS 'Mails on their way, and for a week those that went or could not.';
        CREATE INDEX mail_queue_waiting ON ferrobase.mail_queue (next_at) WHERE state = 'waiting';
        CREATE INDEX mail_queue_done ON ferrobase.mail_queue (done_at) WHERE state <> 'waiting';
        ALTER TABLE ferrobase.mail_queue ENABLE ROW LEVEL SECURITY;
    END IF;

    IF to_regclass('ferrobase.inbox') IS NULL THEN
        CREATE TABLE ferrobase.inbox (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id uuid NOT NULL UNIQUE,
            sender_name text NOT NULL,
            sender text NOT NULL,
            recipient text NOT NULL,
            subject text NOT NULL,
            html text NOT NULL,
            plain text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            seen boolean NOT NULL DEFAULT false
        );
        COMMENT ON TABLE ferrobase.inbox IS 'The built-in inbox: mails that would have been sent if there were an SMTP server.';
        ALTER TABLE ferrobase.inbox ENABLE ROW LEVEL SECURITY;
    END IF;
END;
$$;

-- One statement for each right, since a managed database may refuse any.
DO $$
DECLARE
    item record;
BEGIN
    IF to_regrole('supabase_auth_admin') IS NULL THEN
        RETURN;
    END IF;
    PERFORM ferrobase.attempt('mail for supabase_auth_admin', 'mails can be neither queued nor shown',
        'GRANT USAGE ON SCHEMA ferrobase TO supabase_auth_admin');
    FOR item IN SELECT unnest(ARRAY['mail_queue', 'inbox']) AS name LOOP
        PERFORM ferrobase.attempt(format('mail for supabase_auth_admin: %s', item.name), 'mails can be neither queued nor shown',
            format('GRANT SELECT, INSERT, UPDATE, DELETE ON ferrobase.%I TO supabase_auth_admin', item.name));
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_policy AS p
            WHERE p.polrelid = format('ferrobase.%I', item.name)::regclass AND p.polname = 'auth_room'
        ) THEN
            EXECUTE format('CREATE POLICY auth_room ON ferrobase.%I TO supabase_auth_admin USING (true) WITH CHECK (true)', item.name);
        END IF;
    END LOOP;
END;
$$;
