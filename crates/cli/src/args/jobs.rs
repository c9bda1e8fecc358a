//! What can be typed after `ferrobase jobs`.

use clap::{Subcommand, ValueEnum};

/// Which server is asked, when it is not the one that runs in the folder.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server's address instead of what runs in this folder
    /// (or `FERROBASE_URL`).
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A key of it, where a service key sees everybody's jobs
    /// (or `FERROBASE_KEY`).
    #[arg(long, global = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// List jobs, the newest first.
    #[command(after_help = "\
Examples:
  ferrobase jobs list
  ferrobase jobs list --state failed --type render --limit 100
  ferrobase jobs list --waiting-on limit,approval --all
  ferrobase jobs list --json | jq -r '.[].id'")]
    List(ListArgs),
    /// Show a job: what is below it, its attempts and steps, and why it is not running.
    Show {
        /// The job's id.
        job: String,
    },
    /// Follow what happens to a job and everything below it, until it is over.
    ///
    /// On a terminal the last line shows how far it is.
    Tail {
        /// The job's id.
        job: String,
        /// Only events behind this number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// Print what there is, and end.
        #[arg(long)]
        no_follow: bool,
    },
    /// Let failed or cancelled jobs run again, with what is below them.
    ///
    /// Steps that are done stay done.
    Retry(ChangeArgs),
    /// Cancel jobs with everything below them.
    Cancel {
        #[command(flatten)]
        jobs: ChangeArgs,
        /// Why, for people.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Stop jobs with everything below them until they are resumed.
    Pause(ChangeArgs),
    /// Let paused jobs go on.
    Resume(ChangeArgs),
    /// Draw a job's tree and what waits for what.
    #[command(after_help = "\
Examples:
  ferrobase jobs graph 0199…-…
  ferrobase jobs graph 0199…-… --format dot | dot -Tsvg > graph.svg")]
    Graph {
        /// The job's id.
        job: String,
        /// How to draw.
        #[arg(long, value_enum, default_value_t = GraphFormat::Ascii)]
        format: GraphFormat,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// In these states.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(crate) state: Vec<JobState>,
    /// That wait for one of these: dependencies, time, retry, limit, budget,
    /// queue, children, signal, approval, timer.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) waiting_on: Vec<String>,
    /// Of these types.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// In this queue.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Of this owner.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Jobs below others, too, instead of roots alone.
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// The jobs' ids.
    #[arg(required = true, value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
}

/// The states that a job can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobState {
    Queued,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl JobState {
    /// As the table has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How `jobs graph` draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Lines for people.
    Ascii,
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
}
