//! The rows of a statement, kept as the bytes that came off the wire. Values
//! are found when asked for, so a row that is only passed on is never copied.

use std::sync::Arc;

use bytes::Bytes;

/// A result column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The OID of its type, domains resolved to their base type.
    pub type_oid: u32,
}

/// What a statement returned, in text format.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    columns: Arc<[Column]>,
    /// Whole `DataRow` messages, header included, back to back.
    chunks: Vec<Bytes>,
    count: usize,
    tag: String,
}

impl Rows {
    pub(crate) fn new(
        columns: Arc<[Column]>,
        chunks: Vec<Bytes>,
        count: usize,
        tag: String,
    ) -> Self {
        Self {
            columns,
            chunks,
            count,
            tag,
        }
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The command tag, such as `INSERT 0 3`.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The number at the end of the command tag.
    #[must_use]
    pub fn affected(&self) -> u64 {
        self.tag
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }

    /// The bytes of all rows, as a guess for buffer sizes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.chunks
            .iter()
            .flat_map(|chunk| Messages { rest: chunk })
    }

    /// The first row.
    #[must_use]
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// The first value of the first row: what `SELECT count(*)` is asked for.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        self.first().and_then(|row| row.get(0))
    }
}

/// Walks a chunk message by message.
struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let (_, rest) = self.rest.split_first()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, next) = rest.split_at_checked(length)?;
        self.rest = next;
        // Behind the length: the number of values, which the columns tell too.
        Some(Row {
            values: message.get(6..)?,
        })
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    values: &'a [u8],
}

impl<'a> Row<'a> {
    /// The value at `index`; `None` for NULL, for a column that does not
    /// exist, and for text that is not UTF-8 (the session's encoding is).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.values()
            .nth(index)
            .flatten()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The values in order, as bytes; `None` is NULL.
    #[must_use]
    pub fn values(&self) -> Values<'a> {
        Values { rest: self.values }
    }
}

/// Walks the values of a row.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            // -1 marks NULL, which has no bytes.
            Err(_) => {
                self.rest = rest;
                Some(None)
            }
            Ok(length) => {
                let (value, next) = rest.split_at_checked(length)?;
                self.rest = next;
                Some(Some(value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_the_raw_messages() {
        let mut raw = Vec::new();
        for value in [Some("ab"), None] {
            let mut body = vec![0, 2];
            body.extend_from_slice(&1_i32.to_be_bytes());
            body.push(b'x');
            match value {
                Some(text) => {
                    body.extend_from_slice(&2_i32.to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
            raw.push(b'D');
            raw.extend_from_slice(&u32::try_from(body.len() + 4).expect("small").to_be_bytes());
            raw.extend_from_slice(&body);
        }
        let rows = Rows::new(Arc::from([]), vec![raw.into()], 2, "SELECT 2".into());
        let seen: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(seen, [(Some("x"), Some("ab")), (Some("x"), None)]);
        assert_eq!(rows.affected(), 2);
    }
}
