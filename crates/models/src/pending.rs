//! Stands in until the wires land.
use std::sync::Arc;
use kernel::{Clock, Rng, Tasks};
use serde_json::Value;
use crate::chat::{ChatRequest, OutputSchema};
use crate::error::ModelError;
use crate::event::ChatStream;
use crate::wires::Wire;
use crate::wires::provider::Provider;
pub(crate) struct Http;
impl Http { pub(crate) fn new(_: &Tasks, _: Clock, _: Rng) -> std::io::Result<Self> { Ok(Self) } }
pub(crate) fn connect(_: Provider, _: &Http) -> Arc<dyn Wire> { Arc::new(crate::demo::Script) }
pub struct Shape;
impl Shape {
    pub(crate) fn compile(_: &OutputSchema) -> Result<Self, ModelError> { Ok(Self) }
    pub(crate) fn judge(&self, text: &str) -> Verdict { match serde_json::from_str(text) { Ok(value) => Verdict::Valid { value, fallback: false }, Err(_) => Verdict::Invalid { problems: vec![] } } }
}
pub(crate) enum Verdict { Valid { value: Value, fallback: bool }, Invalid { problems: Vec<String> } }
pub(crate) fn partials(stream: ChatStream, _: Shape) -> ChatStream { stream }
pub(crate) fn repair(request: &ChatRequest, _: &str, _: &[String]) -> ChatRequest { request.clone() }
