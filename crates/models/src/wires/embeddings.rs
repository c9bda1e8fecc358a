//! Texts to vectors: `POST /embeddings` as `OpenAI` speaks it, and Gemini's
//! `:batchEmbedContents`. Start with [`Embedding`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::error::{ModelError, ModelErrorKind};
use crate::event::ChatStream;
use crate::usage::Usage;
use crate::wires::http::{Ask, HttpWire, Protocol};
use crate::wires::provider::WireKind;
use crate::wires::{Call, EmbedCall, Embeddings, Wire, count, gemini, set, text_of};

/// Texts in one request: what the providers allow.
const OPENAI_BATCH: usize = 2048;
const GEMINI_BATCH: usize = 100;

/// A wire that makes embeddings as well.
pub(crate) struct Embedding<P>(pub HttpWire<P>);

impl<P: Protocol> Wire for Embedding<P> {
    fn chat(&self, call: Call) -> BoxFuture<'static, Result<ChatStream, ModelError>> {
        self.0.stream(&call)
    }

    fn embed(&self, call: EmbedCall) -> BoxFuture<'static, Result<Embeddings, ModelError>> {
        let (http, provider) = (self.0.http.clone(), self.0.provider.clone());
        Box::pin(async move {
            let gemini = provider.kind == WireKind::Gemini;
            let batch = if gemini { GEMINI_BATCH } else { OPENAI_BATCH };
            let mut all = Embeddings {
                model: call.model.clone(),
                ..Embeddings::default()
            };
            for texts in call.texts.chunks(batch) {
                let ask = if gemini {
                    gemini_ask(&call, texts)?
                } else {
                    openai_ask(&call, texts)
                };
                let answer = http.json(&provider, ask).await?;
                let vectors = if gemini {
                    gemini_vectors(&answer)
                } else {
                    openai_vectors(&answer, texts.len())
                };
                let vectors = vectors.filter(|vectors| vectors.len() == texts.len());
                all.vectors.extend(vectors.ok_or_else(|| {
                    let text = "the answer has not one vector for each text";
                    ModelError::new(ModelErrorKind::Protocol, text).of(&provider.name)
                })?);
                used(&mut all, &answer);
            }
            Ok(all)
        })
    }
}

fn openai_ask(call: &EmbedCall, texts: &[String]) -> Ask {
    let mut body = json!({"model": call.model, "input": texts, "encoding_format": "base64"});
    if let Some(dimensions) = call.dimensions {
        set(&mut body, "dimensions", dimensions.into());
    }
    Ask::post("/embeddings", body, call.token)
}

/// In the order of their `index`, which need not be that of the array.
fn openai_vectors(answer: &Value, texts: usize) -> Option<Vec<Vec<f32>>> {
    let mut all: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (position, item) in answer.get("data")?.as_array()?.iter().enumerate() {
        let index = item.get("index").and_then(Value::as_u64);
        let index = index.map_or(Some(position), |index| usize::try_from(index).ok())?;
        *all.get_mut(index)? = Some(vector(item.get("embedding")?)?);
    }
    all.into_iter().collect()
}

/// Little-endian floats as base64, or numbers: servers that do not know
/// `encoding_format` send those.
fn vector(value: &Value) -> Option<Vec<f32>> {
    let Some(text) = value.as_str() else {
        return numbers(value);
    };
    let bytes = STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    let floats = floats.iter().map(|bytes| f32::from_le_bytes(*bytes));
    rest.is_empty().then(|| floats.collect())
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "vectors are single precision"
    )]
    let numbers = value
        .as_array()?
        .iter()
        .map(|n| n.as_f64().map(|n| n as f32));
    numbers.collect()
}

fn gemini_ask(call: &EmbedCall, texts: &[String]) -> Result<Ask, ModelError> {
    let path = gemini::path(&call.model)?;
    let requests = texts.iter().map(|text| {
        let mut request = json!({
            "model": path.trim_start_matches('/'),
            "content": {"parts": [{"text": text}]},
        });
        if let Some(dimensions) = call.dimensions {
            set(&mut request, "outputDimensionality", dimensions.into());
        }
        request
    });
    let body = json!({"requests": requests.collect::<Vec<_>>()});
    Ok(Ask::post(
        format!("{path}:batchEmbedContents"),
        body,
        call.token,
    ))
}

fn gemini_vectors(answer: &Value) -> Option<Vec<Vec<f32>>> {
    let all = answer.get("embeddings")?.as_array()?.iter();
    all.map(|one| numbers(one.get("values")?)).collect()
}

fn used(all: &mut Embeddings, answer: &Value) {
    let usage = answer.get("usage").or_else(|| answer.get("usageMetadata"));
    if let Some(raw) = usage.filter(|usage| usage.is_object()) {
        let input = count(raw, "/prompt_tokens").max(count(raw, "/promptTokenCount"));
        let cost = raw.get("cost").and_then(Value::as_f64);
        all.usage = Usage {
            input: all.usage.input + input,
            cost: match (all.usage.cost, cost) {
                (None, None) => None,
                (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
            },
            raw: raw.clone(),
            ..Usage::default()
        };
    }
    let model = text_of(answer, "/model");
    if !model.is_empty() {
        model.clone_into(&mut all.model);
    }
}
