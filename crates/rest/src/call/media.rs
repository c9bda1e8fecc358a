//! Media types: what the client accepts and sends, and how an answer names
//! its own. Start at [`MediaType::parse`] and [`accepted`].

use std::fmt::Write as _;

use http::{HeaderMap, header};

/// The media types that mean something to the dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/vnd.pgrst.array+json;nulls=stripped`
    ArrayStripped,
    /// `application/vnd.pgrst.object+json`, exactly one row.
    Object {
        /// `;nulls=stripped`
        stripped: bool,
    },
    /// `application/geo+json`
    GeoJson,
    /// `text/csv`
    Csv,
    /// `text/plain`
    Text,
    /// `text/xml`
    Xml,
    /// `application/openapi+json`
    OpenApi,
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `application/octet-stream`
    OctetStream,
    /// `*/*`
    Any,
    /// `application/vnd.pgrst.plan`
    Plan(Box<PlanType>),
    /// Anything else, as written. The catalog may have a handler for it.
    Other(String),
}

/// The parameters of `application/vnd.pgrst.plan`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanType {
    /// `for=`: the answer whose plan is wanted.
    pub of: MediaType,
    /// `+json` or `+text`.
    pub format: PlanFormat,
    /// `options=`, in the dialect's order.
    pub options: Vec<PlanOption>,
}

/// How the plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanFormat {
    /// `+json`
    Json,
    /// `+text`
    Text,
}

/// One option of `EXPLAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanOption {
    /// `analyze`
    Analyze,
    /// `verbose`
    Verbose,
    /// `settings`
    Settings,
    /// `buffers`
    Buffers,
    /// `wal`
    Wal,
}

const PLAN_OPTIONS: [(&str, PlanOption); 5] = [
    ("analyze", PlanOption::Analyze),
    ("verbose", PlanOption::Verbose),
    ("settings", PlanOption::Settings),
    ("buffers", PlanOption::Buffers),
    ("wal", PlanOption::Wal),
];

/// How deep `for=` may name a plan of a plan.
const MAX_PLAN_DEPTH: usize = 4;

impl PlanOption {
    /// The option as `options=` and `EXPLAIN` write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        PLAN_OPTIONS
            .iter()
            .find(|(_, option)| *option == self)
            .map_or("", |(name, _)| name)
    }
}

impl MediaType {
    /// One media type with its parameters. Never fails: what is not known is
    /// [`MediaType::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_nested(text, 0)
    }

    fn parse_nested(text: &str, depth: usize) -> Self {
        let other = || Self::Other(text.to_owned());
        let Some((kind, parameters)) = Parameters::split(text) else {
            return other();
        };
        let stripped = || parameters.get("nulls") == Some("stripped");
        match kind.as_str() {
            "application/json" => Self::Json,
            "application/geo+json" => Self::GeoJson,
            "text/csv" => Self::Csv,
            "text/plain" => Self::Text,
            "text/xml" => Self::Xml,
            "application/openapi+json" => Self::OpenApi,
            "application/x-www-form-urlencoded" => Self::UrlEncoded,
            "application/octet-stream" => Self::OctetStream,
            "application/vnd.pgrst.plan" | "application/vnd.pgrst.plan+text" => {
                Self::plan(&parameters, PlanFormat::Text, depth).unwrap_or_else(other)
            }
            "application/vnd.pgrst.plan+json" => {
                Self::plan(&parameters, PlanFormat::Json, depth).unwrap_or_else(other)
            }
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => Self::Object {
                stripped: stripped(),
            },
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => {
                if stripped() {
                    Self::ArrayStripped
                } else {
                    Self::Json
                }
            }
            "*/*" => Self::Any,
            _ => other(),
        }
    }

    fn plan(parameters: &Parameters, format: PlanFormat, depth: usize) -> Option<Self> {
        if depth >= MAX_PLAN_DEPTH {
            return None;
        }
        let of = parameters.get("for").unwrap_or("application/json");
        let wanted: Vec<&str> = parameters
            .get("options")
            .unwrap_or_default()
            .split('|')
            .collect();
        Some(Self::Plan(Box::new(PlanType {
            of: Self::parse_nested(of, depth + 1),
            format,
            options: PLAN_OPTIONS
                .iter()
                .filter(|(name, _)| wanted.contains(name))
                .map(|(_, option)| *option)
                .collect(),
        })))
    }

    /// The media type as text, with its parameters.
    #[must_use]
    pub fn mime(&self) -> String {
        let text = match self {
            Self::Json => "application/json",
            Self::ArrayStripped => "application/vnd.pgrst.array+json;nulls=stripped",
            Self::Object { stripped: true } => "application/vnd.pgrst.object+json;nulls=stripped",
            Self::Object { stripped: false } => "application/vnd.pgrst.object+json",
            Self::GeoJson => "application/geo+json",
            Self::Csv => "text/csv",
            Self::Text => "text/plain",
            Self::Xml => "text/xml",
            Self::OpenApi => "application/openapi+json",
            Self::UrlEncoded => "application/x-www-form-urlencoded",
            Self::OctetStream => "application/octet-stream",
            Self::Any => "*/*",
            Self::Other(text) => text,
            Self::Plan(plan) => return plan.mime(),
        };
        text.to_owned()
    }

    /// The value of `Content-Type` for an answer of this type.
    #[must_use]
    pub fn content_type(&self) -> String {
        let mut text = self.mime();
        if !matches!(self, Self::OctetStream | Self::Other(_)) {
            text.push_str("; charset=utf-8");
        }
        text
    }
}

