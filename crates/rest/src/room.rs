//! The room: its state, its router and one request from end to end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{Caller, Secret};
use pg::catalog::Catalog;
use pg::{OpenTx, Pool};

use crate::call::{Call, CallConfig};
use crate::config::Config;
use crate::error::RestError;
use crate::execute::{self, Context, Outcome};
use crate::idempotency::{self, Begun, Key, Seal};
use crate::plan::{self, Plan};
use crate::{access, dry_run, openapi, reply, sql, tx};

/// The REST room.
#[derive(Debug)]
pub struct Rest {
    config: ArcSwap<Settings>,
    pool: Pool,
    /// Seals the answers that idempotency keys keep; none, no keys.
    seal: Option<Seal>,
    /// Swapped when the database changes; a request keeps the one it began with.
    catalog: Arc<ArcSwap<Catalog>>,
}

/// The configuration in the forms in which stages want it.
#[derive(Debug)]
struct Settings {
    config: Config,
    call: CallConfig,
    /// The search path of each schema, in the order of `config.schemas`.
    search_paths: Vec<String>,
}

/// How long the stages of a request took, for `Server-Timing`.
#[derive(Clone, Copy, Debug, Default)]
struct Timings {
    parse: Duration,
    plan: Duration,
    transaction: Duration,
    response: Duration,
}

impl Rest {
    /// A room on a pool and a catalog that somebody keeps fresh.
    #[must_use]
    pub fn new(config: Config, pool: Pool, catalog: Arc<ArcSwap<Catalog>>) -> Arc<Self> {
        Arc::new(Self::without_keys(config, pool, catalog))
    }

    /// The same, and it honours `Idempotency-Key`. Every node of a server has
    /// to have the same secret, or it cannot read what another one has kept.
    #[must_use]
    pub fn with_idempotency(
        config: Config,
        pool: Pool,
        catalog: Arc<ArcSwap<Catalog>>,
        secret: &Secret,
    ) -> Arc<Self> {
        Arc::new(Self {
            seal: Some(Seal::new(secret)),
            ..Self::without_keys(config, pool, catalog)
        })
    }

    fn without_keys(config: Config, pool: Pool, catalog: Arc<ArcSwap<Catalog>>) -> Self {
        Self {
            config: ArcSwap::from_pointee(Settings::of(config, Arc::default())),
            pool,
            seal: None,
            catalog,
        }
    }

    /// The search path of requests for the default schema.
    #[must_use]
    pub fn usual_search_path(config: &Config) -> Option<String> {
        let schema = config.schemas.first()?;
        Some(execute::search_path(schema, &config.extra_search_path))
    }

    /// Takes new settings; requests in flight keep the old ones.
    pub fn reconfigure(&self, config: Config) {
        let timezones = Arc::clone(&self.config.load().call.timezones);
        self.config.store(Arc::new(Settings::of(config, timezones)));
    }

    /// Takes the names that `Prefer: timezone=` may use. They take long to
    /// list, so that the room starts without.
    pub fn set_timezones(&self, timezones: HashSet<String>) {
        let config = self.config.load().config.clone();
        let settings = Settings::of(config, Arc::new(timezones));
        self.config.store(Arc::new(settings));
    }

    /// The room's whole public face: any path below [`Config::base_path`] and
    /// any method.
    pub async fn serve(self: Arc<Self>, request: Request) -> Response {
        match self.answer(request).await {
            Ok(response) => response,
            Err(error) if self.config.load().config.minimal_errors => error.into_brief_response(),
            Err(error) => error.into_response(),
        }
    }

