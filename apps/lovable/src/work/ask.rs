//! A paid question to a model within a step, told as the answer comes.

use futures_util::StreamExt as _;
use jobs::{Call, Stop};
use serde_json::{Value, json};

use super::Turn;
use super::voice::Voice;
use crate::ports::{Answer, CoderError, Piece, Pieces, Question, Role, Said};

/// What is asked.
pub(super) struct Asking {
    pub(super) step: &'static str,
    pub(super) role: Role,
    pub(super) system: &'static str,
    pub(super) said: Vec<Said>,
    pub(super) schema: Option<(&'static str, Value)>,
}

impl Turn {
    /// Asks, and tells the session's log what comes.
    pub(super) async fn ask(&self, call: &Call, asking: Asking) -> Result<Answer, Stop> {
        let is_text = asking.schema.is_none();
        let question = Question {
            caller: self.caller.clone(),
            session: self.session,
            job: self.ctx.job().id,
            step: asking.step,
            token: call.token,
            role: asking.role,
            system: asking.system.to_owned(),
            said: asking.said,
            schema: asking.schema,
        };
        let mut voice = Voice::new(&self.ctx);
        // An earlier try may have said something.
        voice.again().await?;
        let asked = tokio::select! {
            asked = self.app.coder.ask(question) => asked,
            () = self.ctx.cancellation().cancelled() => return Err(Stop::Lost),
        };
        self.listen(asked.map_err(refused)?, voice, is_text).await
    }

    async fn listen(
        &self,
        mut pieces: Pieces,
        mut voice: Voice<'_>,
        is_text: bool,
    ) -> Result<Answer, Stop> {
        loop {
            let piece = tokio::select! {
                biased;
                () = self.ctx.cancellation().cancelled() => return Err(Stop::Lost),
                () = voice.due(), if voice.has_more() => {
                    voice.flush(false).await?;
                    continue;
                }
                piece = pieces.next() => piece,
            };
            match piece {
                Some(Ok(Piece::Again)) => voice.again().await?,
                Some(Ok(Piece::Text(text))) if is_text => voice.text(&text),
                Some(Ok(Piece::Text(_))) => {}
                Some(Ok(Piece::Partial(value))) => voice.value(value),
                Some(Ok(Piece::End(answer))) => {
                    if let Some(value) = &answer.value {
                        voice.value(value.clone());
                    }
                    voice.flush(true).await?;
                    return Ok(answer);
                }
                Some(Err(error)) => return Err(refused(error)),
                None => {
                    return Err(refused(CoderError {
                        code: "truncated",
                        message: "The model's answer ended early".to_owned(),
                        again: Some(std::time::Duration::from_secs(1)),
                    }));
                }
            }
        }
    }
}

fn refused(error: CoderError) -> Stop {
    let CoderError {
        code,
        message,
        again,
    } = error;
    Stop::Failed {
        error: json!({"code": code, "message": message}),
        retryable: again.is_some(),
        delay: again,
    }
}
