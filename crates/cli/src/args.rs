//! What can be typed. The texts here are what `--help` shows.

pub(crate) mod backup;
pub(crate) mod jobs;
pub(crate) mod s3_keys;
pub(crate) mod storage;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use server::operate::access::FindingKind;

/// A Supabase-compatible backend in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "ferrobase",
    version,
    about,
    propagate_version = false,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  ferrobase dev                          start everything for the project in this folder
  ferrobase status -o env > .env.local   URLs and keys for your app
  ferrobase migration new add_todos      an empty migration to write into
  ferrobase db reset                     rebuild the local database from the files
  ferrobase gen types > types.ts         the database's types for supabase-js
  ferrobase serve --database-url postgres://…   production

Exit codes: 0 done, 1 failed or not running, 2 wrong usage, 3 an objection of
`access` or `storage fsck`, 130 interrupted."
)]
pub(crate) struct Args {
    /// The project's folder, the one that contains `supabase`.
    #[arg(long, global = true, default_value = ".", value_name = "FOLDER")]
    pub(crate) dir: PathBuf,

    /// Print JSON instead of text, errors too.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where the database is, when it is not the managed one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Use this PostgreSQL (14 to 18) instead of the managed one.
    #[arg(long, alias = "db-url", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start everything for the project in this folder.
    ///
    /// Makes `.ferrobase/`, starts PostgreSQL, applies `supabase/migrations`
    /// and the seeds, serves the API and prints URLs and keys. Ctrl-C stops it.
    #[command(after_help = "\
Examples:
  ferrobase dev
  ferrobase dev --port 8000 --no-seed
  ferrobase dev --types src/database.types.ts
  ferrobase dev --database-url postgres://postgres:postgres@localhost:5432/app
  ferrobase dev --json --port 0 --db-port 0    one line of JSON when it is ready")]
    Dev(DevArgs),
    /// Serve in production.
    ///
    /// Settings come from ferrobase.toml, `FERROBASE__SECTION__NAME` and
    /// PostgREST's PGRST_* names; `ferrobase config explain` shows them.
    #[command(after_help = "\
Examples:
  ferrobase serve --database-url postgres://authenticator:…@db.internal/app
  PGRST_DB_URI=postgres://… ferrobase serve --port 3000
  ferrobase serve --data-dir /var/lib/ferrobase/app    with the managed PostgreSQL")]
    Serve(ServeArgs),
    /// Show URLs and keys of the instance that runs in this folder.
    #[command(after_help = "\
Examples:
  ferrobase status
  ferrobase status -o env > .env.local
  ferrobase status -o env --override-name api.url=NEXT_PUBLIC_SUPABASE_URL

Exits with 1 when nothing runs here.")]
    Status(StatusArgs),
    /// Stop the instance that runs in this folder.
    Stop,
    /// Work on the database as a whole.
    Db {
        #[command(subcommand)]
        verb: DbVerb,
    },
    /// Make, apply and list the project's migrations.
    Migration {
        #[command(subcommand)]
        verb: MigrationVerb,
    },
    /// Generate code from the database.
    Gen {
        #[command(subcommand)]
        verb: GenVerb,
    },
    /// Back up everything under one id, verify backups, restore them.
    Backup {
        #[command(flatten)]
        place: backup::PlaceArgs,
        #[command(subcommand)]
        verb: backup::BackupVerb,
    },
    /// Tell who may read and write what, and why.
    Access {
        #[command(subcommand)]
        verb: AccessVerb,
    },
    /// Show the project's keys, running or not; make and end API keys.
    ///
    /// `dev` on loopback has the well-known local keys of the Supabase CLI;
    /// `serve` has the project's own, made once and kept in `keys.json`.
    /// Below are further keys with a name, a role and scopes, kept as hashes
    /// in the database.
    Keys {
        /// The keys of `serve` instead of `dev`.
        #[arg(long)]
        serve: bool,
        #[command(subcommand)]
        verb: Option<KeysVerb>,
    },
    /// Look at durable work, follow it and change it.
    ///
    /// Asks what runs in this folder, with its service key; or the server of
    /// `--url` with `--key`.
    Jobs {
        #[command(flatten)]
        server: jobs::ServerArgs,
        #[command(subcommand)]
        verb: jobs::JobsVerb,
    },
    /// Look after files.
    Storage {
        #[command(subcommand)]
        verb: storage::StorageVerb,
    },
    /// Check this machine, the folder and the database; say what to do.
    #[command(after_help = "Exits with 1 when a check failed; warnings are no failure.")]
    Doctor(DatabaseArgs),
    /// Look at what runs code that nobody vouches for.
    Sandbox {
        #[command(subcommand)]
        verb: SandboxVerb,
    },
    /// Look at the settings.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print the completion script of a shell.
    #[command(after_help = "\
Examples:
  ferrobase completions bash > /etc/bash_completion.d/ferrobase
  ferrobase completions zsh > ~/.zfunc/_ferrobase")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxVerb {
    /// Say how strongly this machine isolates code, found out by doing it.
    #[command(
        after_help = "Exits with 3 when code would run without isolation, that is, not at all."
    )]
    Doctor,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Port of the API; 0 takes any free one [default: 54321].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Port of the managed PostgreSQL; 0 takes any free one [default: 54322].
    #[arg(long)]
    pub(crate) db_port: Option<u16>,
    /// Address to listen on [default: localhost].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Leave out `roles.sql` and the seeds.
    #[arg(long)]
    pub(crate) no_seed: bool,
    /// Serve this app beside the rooms: `omvee` or `open_lovable`. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Vec<String>,
    /// Write the types for supabase-js here, and again when the schema changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) types: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Port of the API; 0 takes any free one [default: 54321].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Address to listen on [default: 0.0.0.0].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Serve this app beside the rooms: `omvee` or `open_lovable`. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Vec<String>,
    /// Folder of keys and, without a database URL, of the managed PostgreSQL.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Pretty)]
    pub(crate) output: Format,
    /// Another name for a value, such as `api.url=NEXT_PUBLIC_SUPABASE_URL`.
    #[arg(long, value_name = "VALUE=NAME", value_delimiter = ',')]
    pub(crate) override_name: Vec<String>,
}

