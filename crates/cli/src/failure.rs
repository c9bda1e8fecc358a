//! What went wrong, for people and scripts: a stable code, the message, what
//! lies behind it and what to do next. Every error of the layers below becomes
//! a [`Failure`] here; codes FB1… are the managed PostgreSQL's, FB2… the
//! project's and the schema's, FB3… the server's, FB4… the command line's own.

use std::error::Error as _;

use server::app::StartError;
use server::config::ConfigError;
use server::dev::DevError;
use server::instance::InstanceError;
use server::keys::KeyError;
use server::listen::ListenError;
use server::operate::{ApiKeyError, ClusterError};
use server::project::ProjectError;

/// A verb that did not do its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The reader of our output has gone: nobody is left to tell.
    Quiet,
    /// To be told.
    Said(Said),
}

/// What is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) cause: Option<String>,
    pub(crate) next_step: Option<String>,
}

/// A failure of the command line itself.
pub(crate) fn failure(
    code: &'static str,
    message: impl Into<String>,
    next_step: impl Into<String>,
) -> Failure {
    Failure::Said(Said {
        code,
        message: message.into(),
        cause: None,
        next_step: Some(next_step.into()),
    })
}

/// The operating system refused something that has no code of its own.
pub(crate) fn system(what: &str, error: &std::io::Error) -> Failure {
    Failure::Said(Said {
        code: "FB4000",
        message: format!("could not {what}"),
        cause: Some(error.to_string()),
        next_step: None,
    })
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        match error {
            DevError::Instance(error) => error.into(),
            DevError::Cluster(error) => error.into(),
            DevError::Project(error) => error.into(),
            DevError::Start(error) => error.into(),
            DevError::Migrate(error) => Self::Said(Said {
                code: error.code(),
                message: error.to_string(),
                cause: None,
                next_step: Some(error.next_step()),
            }),
            DevError::Types(_) => Self::Said(Said {
                code: "FB3007",
                cause: error.source().map(ToString::to_string),
                message: error.to_string(),
                next_step: Some(
                    "See that the role may read the catalog; a server that is busy may need another try."
                        .to_owned(),
                ),
            }),
            DevError::Target(_) => failure(
                "FB3005",
                error.to_string(),
                "Write it as postgres://user:password@host:5432/database?sslmode=require.",
            ),
        }
    }
}

impl From<ApiKeyError> for Failure {
    fn from(error: ApiKeyError) -> Self {
        let said = |code, next: &str| failure(code, error.to_string(), next);
        match error {
            ApiKeyError::Open(error) => error.into(),
            ApiKeyError::Refused(_) => said(
                "FB4011",
                "`ferrobase keys create --help` says what a key may be.",
            ),
            ApiKeyError::Unknown(_) => {
                said("FB4012", "`ferrobase keys list` shows those there are.")
            }
            ApiKeyError::Failed(_) => Self::Said(Said {
                code: "FB3004",
                message: error.to_string(),
                cause: error.source().map(ToString::to_string),
                next_step: Some("`ferrobase doctor` looks at the database.".to_owned()),
            }),
        }
    }
}

impl From<InstanceError> for Failure {
    fn from(error: InstanceError) -> Self {
        failure(error.code(), error.to_string(), error.next_step())
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::Said(Said {
            code: error.code(),
            message: error.to_string(),
            cause: error.cause(),
            next_step: Some(error.next_step()),
        })
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        failure(error.code(), error.to_string(), error.next_step())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        failure(
            "FB3001",
            error.to_string(),
            "Correct it; `ferrobase config explain` lists every setting and who said it.",
        )
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Said(Said {
            code: "FB3002",
            cause: error.source().map(ToString::to_string),
            message: error.to_string(),
            next_step: None,
        })
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        failure(
            "FB3003",
            error.to_string(),
            "`ferrobase doctor` tells who has the port.",
        )
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Keys(error) => error.into(),
            StartError::Listen(error) => error.into(),
            StartError::Threads(_) => Self::Said(Said {
                code: "FB3006",
                message: error.to_string(),
                cause: error.source().map(ToString::to_string),
                next_step: Some("Allow this user more processes (ulimit -u).".to_owned()),
            }),
            StartError::Files { .. } => Self::Said(Said {
                code: "FB3008",
                message: error.to_string(),
                cause: error.source().map(ToString::to_string),
                next_step: Some(
                    "Let this user write there, or name another place with storage.url.".to_owned(),
                ),
            }),
            StartError::Database { .. } => Self::Said(Said {
                code: "FB3004",
                message: error.to_string(),
                cause: error.source().map(ToString::to_string),
                next_step: Some(
                    "Check db.url and that the server answers; `ferrobase doctor` tries it."
                        .to_owned(),
                ),
            }),
        }
    }
}
