//! What can be typed. The texts here are what `--help` shows.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

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
  ferrobase serve --database-url postgres://…   production

Exit codes: 0 done, 1 failed or not running, 2 wrong usage, 130 interrupted."
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
    /// Check this machine, the folder and the database; say what to do.
    #[command(after_help = "Exits with 1 when a check failed; warnings are no failure.")]
    Doctor(DatabaseArgs),
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
pub(crate) enum ConfigVerb {
    /// Show each setting, its value and who said it. Secrets are hidden.
    Explain {
        /// The settings of `serve` instead of `dev`.
        #[arg(long)]
        serve: bool,
    },
}
