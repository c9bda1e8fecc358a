//! `OpenAI`'s embeddings, asked for and answered. Its libraries ask for base64
//! by default and read nothing else then. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::error::Refused;
use super::fields;
use crate::embed::{EmbedRequest, Embedded};

pub(super) struct AskedVectors {
    pub(super) request: EmbedRequest,
    pub(super) base64: bool,
}

/// Reads a request.
pub(super) fn read(body: &Value) -> Result<AskedVectors, Refused> {
    let format = fields::text(body, "encoding_format")?;
    let base64 = match format {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            let expected = "`encoding_format` is float or base64";
            return Err(Refused::invalid(expected, Some("encoding_format")));
        }
    };
    Ok(AskedVectors {
        request: EmbedRequest {
            target: fields::needed(body, "model")?.to_owned(),
            texts: fields::texts(body, "input")?,
            dimensions: fields::count(body, "dimensions")?,
        },
        base64,
    })
}

/// The answer.
pub(super) fn whole(made: &Embedded, base64: bool) -> Value {
    let vectors = made.vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            Value::String(STANDARD.encode(bytes))
        } else {
            vector.iter().copied().collect()
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    json!({
        "object": "list", "data": vectors.collect::<Vec<_>>(),
        "model": format!("{}/{}", made.head.provider, made.head.model),
        "usage": {"prompt_tokens": made.usage.input, "total_tokens": made.usage.input},
    })
}