    /// One request, read top to bottom. `buffer` waits for the client and
    /// `execute` for Postgres; everything else is pure.
    async fn answer(&self, request: Request) -> Result<Response, RestError> {
        let settings = self.config.load_full();
        let (parts, body) = buffer(request, settings.config.body_bytes_max).await?;
        let caller = Caller::of(&parts).ok_or(RestError::JwtRequired)?;
        let key = Key::of(&parts, caller, &body)?;
        let catalog = self.catalog.load();
        if tx::is_wanted(&parts, &settings.call, &catalog) {
            access::refuse_in_transaction(&parts.headers)?;
            let scene = tx::Scene {
                pool: &self.pool,
                catalog: &catalog,
                config: &settings.config,
                call: &settings.call,
                caller,
                parts: &parts,
                seal: self.seal.as_ref(),
            };
            return Box::pin(tx::answer(&scene, &body, key.as_ref())).await;
        }
        let explained = access::wanted(&self.pool, caller, &parts.headers).await?;
        let mut watch = Watch::start();
        let call = Call::parse(&parts, body, &settings.call)?;
        let parse = watch.lap();
        let plan = plan::plan(&catalog, &settings.config, &call)?;
        let mut timings = Timings {
            parse,
            plan: watch.lap(),
            ..Timings::default()
        };
        let context = Context {
            pool: &self.pool,
            catalog: &catalog,
            config: &settings.config,
            caller,
            call: &call,
            headers: &parts.headers,
            search_path: settings.search_path(&call.schema),
        };
        if let Some(subject) = &explained {
            return Box::pin(access::answer(&context, &plan, subject)).await;
        }
        let mut response = match &plan {
            Plan::Info { allow } => reply::info(allow),
            Plan::Root => describe(&context, &plan).await?,
            plan if key.is_some() && writes(plan) => {
                let once = once(&context, plan, key.as_ref(), self.seal.as_ref());
                Box::pin(once).await?
            }
            _ => carry_out(&context, &plan, &mut timings, &mut watch).await?,
        };
        timings.response = watch.lap();
        if settings.config.server_timing {
            server_timing(&mut response, timings);
        }
        let vary = HeaderValue::from_static("Accept, Prefer, Range");
        response.headers_mut().entry(header::VARY).or_insert(vary);
        Ok(response)
    }
}

impl Settings {
    fn of(config: Config, timezones: Arc<HashSet<String>>) -> Self {
        let call = CallConfig::of(&config, timezones);
        let path = |schema| execute::search_path(schema, &config.extra_search_path);
        let schemas = config.schemas.iter().chain(&config.platform_schemas);
        let search_paths = schemas.map(path).collect();
        Self {
            config,
            call,
            search_paths,
        }
    }

    fn search_path(&self, schema: &str) -> &str {
        let mut schemas = (self.config.schemas.iter()).chain(&self.config.platform_schemas);
        let index = schemas.position(|one| one == schema);
        // A call names one of the schemas or is refused before this.
        index
            .and_then(|index| self.search_paths.get(index))
            .map_or("", String::as_str)
    }
}

/// Measures one stage after the other.
struct Watch(Instant);

impl Watch {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let took = now - self.0;
        self.0 = now;
        took
    }
}

