//! What one row of the table of settings says.
//!
//! Start at [`Key`]; [`super::table`] has the rows.

/// What a setting's text must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text; empty means "none".
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Several texts; in the environment separated by commas.
    List,
    /// Bytes, as `65536`, `64KiB` or `10MiB`.
    Size,
    /// A span of time, as `500ms`, `30s` or `5m`.
    Span,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path: section and name in `ferrobase.toml`.
    pub path: &'static str,
    /// What its text must look like.
    pub kind: Kind,
    /// The value when nobody says otherwise.
    pub default: &'static str,
    /// Another default under `serve`, where it differs.
    pub serve_default: Option<&'static str>,
    /// Whether `config explain` must hide the value.
    pub secret: bool,
    /// Foreign environment names: PostgREST's without `PGRST_`, in capitals.
    pub postgrest: Option<&'static str>,
    /// Foreign environment name of a self-hosted Supabase.
    pub supabase: Option<&'static str>,
    /// One sentence for people.
    pub doc: &'static str,
}

pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        path,
        kind,
        default,
        serve_default: None,
        secret: false,
        postgrest: None,
        supabase: None,
        doc,
    }
}

impl Key {
    pub(super) const fn serve(mut self, default: &'static str) -> Self {
        self.serve_default = Some(default);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn postgrest(mut self, name: &'static str) -> Self {
        self.postgrest = Some(name);
        self
    }

    pub(super) const fn supabase(mut self, name: &'static str) -> Self {
        self.supabase = Some(name);
        self
    }
}

/// How many rows these sections have.
pub(super) const fn count(sections: &[&[Key]]) -> usize {
    match sections {
        [first, rest @ ..] => first.len() + count(rest),
        [] => 0,
    }
}

/// The rows of these sections, one after the other.
#[expect(clippy::indexing_slicing, reason = "worked out when it is compiled")]
pub(super) const fn joined<const N: usize>(sections: &[&[Key]]) -> [Key; N] {
    let mut all = [sections[0][0]; N];
    let (mut section, mut next) = (0, 0);
    while section < sections.len() {
        let mut row = 0;
        while row < sections[section].len() {
            all[next] = sections[section][row];
            (row, next) = (row + 1, next + 1);
        }
        section += 1;
    }
    all
}
