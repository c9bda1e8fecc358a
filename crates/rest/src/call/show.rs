//! Characters and strings as Haskell prints them. Parse errors quote the
//! offending character this way, and clients see it: `'\1078'`, `"\""`.

/// Names of the control characters that have no short escape.
const CONTROLS: [&str; 32] = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "a", "b", "t", "n", "v", "f", "r", "SO", "SI",
    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS",
    "RS", "US",
];

/// `t` becomes `'t'`.
pub(super) fn show_char(c: char) -> String {
    if c == '\'' {
        return "'\\''".to_owned();
    }
    let mut shown = String::from("'");
    push_escaped(&mut shown, c);
    shown.push('\'');
    shown
}

/// `say "x"` becomes `"say \"x\""`.
pub(super) fn show_string(text: &str) -> String {
    let mut shown = String::from("\"");
    let mut after_number = false;
    for c in text.chars() {
        // A digit right after a numeric escape would be read as part of it.
        if after_number && c.is_ascii_digit() {
            shown.push_str("\\&");
        }
        after_number = c > '\u{7f}';
        if c == '"' {
            shown.push_str("\\\"");
        } else {
            push_escaped(&mut shown, c);
        }
    }
    shown.push('"');
    shown
}

fn push_escaped(shown: &mut String, c: char) {
    match c {
        '\\' => shown.push_str("\\\\"),
        '\u{7f}' => shown.push_str("\\DEL"),
        ' '..='~' => shown.push(c),
        _ => {
            shown.push('\\');
            let number = u32::from(c);
            match usize::try_from(number)
                .ok()
                .and_then(|index| CONTROLS.get(index))
            {
                Some(name) => shown.push_str(name),
                None => shown.push_str(&number.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_haskell_does() {
        assert_eq!(show_char('t'), "'t'");
        assert_eq!(show_char('\''), "'\\''");
        assert_eq!(show_char('"'), "'\"'");
        assert_eq!(show_char('ж'), "'\\1078'");
        assert_eq!(show_string("\""), "\"\\\"\"");
        assert_eq!(show_string("é1\n"), "\"\\233\\&1\\n\"");
    }
}
