//! The prepared statements of one connection.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::rows::Column;

/// Prepared statements kept on one connection. Each costs Postgres a plan, so
/// the least recently used one makes room.
const STATEMENTS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Statements {
    entries: HashMap<u64, Entry>,
    /// Texts are long: a hash made for short keys would be felt.
    hasher: RandomState,
    tick: u64,
    next_name: u64,
}

#[derive(Debug)]
struct Entry {
    scope: Arc<str>,
    text: Arc<str>,
    name: String,
    /// Known once the server has answered; until then the statement may yet
    /// fail to parse and nobody else may rely on it.
    columns: Option<Arc<[Column]>>,
    used: u64,
}

/// How to send a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    /// It is there: bind and execute it.
    Ready {
        name: String,
        columns: Arc<[Column]>,
    },
    /// Parse it under this name first, after closing another.
    New {
        key: u64,
        name: String,
        close: Option<String>,
    },
    /// Parse it as the unnamed statement.
    Unnamed,
}

impl Statements {
    pub(super) fn find(&mut self, scope: &Arc<str>, text: &Arc<str>) -> Prepared {
        self.tick += 1;
        let key = self.hasher.hash_one((scope, text));
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.used = self.tick;
            let same = entry.text == *text && entry.scope == *scope;
            return match &entry.columns {
                Some(columns) if same => Prepared::Ready {
                    name: entry.name.clone(),
                    columns: Arc::clone(columns),
                },
                _ => Prepared::Unnamed,
            };
        }
        let close = self.make_room();
        self.next_name += 1;
        let name = format!("s{}", self.next_name);
        let entry = Entry {
            scope: Arc::clone(scope),
            text: Arc::clone(text),
            name: name.clone(),
            columns: None,
            used: self.tick,
        };
        self.entries.insert(key, entry);
        Prepared::New { key, name, close }
    }

    /// The server has parsed the statement and described its result.
    pub(super) fn described(&mut self, key: u64, columns: &Arc<[Column]>) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.columns = Some(Arc::clone(columns));
        }
    }

    /// The server has not parsed the statement.
    pub(super) fn forget(&mut self, key: u64) {
        self.entries.remove(&key);
    }

    /// Whether the statement was parsed.
    pub(super) fn is_ready(&self, key: u64) -> bool {
        self.entries.get(&key).is_some_and(|e| e.columns.is_some())
    }

    /// Forgets everything; returns the names to close.
    pub(super) fn clear(&mut self) -> Vec<String> {
        self.entries
            .drain()
            .filter(|(_, entry)| entry.columns.is_some())
            .map(|(_, entry)| entry.name)
            .collect()
    }

    fn make_room(&mut self) -> Option<String> {
        if self.entries.len() < STATEMENTS_MAX {
            return None;
        }
        let oldest = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.columns.is_some())
            .min_by_key(|(_, entry)| entry.used)
            .map(|(key, _)| *key)?;
        self.entries.remove(&oldest).map(|entry| entry.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arc(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[test]
    fn a_statement_is_shared_only_after_the_server_took_it() {
        let mut statements = Statements::default();
        let Prepared::New { key, .. } = statements.find(&arc("anon"), &arc("SELECT 1")) else {
            panic!("first time");
        };
        assert_eq!(
            statements.find(&arc("anon"), &arc("SELECT 1")),
            Prepared::Unnamed
        );
        statements.described(key, &Arc::from([]));
        assert!(matches!(
            statements.find(&arc("anon"), &arc("SELECT 1")),
            Prepared::Ready { .. }
        ));
        assert!(matches!(
            statements.find(&arc("other"), &arc("SELECT 1")),
            Prepared::New { .. }
        ));
    }

    #[test]
    fn the_least_recently_used_one_makes_room() {
        let mut statements = Statements::default();
        let mut closed = Vec::new();
        for n in 0..=STATEMENTS_MAX {
            let text = arc(&format!("SELECT {n}"));
            if let Prepared::New { key, close, .. } = statements.find(&arc(""), &text) {
                statements.described(key, &Arc::from([]));
                closed.extend(close);
            }
        }
        assert_eq!(closed, ["s1"]);
    }
}
