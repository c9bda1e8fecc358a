//! What goes into one transaction, and who gets which verdict.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::super::store::{Batch, Store, Verdict};
use super::{AppendError, Appended, FLUSH_BYTES, FLUSH_EVENTS, Waiting};

/// Pieces of one flush. Those of one producer that follow one another are one
/// entry of the statement; one that does not follow waits for the next flush,
/// and so does what comes after it.
pub(super) struct Gathered(Vec<Entry>);

/// Pieces that share a verdict.
struct Entry {
    stream: Uuid,
    pieces: Vec<Waiting>,
    events: usize,
    /// The number behind the last event.
    next: i64,
}

/// What a flush did.
#[derive(Default)]
pub(super) struct Outcome {
    /// Streams that have news.
    pub(super) told: Vec<Uuid>,
    /// Whether events wait to be numbered.
    pub(super) left_over: bool,
}

impl Gathered {
    /// Takes what fits from the front.
    pub(super) fn take(held: &mut VecDeque<Waiting>) -> Self {
        let (mut entries, mut rest) = (Vec::<Entry>::new(), VecDeque::new());
        let mut of_producer = HashMap::<(Uuid, String), Option<usize>>::new();
        let (mut bytes, mut events) = (0, 0);
        while let Some(waiting) = held.pop_front() {
            if bytes >= FLUSH_BYTES || events >= FLUSH_EVENTS {
                rest.push_back(waiting);
                break;
            }
            let key = waiting
                .piece
                .producer
                .as_ref()
                .map(|producer| (waiting.piece.stream, producer.name.clone()));
            let place = match key.map(|key| of_producer.entry(key)) {
                None => None,
                Some(Slot::Vacant(slot)) => {
                    slot.insert(Some(entries.len()));
                    None
                }
                Some(Slot::Occupied(mut slot)) => {
                    let place = *slot.get();
                    let follows = place
                        .and_then(|place| entries.get(place))
                        .is_some_and(|entry| entry.follows(&waiting));
                    if !follows {
                        // Nothing of this producer may overtake it.
                        slot.insert(None);
                        rest.push_back(waiting);
                        continue;
                    }
                    place
                }
            };
            bytes += waiting.bytes;
            events += waiting.piece.events.len();
            match place.and_then(|place| entries.get_mut(place)) {
                Some(entry) => entry.add(waiting),
                None => entries.push(Entry::of(waiting)),
            }
        }
        rest.append(held);
        *held = rest;
        Self(entries)
    }

    /// Sends all of it at once. When the database refuses the whole for what is
    /// in it, each piece is sent alone, so that one is nobody else's trouble.
    pub(super) async fn send(self, store: &Store) -> Outcome {
        let mut outcome = Outcome::default();
        let mut sent = store.append(self.batch()).await;
        if matches!(&sent, Err(error) if is_collision(error)) {
            sent = store.append(self.batch()).await;
        }
        match sent {
            Ok(verdicts) => outcome.settle(self.0, verdicts),
            Err(error) if is_content(&error) && !self.is_one_piece() => {
                for waiting in self.0.into_iter().flat_map(|entry| entry.pieces) {
                    let alone = Self(vec![Entry::of(waiting)]);
                    match store.append(alone.batch()).await {
                        Ok(verdicts) => outcome.settle(alone.0, verdicts),
                        Err(error) => alone.fail(error),
                    }
                }
            }
            Err(error) => self.fail(error),
        }
        outcome
    }

    fn is_one_piece(&self) -> bool {
        matches!(self.0.as_slice(), [entry] if entry.pieces.len() == 1)
    }

    fn fail(self, error: pg::Error) {
        let refused = if is_content(&error) {
            AppendError::Invalid("the database cannot keep this data")
        } else {
            tracing::warn!(%error, "Events could not be written");
            AppendError::Unavailable(Arc::new(error))
        };
        for entry in self.0 {
            entry.answer(&Err(refused.clone()));
        }
    }

    fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        let mut start = 0;
        for (number, entry) in (1..).zip(&self.0) {
            entry.write(&mut batch, number, start);
            start += entry.events;
        }
        batch
    }
}

