//! The table of every setting: name, kind, default, limit and the foreign
//! names it answers to. Files, environment and flags are all checked against
//! it, `config explain` and the reference page are printed from it.
//!
//! To add a setting: one row here, one field in [`super::Config`], one line in
//! `check.rs`.

use super::key::{Key, Kind, key};

const TX_END: Kind = Kind::Choice(&[
    "commit",
    "commit-allow-override",
    "rollback",
    "rollback-allow-override",
]);
const OPENAPI_MODE: Kind = Kind::Choice(&["follow-privileges", "ignore-privileges", "disabled"]);
const LOG_LEVEL: Kind = Kind::Choice(&["crit", "error", "warn", "info", "debug", "trace"]);

/// Every setting but those of sections that are described elsewhere.
pub(super) const OWN: &[Key] = &[
    key(
        "api.host",
        Kind::Text,
        "localhost",
        "Address to listen on: a name, an IP, or `*` for every interface.",
    )
    .serve("0.0.0.0")
    .postgrest("SERVER_HOST"),
    key(
        "api.port",
        Kind::Number,
        "54321",
        "Port of the HTTP API; 0 lets the system choose.",
    )
    .postgrest("SERVER_PORT"),
    key(
        "api.require_apikey",
        Kind::Flag,
        "false",
        "Refuse a request that shows no API key.",
    )
    .serve("true"),
    key(
        "api.cors_origins",
        Kind::List,
        "",
        "Browser origins that may call; empty means every origin.",
    )
    .postgrest("SERVER_CORS_ALLOWED_ORIGINS"),
    key(
        "api.connections_max",
        Kind::Number,
        "10000",
        "Connections held at once; later ones wait in the listen queue.",
    ),
    key(
        "api.header_bytes_max",
        Kind::Size,
        "64KiB",
        "Largest request head, at least 8KiB.",
    ),
    key(
        "api.header_timeout",
        Kind::Span,
        "15s",
        "How long a client may take to send a request head, or stay idle.",
    ),
    key(
        "api.body_bytes_max",
        Kind::Size,
        "10MiB",
        "Largest request body.",
    ),
    key(
        "api.request_timeout",
        Kind::Span,
        "60s",
        "How long one request may take before it is answered with 504.",
    ),
    key(
        "api.drain_timeout",
        Kind::Span,
        "10s",
        "How long running requests may finish at shutdown.",
    ),
    key(
        "api.trust_proxy",
        Kind::Flag,
        "false",
        "Take the client's address from the last X-Forwarded-For entry.",
    ),
    key(
        "api.metrics",
        Kind::Flag,
        "true",
        "Serve Prometheus metrics at /metrics.",
    ),
    key(
        "api.server_timing",
        Kind::Flag,
        "false",
        "Tell the time of each stage in Server-Timing.",
    )
    .postgrest("SERVER_TIMING_ENABLED"),
    key(
        "api.trace_header",
        Kind::Text,
        "",
        "Request header to send back unchanged.",
    )
    .postgrest("SERVER_TRACE_HEADER"),
    key(
        "rate_limit.per_ip",
        Kind::Number,
        "0",
        "Requests per second and client address; 0 means no limit.",
    ),
    key(
        "rate_limit.per_key",
        Kind::Number,
        "0",
        "Requests per second and API key or token; 0 means no limit.",
    ),
    key(
        "rate_limit.burst",
        Kind::Number,
        "50",
        "Requests that may come at once before the rate counts.",
    ),
    key(
        "jobs.enabled",
        Kind::Flag,
        "true",
        "Serve jobs and sessions and do their work.",
    ),
    key(
        "jobs.expose",
        Kind::Flag,
        "true",
        "Show schema `work` in the data API, behind the schemas of `db.schemas`.",
    ),
    key(
        "jobs.lease",
        Kind::Span,
        "30s",
        "How long a claim holds without a sign of life, unless the worker says.",
    ),
    key(
        "jobs.keep",
        Kind::Span,
        "720h",
        "How long a finished tree of jobs is kept, unless its type says.",
    ),
    key(
        "jobs.keep_sessions",
        Kind::Span,
        "720h",
        "How long a deleted session is kept before it is removed with everything that belongs to it.",
    ),
    key("log.level", LOG_LEVEL, "info", "Least severe event to log.").postgrest("LOG_LEVEL"),
    key(
        "log.format",
        Kind::Choice(&["auto", "pretty", "json"]),
        "auto",
        "`auto` is pretty on a terminal and JSON elsewhere.",
    ),
    key(
        "log.requests",
        Kind::Choice(&["all", "errors", "none"]),
        "all",
        "Which requests get a line.",
    ),
    key(
        "inbox.enabled",
        Kind::Flag,
        "true",
        "Show mails that are not sent at a port of this machine.",
    )
    .serve("false"),
    key(
        "inbox.port",
        Kind::Number,
        "54324",
        "Port of the inbox, on loopback only; 0 lets the system choose.",
    ),
    key(
        "apps.enabled",
        Kind::List,
        "",
        "Apps to serve beside the rooms: `drama`, `lovable`, `omvee`, `open_lovable`.",
    ),
    key(
        "apps.lovable.at_once",
        Kind::Number,
        "8",
        "Jobs of turns that this process works on at once.",
    ),
    key(
        "apps.lovable.open",
        Kind::Flag,
        "false",
        "Let callers without a token in, all of them as one owner.",
    ),
    key(
        "apps.open_lovable.open",
        Kind::Flag,
        "false",
        "Let callers without a token in, all of them as one owner.",
    ),
    key(
        "db.url",
        Kind::Text,
        "",
        "PostgreSQL to use instead of the managed one.",
    )
    .secret()
    .postgrest("DB_URI"),
    key(
        "db.port",
        Kind::Number,
        "54322",
        "TCP port of the managed PostgreSQL.",
    ),
    key(
        "db.data_dir",
        Kind::Text,
        ".ferrobase",
        "Folder of the managed cluster, keys and files.",
    ),
    key(
        "db.migrate",
        Kind::Flag,
        "true",
        "Bring Ferrobase's own schema up to date at start.",
    ),
    key(
        "db.pool_size",
        Kind::Number,
        "0",
        "Database connections; 0 chooses from the number of cores.",
    )
    .postgrest("DB_POOL"),
    key(
        "db.schemas",
        Kind::List,
        "public,graphql_public",
        "Schemas that the data API shows; the first is the default.",
    )
    .postgrest("DB_SCHEMAS"),
    key(
        "db.anon_role",
        Kind::Text,
        "anon",
        "Role of a request without a token; empty refuses such requests.",
    )
    .postgrest("DB_ANON_ROLE"),
    key(
        "db.extra_search_path",
        Kind::List,
        "public,extensions",
        "Schemas added to the search path of every request.",
    )
    .postgrest("DB_EXTRA_SEARCH_PATH"),
    key(
        "db.max_rows",
        Kind::Number,
        "1000",
        "Most rows in one answer; 0 means no limit.",
    )
    .postgrest("DB_MAX_ROWS"),
    key(
        "db.pre_request",
        Kind::Text,
        "",
        "Function to call at the start of every request.",
    )
    .postgrest("DB_PRE_REQUEST"),
    key(
        "db.root_spec",
        Kind::Text,
        "",
        "Function that answers at the root instead of OpenAPI.",
    )
    .postgrest("DB_ROOT_SPEC"),
    key(
        "db.tx_end",
        TX_END,
        "commit",
        "How a request's transaction ends.",
    )
    .postgrest("DB_TX_END"),
    key(
        "db.aggregates_enabled",
        Kind::Flag,
        "false",
        "Allow aggregate functions in select.",
    )
    .postgrest("DB_AGGREGATES_ENABLED"),
    key(
        "db.plan_enabled",
        Kind::Flag,
        "false",
        "Allow EXPLAIN by media type.",
    )
    .postgrest("DB_PLAN_ENABLED"),
    key(
        "db.config",
        Kind::Flag,
        "true",
        "Read settings of the authenticator role from the database.",
    )
    .postgrest("DB_CONFIG"),
    key(
        "db.pre_config",
        Kind::Text,
        "",
        "Function that sets configuration inside the database.",
    )
    .postgrest("DB_PRE_CONFIG"),
    key(
        "db.channel",
        Kind::Text,
        "pgrst",
        "Channel whose notifications reload the catalog.",
    )
    .postgrest("DB_CHANNEL"),
    key(
        "db.channel_enabled",
        Kind::Flag,
        "true",
        "Listen on that channel.",
    )
    .postgrest("DB_CHANNEL_ENABLED"),
    key(
        "db.prepared_statements",
        Kind::Flag,
        "true",
        "Prepare statements; turn off behind a transaction pooler.",
    )
    .postgrest("DB_PREPARED_STATEMENTS"),
    key(
        "rest.error_verbosity",
        Kind::Choice(&["verbose", "minimal"]),
        "verbose",
        "Whether errors carry details and hints.",
    )
    .postgrest("CLIENT_ERROR_VERBOSITY"),
    key(
        "rest.legacy_target_names",
        Kind::Flag,
        "true",
        "Filter embedded resources by target name beside the alias.",
    )
    .postgrest("URL_USE_LEGACY_TARGET_NAMES"),
    key(
        "rest.at_root",
        Kind::Flag,
        "false",
        "Serve the data API at `/` as well, where PostgREST has it.",
    ),
    key(
        "openapi.mode",
        OPENAPI_MODE,
        "follow-privileges",
        "What the description at the root shows.",
    )
    .postgrest("OPENAPI_MODE"),
    key(
        "openapi.server_proxy_uri",
        Kind::Text,
        "",
        "Address that the description names as its server.",
    )
    .postgrest("OPENAPI_SERVER_PROXY_URI"),
    key(
        "openapi.security_active",
        Kind::Flag,
        "false",
        "Describe the Authorization header.",
    )
    .postgrest("OPENAPI_SECURITY_ACTIVE"),
    key(
        "auth.jwt_secret",
        Kind::Text,
        "",
        "Secret, JWK or JWKS that tokens are verified with; empty uses the project's own.",
    )
    .secret()
    .postgrest("JWT_SECRET")
    .supabase("JWT_SECRET"),
    key(
        "auth.jwt_secret_is_base64",
        Kind::Flag,
        "false",
        "The secret is written in base64.",
    )
    .postgrest("JWT_SECRET_IS_BASE64"),
    key(
        "auth.jwt_aud",
        Kind::Text,
        "",
        "Audience that tokens must name; empty accepts any.",
    )
    .postgrest("JWT_AUD"),
    key(
        "auth.jwt_issuers",
        Kind::List,
        "",
        "Issuers of whom tokens are accepted; empty accepts any.",
    ),
    key(
        "auth.jwt_role_claim_key",
        Kind::Text,
        ".role",
        "Where in the claims the role is.",
    )
    .postgrest("JWT_ROLE_CLAIM_KEY"),
    key(
        "auth.jwt_cache_max_entries",
        Kind::Number,
        "1000",
        "Verified tokens to remember; 0 verifies every time.",
    )
    .postgrest("JWT_CACHE_MAX_ENTRIES"),
    key(
        "auth.anon_key",
        Kind::Text,
        "",
        "Legacy anon key; empty mints one from the secret.",
    )
    .secret()
    .supabase("ANON_KEY"),
    key(
        "auth.service_role_key",
        Kind::Text,
        "",
        "Legacy service_role key; empty mints one from the secret.",
    )
    .secret()
    .supabase("SERVICE_ROLE_KEY"),
    key(
        "auth.publishable_key",
        Kind::Text,
        "",
        "`sb_publishable_` key; empty uses the project's own.",
    )
    .secret()
    .supabase("SUPABASE_PUBLISHABLE_KEY"),
    key(
        "auth.secret_key",
        Kind::Text,
        "",
        "`sb_secret_` key; empty uses the project's own.",
    )
    .secret()
    .supabase("SUPABASE_SECRET_KEY"),
];

/// Settings of PostgREST that have no meaning here: accepted in silence, so
/// that a working environment keeps working.
pub(super) static POSTGREST_WITHOUT_EFFECT: &[&str] = &[
    "ADMIN_SERVER_HOST",
    "ADMIN_SERVER_PORT",
    "DB_HOISTED_TX_SETTINGS",
    "DB_POOL_ACQUISITION_TIMEOUT",
    "DB_POOL_AUTOMATIC_RECOVERY",
    "DB_POOL_MAX_IDLETIME",
    "DB_POOL_MAX_LIFETIME",
    "DB_POOL_TIMEOUT",
    "DB_TIMEZONE_ENABLED",
    "DB_USE_LEGACY_GUCS",
    "JWT_CACHE_MAX_LIFETIME",
    "LOG_QUERY",
    "SERVER_UNIX_SOCKET",
    "SERVER_UNIX_SOCKET_MODE",
];