/// Reads the body, as far as it may go.
async fn buffer(request: Request, max: usize) -> Result<(request::Parts, Bytes), RestError> {
    let (parts, body) = request.into_parts();
    let read = Limited::new(body, max).collect().await;
    match read {
        Ok(collected) => Ok((parts, collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(RestError::BodyTooLarge { max }),
        // The client went away in the middle of its own sentence.
        Err(_) => Err(RestError::InvalidBody("the body ended early".to_owned())),
    }
}

/// The OpenAPI root.
async fn describe(context: &Context<'_>, plan: &Plan<'_>) -> Result<Response, RestError> {
    let (call, config) = (context.call, context.config);
    let statements = openapi::statements(&call.schema, config.openapi_ignore_privileges);
    let answers = execute::run_all(context, plan, statements).await?;
    let document = openapi::document(context.catalog, config, &call.schema, &answers);
    Ok(reply::root(call, document))
}

/// Everything that is a statement.
async fn carry_out(
    context: &Context<'_>,
    plan: &Plan<'_>,
    timings: &mut Timings,
    watch: &mut Watch,
) -> Result<Response, RestError> {
    let (call, config) = (context.call, context.config);
    let Some((query, count_plan)) = dry_run::render(plan, call, config) else {
        return Err(RestError::Internal);
    };
    let shape = query.shape;
    let prepared = execute::assemble(context, plan, query, count_plan);
    let check = |outcome: &Outcome| check(call, plan, shape, outcome);
    let before_commit = writes(plan) && has_conditions(call, plan);
    let before_commit: Option<&execute::Check<'_>> = before_commit.then_some(&check);
    let outcome = execute::run(context, prepared, before_commit).await?;
    timings.transaction = watch.lap();
    if before_commit.is_none() {
        check(&outcome)?;
    }
    reply::render(call, plan, shape, &outcome)
}

/// The same in a transaction that goes on: what fails here must undo it.
pub(crate) async fn carry_out_in(
    open: &mut OpenTx,
    context: &Context<'_>,
    plan: &Plan<'_>,
) -> Result<Response, RestError> {
    let call = context.call;
    let Some((query, count_plan)) = dry_run::render(plan, call, context.config) else {
        return Err(RestError::Internal);
    };
    let shape = query.shape;
    let prepared = execute::assemble(context, plan, query, count_plan);
    let outcome = execute::run_in(open, context, prepared).await?;
    check(call, plan, shape, &outcome)?;
    reply::render(call, plan, shape, &outcome)
}

/// The same for a write that came with a key: it is carried out once.
async fn once(
    context: &Context<'_>,
    plan: &Plan<'_>,
    key: Option<&Key>,
    seal: Option<&Seal>,
) -> Result<Response, RestError> {
    let Some(key) = key else {
        return Err(RestError::Internal);
    };
    let (pool, caller) = (context.pool, context.caller);
    let opening = execute::opening(context, plan);
    let mut open = match idempotency::begin(pool, caller, opening, key, seal).await? {
        Begun::Open(open) => open,
        Begun::Answered(response) => return Ok(response),
    };
    // An error drops the transaction, which undoes it.
    let response = carry_out_in(&mut open, context, plan).await?;
    let response = idempotency::keep(&mut open, caller, key, seal, response).await?;
    let finished = open.finish().await;
    finished.map_err(|error| execute::refused(error, caller))?;
    Ok(response)
}

/// Whether there is something to undo when the outcome does not please.
pub(crate) fn writes(plan: &Plan<'_>) -> bool {
    match plan {
        Plan::Mutate(_) => true,
        Plan::Call(plan) => !plan.read_only,
        Plan::Read(_) | Plan::Root | Plan::Info { .. } => false,
    }
}

fn has_conditions(call: &Call, plan: &Plan<'_>) -> bool {
    let is_put = matches!(plan, Plan::Mutate(plan) if plan.mutate.is_put());
    is_put || wants_one(plan) || call.prefer.enforced_max_affected().is_some()
}

fn wants_one(plan: &Plan<'_>) -> bool {
    let media = match plan {
        Plan::Read(plan) => &plan.media,
        Plan::Mutate(plan) => &plan.media,
        Plan::Call(plan) => &plan.media,
        Plan::Root | Plan::Info { .. } => return false,
    };
    matches!(media, crate::call::media::MediaType::Object { .. })
}

/// The conditions on the number of rows: all but reads are undone when they
/// do not hold.
fn check(
    call: &Call,
    plan: &Plan<'_>,
    shape: sql::Shape,
    outcome: &Outcome,
) -> Result<(), RestError> {
    let rows = reply::rows_in(shape, plan, outcome);
    if matches!(plan, Plan::Mutate(plan) if plan.mutate.is_put()) {
        return if rows == 1 {
            Ok(())
        } else {
            Err(RestError::PutKeyMismatch)
        };
    }
    if wants_one(plan) && rows != 1 {
        return Err(RestError::Singularity(rows));
    }
    let limited = match call.action {
        crate::call::Action::Mutate { mutation, .. } => matches!(
            mutation,
            crate::call::Mutation::Update | crate::call::Mutation::Delete
        ),
        crate::call::Action::Invoke { .. } => true,
        _ => false,
    };
    match call.prefer.enforced_max_affected() {
        Some(max) if limited && i128::from(rows) > i128::from(max) => {
            Err(RestError::MaxAffected(rows))
        }
        _ => Ok(()),
    }
}

fn server_timing(response: &mut Response<Body>, timings: Timings) {
    let ms = |stage: Duration| stage.as_secs_f64() * 1000.0;
    // The token is checked by the gateway, before this room is entered.
    let text = format!(
        "jwt;dur=0.0, parse;dur={:.1}, plan;dur={:.1}, transaction;dur={:.1}, response;dur={:.1}",
        ms(timings.parse),
        ms(timings.plan),
        ms(timings.transaction),
        ms(timings.response),
    );
    if let Ok(value) = HeaderValue::try_from(text) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("server-timing"), value);
    }
}
