//! What can be typed after `ferrobase keys s3`.

use clap::Subcommand;

use super::DatabaseArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum S3KeysVerb {
    /// Make an access key and print it with its secret.
    #[command(after_help = "\
Examples:
  ferrobase keys s3 create --description 'nightly copy' --read-only
  ferrobase keys s3 create --role partner --claims '{\"team\": 7}'")]
    Create(CreateS3KeyArgs),
    /// List the access keys, without secrets.
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// End an access key at once, everywhere.
    Revoke {
        /// The access key.
        key: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateS3KeyArgs {
    /// The database role it acts as.
    #[arg(long, default_value = "service_role")]
    pub(crate) role: String,
    /// Claims for policies, as a JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,
    /// It may change nothing.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}
