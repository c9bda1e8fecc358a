//! What can be typed after `ferrobase storage`.

use clap::Subcommand;

use super::DatabaseArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum StorageVerb {
    /// Hold files and rows against each other.
    ///
    /// Finds rows whose files are missing, too short or damaged, and files
    /// that no row names. May run while the server does.
    #[command(after_help = "\
Examples:
  ferrobase storage fsck
  ferrobase storage fsck --verify
  ferrobase storage fsck --repair
  ferrobase storage fsck --json | jq .report

Exits with 0 when everything is as it should be, 3 when it is not.")]
    Fsck(FsckArgs),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
pub(crate) struct FsckArgs {
    /// Read every file and hold it against the sum taken when it was written.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Remove files that no row names, and what is left of unfinished uploads.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Remove rows whose files are missing. A backup may still have them.
    #[arg(long)]
    pub(crate) forget_missing: bool,
    /// The folder of `serve` instead of `dev`.
    #[arg(long)]
    pub(crate) serve: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}
