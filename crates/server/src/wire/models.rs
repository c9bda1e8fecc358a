//! The models room: its providers, its rows, and how the gateway sees it. Model
//! servers on this machine are looked for where nobody set a provider up.

use std::sync::Arc;
use std::time::Duration;

use ::models::{Config as Checked, Local, Models, Parts};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use kernel::Tasks;
use outbound::{Budget, Client, Reach};
use pg::{Pool, Session, Target};
use serde_json::Value;

use crate::app::{Context, StartError};
use crate::config::{AiConfig, Config, invalid_ai};
use crate::gateway::{Access, Bodies, Dialect, Room, routed};

/// Who it is in the database.
pub(crate) const ROLE: &str = "ferrobase_ai";
/// Where callers find their calls.
pub(crate) const SCHEMA: &str = "ai";
/// Where it is mounted.
const PREFIX: &str = "/ai/v1";
/// A server on this machine answers at once or not at all.
const PROBE: Budget = Budget {
    time: Duration::from_millis(150),
    body: 1 << 20,
};
/// Where model servers listen: name, address of its protocol, and where it
/// lists its models.
const LOCAL: [(&str, &str, &str); 4] = [
    (
        "ollama",
        "http://127.0.0.1:11434/v1",
        "http://127.0.0.1:11434/api/tags",
    ),
    (
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8080/v1/models",
    ),
    (
        "lmstudio",
        "http://127.0.0.1:1234/v1",
        "http://127.0.0.1:1234/v1/models",
    ),
    (
        "vllm",
        "http://127.0.0.1:8000/v1",
        "http://127.0.0.1:8000/v1/models",
    ),
];
/// The file of models is read whole.
const MODELS_FILE_BYTES_MAX: u64 = 4 << 20;

/// Builds the room.
pub(crate) async fn room(
    config: &Config,
    (pool, requests): (Pool, &Pool),
    context: &Context,
    tasks: &Tasks,
) -> Result<Arc<Models>, StartError> {
    let mut raw = config.ai.raw.clone();
    raw.models_file = models_file(&config.ai)?;
    if config.ai.local && raw.providers.is_empty() && raw.env.is_empty() {
        raw.local = local_servers(tasks).await;
    }
    let checked = Checked::check(raw).map_err(invalid_ai)?;
    let models = Models::new(Parts {
        pool,
        role: ROLE.into(),
        requests: requests.clone(),
        config: checked,
        tasks: tasks.clone(),
        clock: context.clock.clone(),
        rng: context.rng.clone(),
    });
    let models = models.map_err(|source| StartError::Files {
        path: "the system's certificates".to_owned(),
        source,
    })?;
    if models.is_scripted() {
        tracing::info!(
            "No model is set up: a scripted demo answers in its place, and says so. \
             Set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY, describe a provider in \
             [ai.providers] or start a local model server to have one"
        );
    }
    Ok(models)
}

fn models_file(config: &AiConfig) -> Result<Option<String>, StartError> {
    let Some(path) = &config.models_file else {
        return Ok(None);
    };
    let unreadable = |why: String| {
        StartError::from(invalid_ai(format!("models_file {}: {why}", path.display())))
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if about.len() > MODELS_FILE_BYTES_MAX {
        return Err(unreadable("it is longer than 4 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Ok(Some(text))
}

/// The model servers that answer on this machine.
pub(crate) async fn local_servers(tasks: &Tasks) -> Vec<Local> {
    let Ok(client) = Client::new(Reach::Configured, &[], tasks) else {
        return Vec::new();
    };
    let asked = LOCAL.map(|(name, url, list)| probe(client.clone(), name, url, list));
    let found: Vec<Local> = join_all(asked).await.into_iter().flatten().collect();
    for local in &found {
        let models = local.models.len();
        tracing::info!(
            name = local.name,
            models,
            "A model server on this machine is used"
        );
    }
    found
}

async fn probe(client: Client, name: &str, url: &str, list: &str) -> Option<Local> {
    let request = Request::get(list).body(Bytes::new()).ok()?;
    let answer = client.call(request, PROBE).await.ok()?;
    if !answer.status.is_success() {
        return None;
    }
    let listed: Value = serde_json::from_slice(&answer.body).ok()?;
    let models = models_of(&listed);
    (!models.is_empty()).then(|| Local {
        name: name.to_owned(),
        url: url.to_owned(),
        models,
    })
}

/// As Ollama lists its models, and as everybody else does.
fn models_of(listed: &Value) -> Vec<String> {
    let names = |list: &str, name: &str| -> Option<Vec<String>> {
        let items = listed.get(list)?.as_array()?;
        let names = items
            .iter()
            .map(|item| item.get(name)?.as_str().map(str::to_owned));
        names.collect()
    };
    names("models", "name")
        .or_else(|| names("data", "id"))
        .unwrap_or_default()
}

/// The room as the gateway sees it. It words refusals itself, in the dialect of
/// whichever library asks, and bounds bodies and times itself: an answer may
/// take minutes.
pub(super) fn mounted(room: &Arc<Models>) -> Room {
    Room {
        name: "ai",
        prefix: PREFIX,
        dialect: Dialect::Gateway,
        access: Access::OneCredential,
        bodies: Bodies::Streamed,
        service: routed(Arc::clone(room).router()),
    }
}

/// Why the room cannot work with this login, if it cannot.
pub(crate) async fn obstacle(target: &Target) -> Result<Option<String>, pg::Error> {
    let mut session = Session::connect(target).await?;
    // Closed right after: what is set here goes with it.
    let tried = session
        .script("SET ROLE ferrobase_ai; SELECT FROM ai.calls LIMIT 0")
        .await;
    session.close().await;
    match tried {
        Ok(_) => Ok(None),
        Err(error) => match error.sqlstate() {
            Some(state) => Ok(Some(format!(
                "Models (/ai/v1) are switched off: {} cannot work as {ROLE} (SQLSTATE {state}); \
                 a superuser may say GRANT {ROLE} TO {}",
                target.user, target.user
            ))),
            None => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_kinds_of_lists_are_read_and_others_are_none() {
        let ollama = json!({"models": [{"name": "qwen3"}, {"name": "nomic-embed-text"}]});
        assert_eq!(models_of(&ollama), ["qwen3", "nomic-embed-text"]);
        assert_eq!(models_of(&json!({"data": [{"id": "x"}]})), ["x"]);
        for other in [
            json!({}),
            json!([1]),
            json!({"data": [{"name": "x"}]}),
            json!("hello"),
        ] {
            assert!(models_of(&other).is_empty(), "{other}");
        }
    }
}