/// Another transaction was in the way; nothing was done.
fn is_collision(error: &pg::Error) -> bool {
    matches!(error.sqlstate(), Some("40P01" | "40001"))
}

/// It is the data: a text that the database cannot keep, a number too large.
fn is_content(error: &pg::Error) -> bool {
    let class = error.sqlstate().and_then(|state| state.get(..2));
    matches!(class, Some("22" | "23" | "54"))
}

impl Entry {
    fn of(waiting: Waiting) -> Self {
        let producer = waiting.piece.producer.as_ref();
        let first = producer.map_or(0, |producer| producer.first_n);
        let mut entry = Self {
            stream: waiting.piece.stream,
            pieces: Vec::new(),
            events: 0,
            next: first,
        };
        entry.add(waiting);
        entry
    }

    fn add(&mut self, waiting: Waiting) {
        let events = waiting.piece.events.len();
        self.events += events;
        self.next += i64::try_from(events).unwrap_or(0);
        self.pieces.push(waiting);
    }

    fn follows(&self, waiting: &Waiting) -> bool {
        let Some(first) = self.pieces.first() else {
            return false;
        };
        let (a, b) = (&first.piece, &waiting.piece);
        let next = b.producer.as_ref().map(|producer| producer.first_n);
        a.owner == b.owner && a.job == b.job && next == Some(self.next)
    }

    fn write(&self, batch: &mut Batch, number: usize, start: usize) {
        let Some(first) = self.pieces.first() else {
            return;
        };
        batch.streams.push(self.stream);
        if let Some(producer) = &first.piece.producer {
            batch.producers.push_text(&producer.name);
            batch.first_ns.push(producer.first_n);
        } else {
            batch.producers.push_null();
            batch.first_ns.push_null();
        }
        match first.piece.job {
            Some(job) => batch.jobs.push(job),
            None => batch.jobs.push_null(),
        }
        match &first.piece.owner {
            Some(owner) => batch.owners.push_text(owner),
            None => batch.owners.push_null(),
        }
        batch.starts.push(start);
        batch.counts.push(self.events);
        for event in self.pieces.iter().flat_map(|waiting| &waiting.piece.events) {
            batch.entries.push(number);
            batch.kinds.push_text(&event.kind);
            batch.data.push_text(event.data.get());
        }
    }

    fn answer(self, verdict: &Result<Appended, AppendError>) {
        for waiting in self.pieces {
            // Whoever left does not want to know.
            let _ = waiting.reply.send(verdict.clone());
        }
    }

    /// The entry's verdict, told to each piece as its own.
    fn settle(self, verdict: &Verdict) {
        if let Some(problem) = &verdict.problem {
            let error = match problem.as_str() {
                "not_found" => AppendError::NotFound,
                "stale" => AppendError::Stale,
                "gap" => AppendError::Gap {
                    next_n: verdict.next_n.unwrap_or(0),
                },
                _ => AppendError::Invalid("two pieces of one producer at once"),
            };
            return self.answer(&Err(error));
        }
        // What was there already is at the front.
        let mut repeated = self.events.saturating_sub(verdict.fresh);
        let behind = verdict.next_n.filter(|next| *next > self.next);
        for waiting in self.pieces {
            let count = waiting.piece.events.len();
            let known = repeated.min(count);
            repeated -= known;
            let end = waiting.piece.producer.as_ref().map(|producer| {
                let end = producer.first_n + i64::try_from(count).unwrap_or(0);
                behind.unwrap_or(end)
            });
            let _ = waiting.reply.send(Ok(Appended {
                next_n: end,
                fresh: count - known,
            }));
        }
    }
}

impl Outcome {
    fn settle(&mut self, entries: Vec<Entry>, verdicts: Vec<Verdict>) {
        let mut told: HashSet<Uuid> = self.told.drain(..).collect();
        let mut verdicts = verdicts.into_iter();
        for entry in entries {
            let Some(verdict) = verdicts.next() else {
                // The reply is dropped, which says that nothing is known.
                continue;
            };
            self.left_over |= verdict.left_over;
            if verdict.fresh > 0 {
                told.insert(entry.stream);
            }
            entry.settle(&verdict);
        }
        self.told = told.into_iter().collect();
    }
}