/// How `status` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned lines for people.
    Pretty,
    /// NAME="value" lines.
    Env,
    /// One object.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbVerb {
    /// Drop the database and rebuild it from migrations and seeds.
    Reset {
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Leave out `roles.sql` and the seeds.
        #[arg(long)]
        no_seed: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make an API key; its secret is printed once and never again.
    #[command(after_help = "\
Examples:
  ferrobase keys create nightly-report --role service_role --read-only --expires 90d
  ferrobase keys create partner --role partner --scope rest,storage:read --per-minute 600
  ferrobase keys create ada --role authenticated --sub 4f6c…e2")]
    Create(CreateKeyArgs),
    /// List the API keys, without secrets.
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Give an API key another secret; the one before it works for a while.
    Rotate {
        /// Its id, name or prefix.
        key: String,
        /// How long the secret before it goes on working.
        #[arg(long, default_value = "24h", value_name = "TIME")]
        overlap: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Make, list and revoke access keys of the S3 protocol.
    S3 {
        #[command(subcommand)]
        verb: s3_keys::S3KeysVerb,
    },
    /// End an API key at once, everywhere.
    Revoke {
        /// Its id, name or prefix.
        key: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateKeyArgs {
    /// Its name, for people.
    pub(crate) name: String,
    /// The database role it stands for.
    #[arg(long)]
    pub(crate) role: String,
    /// The user it stands for (`auth.uid()`).
    #[arg(long, value_name = "UUID")]
    pub(crate) sub: Option<String>,
    /// More claims for policies, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,
    /// Rooms it opens: rest, storage:read, auth-admin, … or `*`; other words
    /// are for your policies.
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "rest"
    )]
    pub(crate) scopes: Vec<String>,
    /// It may change nothing, whatever it calls.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Requests in a minute, on each node.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) per_minute: Option<u32>,
    /// How long it lasts, such as 12h or 90d [default: until it is revoked].
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrationVerb {
    /// Make an empty migration, named for this moment.
    New {
        /// What it does, such as `add_todos`.
        name: String,
    },
    /// Apply the migrations that the database has not.
    Up {
        /// Also those that are older than the last one applied.
        #[arg(long)]
        include_all: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Compare the files with what the database has applied.
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenVerb {
    /// Print the database's types for supabase-js.
    ///
    /// Byte for byte what the Supabase CLI prints, formatted. Without flags it
    /// reads the instance that runs in this folder, or its managed database.
    #[command(after_help = "\
Examples:
  ferrobase gen types typescript > src/database.types.ts
  ferrobase gen types --schema public --schema private
  ferrobase gen types --db-url postgres://postgres:postgres@localhost:5432/app
  ferrobase gen types --watch --output src/database.types.ts")]
    Types(TypesArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TypesArgs {
    /// The language to print.
    #[arg(value_enum, default_value_t = Language::Typescript)]
    pub(crate) language: Language,
    /// The same as a flag.
    #[arg(long, value_enum, hide = true)]
    pub(crate) lang: Option<Language>,
    /// A schema to print, again and again or with commas [default: public and
    /// the exposed ones].
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) schema: Vec<String>,
    /// Read this PostgreSQL instead.
    #[arg(
        long,
        visible_alias = "db-url",
        alias = "remote",
        value_name = "URL",
        conflicts_with = "local"
    )]
    pub(crate) database_url: Option<String>,
    /// Read the local database, which is what happens without flags.
    #[arg(long)]
    pub(crate) local: bool,
    /// Leave out which relationships are one to one: PostgREST 9 answered
    /// those with arrays.
    #[arg(long)]
    pub(crate) postgrest_v9_compat: bool,
    /// Tell supabase-js this PostgREST version, as types of hosted projects do.
    #[arg(long, value_name = "VERSION")]
    pub(crate) postgrest_version: Option<String>,
    /// Write to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Go on, and write the file again whenever the schema changes.
    #[arg(long, requires = "output")]
    pub(crate) watch: bool,
}

/// What `gen types` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// For supabase-js.
    Typescript,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessVerb {
    /// Tell why rows are hidden from somebody, or a write refused.
    ///
    /// Nothing is changed: policies are asked about rows in a read-only
    /// transaction that is rolled back.
    #[command(after_help = "\
Examples:
  ferrobase access explain GET '/notes?select=id,title'              as anon
  ferrobase access explain --as authenticated GET /notes
  ferrobase access explain --as 8d1f…-…-4c2e GET '/notes?id=eq.7'    as this user
  ferrobase access explain --as '{\"role\":\"authenticated\",\"sub\":\"…\",\"app_metadata\":{}}' GET /notes
  ferrobase access explain --as \"$TOKEN\" --prefer return=representation \\
      --data '{\"title\":\"new\"}' POST /notes

Exit codes: 0 nothing stands in the way, 3 rows are hidden or the request is
refused, 1 failed, 2 wrong usage.")]
    Explain(ExplainArgs),
    /// List what roles may read and write right now.
    #[command(after_help = "\
Examples:
  ferrobase access report
  ferrobase access report --json > access.json
  ferrobase access report --fail-on anon-write,no-rls
  ferrobase access report --expect access.json

Exit codes: 0 nothing to object, 3 a finding of --fail-on or a difference from
--expect, 1 failed, 2 wrong usage.")]
    Report(ReportArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Whose access: a role, a user's id, claims as JSON, or a token.
    #[arg(long = "as", value_name = "WHO", default_value = "anon")]
    pub(crate) subject: String,
    /// The method, such as GET.
    pub(crate) method: String,
    /// The path, such as '/notes?id=eq.7' or /rpc/total.
    pub(crate) path: String,
    /// The body, as JSON.
    #[arg(long, value_name = "JSON", default_value = "")]
    pub(crate) data: String,
    /// A preference of the request, such as return=representation.
    #[arg(long, value_name = "PREFERENCE")]
    pub(crate) prefer: Vec<String>,
    /// The schema, when it is not the default one.
    #[arg(long)]
    pub(crate) schema: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Whose access.
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_values = ["anon", "authenticated"])]
    pub(crate) role: Vec<String>,
    /// Which schemas [default: the exposed ones].
    #[arg(long, value_name = "SCHEMA", value_delimiter = ',')]
    pub(crate) schema: Vec<String>,
    /// Exit with 3 when there is such a finding.
    #[arg(long, value_name = "FINDING", value_delimiter = ',', value_parser = finding)]
    pub(crate) fail_on: Vec<FindingKind>,
    /// Exit with 3 unless access is as an earlier `--json` report says.
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

fn finding(word: &str) -> Result<FindingKind, String> {
    FindingKind::parse(word).ok_or_else(|| {
        let known = FindingKind::ALL.map(|(word, _)| word).join(", ");
        format!("the findings are {known}")
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show each setting, its value and who said it. Secrets are hidden.
    Explain {
        /// The settings of `serve` instead of `dev`.
        #[arg(long)]
        serve: bool,
    },
}
