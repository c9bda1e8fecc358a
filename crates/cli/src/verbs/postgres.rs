//! PostgreSQL's programs, brought when they are missing: by us where that can
//! be done unattended, else by the command in the error.

use server::dev::DevError;
use server::operate::{self, ClusterError};

use crate::failure::Failure;
use crate::project::Workspace;

/// Makes the attempt; when it fails for want of PostgreSQL, installs that and
/// makes it once more. Looking first would cost every start some time.
pub(super) async fn with_postgres<T, A>(
    workspace: &Workspace,
    progress: impl Fn(&str) + Copy + Send + 'static,
    attempt: impl Fn() -> A,
) -> Result<T, Failure>
where
    A: Future<Output = Result<T, DevError>>,
{
    let given = workspace.search.bindir.is_some();
    match Box::pin(attempt()).await {
        Err(DevError::Cluster(ClusterError::NoBinaries { .. }))
            if !given && operate::can_install() =>
        {
            progress("no PostgreSQL is installed; as root this is done now");
            install(progress).await?;
            Ok(Box::pin(attempt()).await?)
        }
        done => Ok(done?),
    }
}

async fn install(progress: impl Fn(&str) + Send + 'static) -> Result<(), Failure> {
    let installing = tokio::task::spawn_blocking(move || operate::install_postgres(&progress));
    match installing.await {
        Ok(installed) => Ok(installed?),
        Err(error) => Err(Failure::from(ClusterError::Install {
            command: operate::install_hint(),
            detail: error.to_string(),
        })),
    }
}
