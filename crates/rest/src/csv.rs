//! Rows as comma-separated values, quoted as Postgres writes a row's text.

use pg::Rows;

/// A header line and a line for each row. Without rows the header is empty,
/// since upstream takes it from the first one.
pub(crate) fn table(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.byte_len() + 64);
    if !rows.is_empty() {
        for (index, column) in rows.columns().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(column.name.as_bytes());
        }
    }
    out.push(b'\n');
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            out.push(b'\n');
        }
        for (index, value) in row.values().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if let Some(value) = value {
                field(&mut out, value);
            }
        }
    }
    out
}

fn field(out: &mut Vec<u8>, value: &[u8]) {
    let needs_quotes = value.is_empty()
        || value.iter().any(|byte| {
            matches!(byte, b'"' | b'\\' | b'(' | b')' | b',')
                || byte.is_ascii_whitespace()
                || *byte == 11
        });
    if !needs_quotes {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_like_a_row() {
        let mut out = Vec::new();
        for value in ["plain", "", "a,b", "say \"hi\"", "back\\slash"] {
            field(&mut out, value.as_bytes());
            out.push(b'|');
        }
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, r#"plain|""|"a,b"|"say ""hi"""|"back\\slash"|"#);
    }
}