impl PlanType {
    fn mime(&self) -> String {
        let format = match self.format {
            PlanFormat::Json => "json",
            PlanFormat::Text => "text",
        };
        let mut text = format!(
            "application/vnd.pgrst.plan+{format}; for=\"{}\"",
            self.of.mime()
        );
        for (index, option) in self.options.iter().enumerate() {
            let before = if index == 0 { "; options=" } else { "|" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{before}{}", option.name());
        }
        text
    }
}

/// The `;name=value` parts of a media type.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Splits off the lower-cased `type/subtype`. Text after the first part
    /// that is not a parameter is ignored, as upstream does.
    fn split(text: &str) -> Option<(String, Self)> {
        let (main, rest) = take(text, |c| c.is_alphanumeric() || matches!(c, '.' | '*'));
        let rest = rest.strip_prefix('/')?;
        let (sub, mut rest) = take(rest, |c| {
            c.is_alphanumeric() || matches!(c, '.' | '*' | '+' | '-')
        });
        if main.is_empty() || sub.is_empty() {
            return None;
        }
        let kind = format!("{}/{}", main.to_lowercase(), sub.to_lowercase());
        let mut parameters = Vec::new();
        while let Some((name, value, after)) = parameter(rest) {
            parameters.push((name.to_lowercase(), value.to_owned()));
            rest = after;
        }
        Some((kind, Self(parameters)))
    }

    /// The last value given for a name.
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

fn take(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let (name, rest) = take(text, |c| c.is_alphanumeric() || c == '-');
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    if let Some((value, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return Some((name, value, after));
    }
    let (value, after) = take(rest, |c| c.is_alphanumeric() || matches!(c, '|' | '-'));
    (!value.is_empty()).then_some((name, value, after))
}

/// The types of the `Accept` header, the most wanted first; `*/*` without one.
#[must_use]
pub fn accepted(headers: &HeaderMap) -> Vec<MediaType> {
    let Some(value) = headers.get(header::ACCEPT) else {
        return vec![MediaType::Any];
    };
    let text = String::from_utf8_lossy(value.as_bytes()).replace(' ', "");
    let mut wishes: Vec<(&str, f64, i64)> = text.split(',').map(weighed).collect();
    // A stable sort: of equal wishes the one written first wins.
    wishes.sort_by(|one, two| two.1.total_cmp(&one.1).then(two.2.cmp(&one.2)));
    wishes
        .into_iter()
        .map(|(text, _, _)| MediaType::parse(text))
        .collect()
}

/// A wish with its quality and, for equal qualities, how specific it is.
fn weighed(wish: &str) -> (&str, f64, i64) {
    let (text, quality) = match wish.split_once(";q=") {
        Some((text, rest)) => {
            let number = rest.split(';').next().unwrap_or_default();
            (text, number.parse().unwrap_or(1.0))
        }
        None => (wish, 1.0),
    };
    let specificity = text.bytes().fold(0, |sum, byte| match byte {
        b';' => sum + 1,
        b'*' => sum - 1,
        _ => sum,
    });
    (text, quality, specificity)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn round(text: &str) -> String {
        MediaType::parse(text).content_type()
    }

    #[test]
    fn names_come_back_as_upstream_writes_them() {
        for (written, answered) in [
            ("application/json", "application/json; charset=utf-8"),
            (
                "ApplicatIon/vnd.PgRsT.object",
                "application/vnd.pgrst.object+json; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.object+json;nulls=stripped",
                "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.array+json",
                "application/json; charset=utf-8",
            ),
            ("application/octet-stream", "application/octet-stream"),
            ("application/vnd.twkb", "application/vnd.twkb"),
            ("text", "text"),
            ("text/csv; version=1", "text/csv; charset=utf-8"),
            (
                "application/vnd.pgrst.plan ; for=\"text/xml\" ; options=verbose|analyze|x",
                "application/vnd.pgrst.plan+text; for=\"text/xml\"; options=analyze|verbose; charset=utf-8",
            ),
            (
                "application/vnd.pgrst.plan+json;",
                "application/vnd.pgrst.plan+json; for=\"application/json\"; charset=utf-8",
            ),
        ] {
            assert_eq!(round(written), answered, "{written}");
        }
    }

    #[test]
    fn the_most_wanted_comes_first() {
        let accept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            accepted(&headers)
                .iter()
                .map(MediaType::mime)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            "text/html application/xhtml+xml application/xml */*"
        );
        assert_eq!(accept("*/*, text/csv"), "text/csv */*");
        assert_eq!(accept("text/csv;q=0.1, text/plain"), "text/plain text/csv");
        assert_eq!(accept("text/csv, */*; q=0.01"), "text/csv */*");
        assert_eq!(accepted(&HeaderMap::new()), [MediaType::Any]);
    }
}
