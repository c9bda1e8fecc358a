//! Who asks a model, and on whose account. Every call carries one.

use kernel::Caller;
use uuid::Uuid;

/// The one who asks: ledger rows, budgets and limits hang on it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The verified identity.
    pub caller: Caller,
    /// The session that the call belongs to.
    pub session: Option<Uuid>,
    /// The job that asks.
    pub job: Option<Uuid>,
    /// The name of the memoised step within the job.
    pub step: Option<String>,
    /// The idempotency token of a memoised step. It is the same at every try of
    /// the step and is sent to providers that know such tokens.
    pub token: Option<Uuid>,
}

impl Asker {
    /// Somebody who asks directly, outside of sessions and jobs.
    #[must_use]
    pub fn direct(caller: Caller) -> Self {
        Self {
            caller,
            session: None,
            job: None,
            step: None,
            token: None,
        }
    }
}
