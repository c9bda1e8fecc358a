//! What the page asks before anybody is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::room::Lovable;

pub(crate) async fn about(State(app): State<Arc<Lovable>>) -> Json<Value> {
    let sandbox = match &app.boxes {
        None => {
            json!({"available": false, "words": "There are no sandboxes here, so nothing is installed or shown."})
        }
        Some(boxes) => match boxes.strength() {
            Ok(words) => json!({"available": true, "words": words}),
            Err(words) => json!({"available": false, "words": words}),
        },
    };
    Json(json!({
        "key": app.about.publishable_key,
        "open": app.demo.is_some(),
        "demo": app.coder.demo(),
        "sandbox": sandbox,
    }))
}
