//! The duty that sends what is queued.
//!
//! Every node has one. A mail is claimed for as long as a lease lasts, sent,
//! and marked; a node that dies in between leaves a claim that runs out, and
//! another node sends the mail again, with the same Message-ID. So a mail goes
//! out at least once, and twice only if somebody died between the server's
//! answer and our mark.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kernel::{Rng, Tasks};
use pg::{Pool, RequestTx, Row, Rows, SqlBuf};
use tokio::sync::Notify;

use super::queue::Mailer;
use super::smtp::{Outgoing, Refused, Smtp};

const CLAIM: &str = include_str!("sql/claim.sql");
const SENT: &str = include_str!("sql/sent.sql");
const FAILED: &str = include_str!("sql/failed.sql");
const PRUNE: &str = include_str!("sql/prune.sql");
const NEXT: &str = include_str!("sql/next.sql");

/// Connections to the SMTP server at once; many relays allow few.
const AT_ONCE: usize = 4;

/// How often what is done with is forgotten, in rounds of looking.
const PRUNE_EVERY: u32 = 60;

/// The longest reason that is kept of a refusal.
const REASON_CHARS_MAX: usize = 500;

/// How the duty behaves. The numbers belong together: a batch must be through
/// before its lease runs out.
#[derive(Clone, Copy, Debug)]
pub struct SenderConfig {
    /// How long a claim lasts.
    pub lease: Duration,
    /// How long one mail may take.
    pub mail_timeout: Duration,
    /// Mails claimed at once.
    pub batch: usize,
    /// How long to wait before looking for other nodes' mails.
    pub look_every: Duration,
    /// The pause after a first failure; it triples with each further one.
    pub retry_after: Duration,
    /// The longest pause.
    pub retry_after_max: Duration,
    /// Attempts before a mail is given up. With these pauses that is two
    /// hours later; a link in it lasts one hour unless configured otherwise.
    pub attempts_max: u32,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            // Three rounds of four, thirty seconds each, and time to spare.
            lease: Duration::from_secs(120),
            mail_timeout: Duration::from_secs(30),
            batch: 12,
            look_every: Duration::from_secs(15),
            retry_after: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(3600),
            attempts_max: 8,
        }
    }
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Taken by the server.
    pub sent: usize,
    /// Not taken, to be tried again.
    pub later: usize,
    /// Not taken, given up.
    pub dead: usize,
}

/// Sends what is queued.
pub struct Sender {
    pool: Pool,
    role: Arc<str>,
    smtp: Smtp,
    rng: Rng,
    config: SenderConfig,
    woken: Arc<Notify>,
}

impl Sender {
    /// A sender for the mails of `mailer`. `role` is the database role that
    /// may see the queue, usually `supabase_auth_admin`.
    #[must_use]
    pub fn new(
        mailer: &Mailer,
        smtp: Smtp,
        pool: Pool,
        role: &str,
        rng: Rng,
        config: SenderConfig,
    ) -> Self {
        Self {
            pool,
            role: Arc::from(role),
            smtp,
            rng,
            config,
            woken: mailer.woken(),
        }
    }

    /// Works until the group is told to stop. What is under way then is
    /// finished, each mail within its time.
    pub fn start(self, tasks: &Tasks) {
        let stopping = tasks.clone();
        tasks.spawn("mail", async move {
            let mut rounds = 0_u32;
            loop {
                let pause = self.look(&mut rounds).await;
                tokio::select! {
                    () = stopping.stopping() => return,
                    () = self.woken.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Sends until nothing is due; how long to wait then.
    async fn look(&self, rounds: &mut u32) -> Duration {
        loop {
            match self.round().await {
                Ok(round) if round == Round::default() => break,
                Ok(round) => tracing::debug!(?round, "mails"),
                Err(error) => {
                    tracing::warn!(%error, "the mail queue cannot be read");
                    return self.config.look_every;
                }
            }
        }
        *rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = self.run(SqlBuf::fixed(PRUNE)).await
        {
            tracing::warn!(%error, "old mails cannot be forgotten");
        }
        let next = self.run(SqlBuf::fixed(NEXT)).await.ok();
        let next = next.and_then(|rows| rows.scalar()?.parse::<f64>().ok());
        let next = next.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        next.map_or(self.config.look_every, |next| {
            next.min(self.config.look_every)
        })
    }

    /// Claims a batch and sends it.
    pub async fn round(&self) -> Result<Round, pg::Error> {
        let claim = self.rng.uuid().to_string();
        let rows = self
            .run(
                SqlBuf::fixed(CLAIM)
                    .bind(claim.clone())
                    .bind(self.config.lease.as_secs_f64().to_string())
                    .bind(self.config.batch.to_string()),
            )
            .await?;
        let mails: Vec<(Outgoing, u32)> = rows.iter().filter_map(claimed).collect();
        let results = futures_util::stream::iter(mails)
            .map(|(mail, attempts)| self.one(&claim, mail, attempts))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut round = Round::default();
        for result in results {
            match result? {
                Outcome::Sent => round.sent += 1,
                Outcome::Later => round.later += 1,
                Outcome::Dead => round.dead += 1,
            }
        }
        Ok(round)
    }

    async fn one(&self, claim: &str, mail: Outgoing, attempts: u32) -> Result<Outcome, pg::Error> {
        let sending = tokio::time::timeout(self.config.mail_timeout, self.smtp.send(&mail));
        let result = sending.await.unwrap_or_else(|_| {
            Err(Refused {
                permanent: false,
                why: "no answer in time".to_owned(),
            })
        });
        let Err(refused) = result else {
            let sent = SqlBuf::fixed(SENT).bind(mail.id).bind(claim.to_owned());
            self.run(sent).await?;
            return Ok(Outcome::Sent);
        };
        let dead = refused.permanent || attempts >= self.config.attempts_max;
        // Not the address, and not what the server said, which repeats it.
        tracing::warn!(id = mail.id, attempts, dead, "a mail was not taken");
        let why = refused.why.replace('\0', "");
        let why: String = why.chars().take(REASON_CHARS_MAX).collect();
        let pause = (!dead).then(|| self.pause(attempts).as_secs_f64().to_string());
        let failed = SqlBuf::fixed(FAILED)
            .bind(mail.id)
            .bind(claim.to_owned())
            .bind(why)
            .bind(pause);
        self.run(failed).await?;
        Ok(if dead { Outcome::Dead } else { Outcome::Later })
    }

    fn pause(&self, attempts: u32) -> Duration {
        let factor = 3_u32.saturating_pow(attempts.saturating_sub(1));
        let pause = self.config.retry_after.saturating_mul(factor);
        pause.min(self.config.retry_after_max)
    }

    async fn run(&self, sql: SqlBuf) -> Result<Rows, pg::Error> {
        let mut tx = RequestTx::new(&self.role, "{}", &[]);
        tx.keeps_settings().push(sql);
        let mut results = tx.run(&self.pool).await?;
        Ok(results.pop().unwrap_or_default())
    }
}

enum Outcome {
    Sent,
    Later,
    Dead,
}

fn claimed(row: Row<'_>) -> Option<(Outgoing, u32)> {
    let text = |index| row.get(index).map(str::to_owned);
    let mail = Outgoing {
        id: text(0)?,
        to: text(1)?,
        subject: text(2)?,
        html: text(3)?,
        plain: text(4)?,
        created: row.get(6)?.parse().ok()?,
    };
    Some((mail, row.get(5)?.parse().ok()?))
}
