//! The planner and the coder, as roles of the models room.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::lovable::ports::{Answer, Coder, CoderError, Piece, Pieces, Question, Said};
use ::models::structured::{Shape, Verdict, is_cut, partials};
use ::models::{
    Asker, ChatEvent, ChatRequest, Message, ModelError, Models, OutputSchema, Receipt, StopReason,
};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;

/// Before another try, where the provider does not say.
const AGAIN: Duration = Duration::from_secs(2);
/// Tokens of an answer at most: a small project's files.
const TOKENS_MAX: u32 = 32_000;

/// Models.
pub(super) struct ByModels(pub(super) Arc<Models>);

impl Coder for ByModels {
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Pieces, CoderError>> {
        Box::pin(self.answer(question))
    }

    fn demo(&self) -> Option<String> {
        self.0.is_scripted().then(|| {
            "No AI model is configured, so answers come from a script that knows a few examples. \
             Set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY, or run a local model server, \
             and start again."
                .to_owned()
        })
    }
}

impl ByModels {
    async fn answer(&self, question: Question) -> Result<Pieces, CoderError> {
        let schema = question.schema;
        let schema = schema.map(|(name, schema)| OutputSchema::strict(name, schema));
        let shape = schema.as_ref().map(Shape::compile).transpose();
        let shape = shape.map_err(|error| refused(&error))?;
        let asker = Asker {
            caller: question.caller,
            session: Some(question.session),
            job: Some(question.job),
            step: Some(question.step.to_owned()),
            token: Some(question.token),
        };
        let mut request = ChatRequest::to(question.role.name())
            .system(question.system)
            .max_tokens(TOKENS_MAX);
        for said in question.said {
            request = request.message(message(said));
        }
        if let Some(schema) = schema {
            request = request.schema(schema);
        }
        let answered = self.0.ask(asker, request).await;
        let answer = answered.map_err(|error| refused(&error))?;
        let mut ending = Ending {
            model: format!("{}/{}", answer.head.provider, answer.head.model),
            receipt: answer.receipt,
            shape: shape.clone(),
            text: String::new(),
        };
        let events = match shape {
            Some(shape) => partials(answer.stream, shape),
            None => answer.stream,
        };
        let pieces = events.map(move |event| ending.piece(event));
        let pieces = pieces.filter_map(|piece| std::future::ready(piece.transpose()));
        Ok(pieces.boxed())
    }
}

/// What the end of an answer needs of what came before.
struct Ending {
    model: String,
    receipt: Arc<OnceLock<Receipt>>,
    shape: Option<Arc<Shape>>,
    text: String,
}

impl Ending {
    fn piece(&mut self, event: Result<ChatEvent, ModelError>) -> Result<Option<Piece>, CoderError> {
        Ok(match event.map_err(|error| refused(&error))? {
            ChatEvent::Attempt { .. } => Some(Piece::Again),
            ChatEvent::Text(more) => {
                self.text.push_str(&more);
                Some(Piece::Text(more))
            }
            ChatEvent::Partial(partial) => Some(Piece::Partial(partial.value)),
            ChatEvent::End(StopReason::ContentFilter) => {
                return Err(CoderError {
                    code: "content_filter",
                    message: "The provider refuses this content".to_owned(),
                    again: None,
                });
            }
            ChatEvent::End(stop) => Some(Piece::End(self.whole(stop))),
            _ => None,
        })
    }

    fn whole(&mut self, stop: StopReason) -> Answer {
        let text = std::mem::take(&mut self.text);
        let verdict = self
            .shape
            .as_ref()
            .map(|shape| shape.judge(&text, is_cut(stop)));
        let paid = self.receipt.get();
        Answer {
            value: match verdict {
                Some(Verdict::Valid { value, .. }) => Some(value),
                _ => None,
            },
            text,
            model: std::mem::take(&mut self.model),
            cost: paid.and_then(|paid| paid.cost).unwrap_or_default(),
            usage: paid.map_or_else(|| json!({}), |paid| json!(paid.usage)),
        }
    }
}

fn message(said: Said) -> Message {
    if said.by_model {
        Message::assistant(said.text)
    } else {
        Message::user(said.text)
    }
}

fn refused(error: &ModelError) -> CoderError {
    let wait = || error.retry_after.unwrap_or(AGAIN);
    CoderError {
        code: error.kind.code(),
        message: error.message.clone(),
        again: error.same_again().then(wait),
    }
}
