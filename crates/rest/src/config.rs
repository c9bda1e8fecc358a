//! What the operator decides about the dialect, named as PostgREST names it.

use std::time::Duration;

use pg::catalog::QualifiedName;

use crate::call::{Root, prefer::TransactionChoice};

/// The checked settings of the room.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the operator"
)]
pub struct Config {
    /// `db-schemas`: the exposed schemas, the default one first.
    pub schemas: Vec<String>,
    /// Schemas of ours that clients may name as well, whatever is exposed.
    pub platform_schemas: Vec<String>,
    /// `db-extra-search-path`
    pub extra_search_path: Vec<String>,
    /// `db-max-rows`
    pub max_rows: Option<u64>,
    /// `db-aggregates-enabled`
    pub aggregates_enabled: bool,
    /// `url-use-legacy-target-names`: filters, orders and limits may call an
    /// embed that has an alias by the name of its table as well.
    pub legacy_target_names: bool,
    /// `db-plan-enabled`
    pub plan_enabled: bool,
    /// `db-pre-request`: a function run before every request's statement.
    pub pre_request: Option<QualifiedName>,
    /// `db-tx-end`: transactions are rolled back unless told otherwise.
    pub rollback_all: bool,
    /// `db-tx-end`: clients may choose by `Prefer: tx=`.
    pub transaction_choice: TransactionChoice,
    /// `db-root-spec` and `openapi-mode=disabled`.
    pub root: Root,
    /// `openapi-mode=ignore-privileges`: describe what the role cannot use, too.
    pub openapi_ignore_privileges: bool,
    /// `openapi-security-active`
    pub openapi_security: bool,
    /// `openapi-server-proxy-uri`
    pub openapi_proxy: Option<String>,
    /// `server-timing-enabled`
    pub server_timing: bool,
    /// `app.settings.*`, passed to every transaction.
    pub app_settings: Vec<(String, String)>,
    /// Where the router is mounted; taken off the path before it is read.
    pub base_path: String,
    /// `client-error-verbosity=minimal`: only the code and the message.
    pub minimal_errors: bool,
    /// The largest body that is read into memory.
    pub body_bytes_max: usize,
    /// What one transaction of a client may cost.
    pub tx: TxLimits,
}

/// The limits of `POST /tx`: it holds a connection and its answers from the
/// first request to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxLimits {
    /// Requests. Each is a round trip with the connection held.
    pub requests_max: usize,
    /// Bytes of the body, and of each request once references are filled in.
    pub body_bytes_max: usize,
    /// Bytes of all answers together, which wait in memory for the last one.
    pub answer_bytes_max: usize,
    /// From the first request to the last. Rows that were written stay locked
    /// for as long, and others wait for them.
    pub time_max: Duration,
}

impl Default for TxLimits {
    fn default() -> Self {
        Self {
            requests_max: 100,
            body_bytes_max: 8 << 20,
            answer_bytes_max: 16 << 20,
            time_max: Duration::from_secs(30),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            schemas: vec!["public".to_owned()],
            platform_schemas: Vec::new(),
            extra_search_path: vec!["public".to_owned(), "extensions".to_owned()],
            max_rows: None,
            aggregates_enabled: false,
            plan_enabled: false,
            legacy_target_names: true,
            pre_request: None,
            rollback_all: false,
            transaction_choice: TransactionChoice::Operator,
            root: Root::Description,
            openapi_ignore_privileges: false,
            openapi_security: false,
            openapi_proxy: None,
            server_timing: false,
            app_settings: Vec::new(),
            base_path: String::new(),
            minimal_errors: false,
            body_bytes_max: 32 << 20,
            tx: TxLimits::default(),
        }
    }
}
