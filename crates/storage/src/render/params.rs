//! What a client asks of a picture, in each of the ways it can: a query, the
//! body of a request for a signed address, the claim inside of one.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The longest side that is made; what is asked for beyond is held at it.
const SIDE_MAX: u32 = 2500;
/// The least and the most quality.
const QUALITIES: (u8, u8) = (20, 100);
/// Parameters of a query that are looked at.
const PAIRS_MAX: usize = 64;

/// How a picture comes into the asked size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resize {
    /// It fills the size; what stands over is cut off.
    #[default]
    Cover,
    /// It fits into the size.
    Contain,
    /// It is pulled into the size.
    Fill,
}

/// What format comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// What the client shows, and is small.
    #[default]
    Best,
    /// The source's.
    Origin,
    /// WebP.
    Webp,
}

/// What is kept when something is cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gravity {
    /// A side or a corner; -1 is left or top, 0 the middle.
    Side {
        /// As it was asked for.
        name: &'static str,
        horizontal: i8,
        vertical: i8,
        /// Away from there.
        offset: Option<(f64, f64)>,
    },
    /// Around a point, in parts of the whole.
    Focus { x: f64, y: f64 },
}

impl Default for Gravity {
    fn default() -> Self {
        Self::Side {
            name: "ce",
            horizontal: 0,
            vertical: 0,
            offset: None,
        }
    }
}

/// Names of gravities and where they pull. `sm`, where imgproxy looks for what
/// is interesting, is the middle here.
const SIDES: [(&str, i8, i8); 10] = [
    ("no", 0, -1),
    ("so", 0, 1),
    ("ea", 1, 0),
    ("we", -1, 0),
    ("noea", 1, -1),
    ("nowe", -1, -1),
    ("soea", 1, 1),
    ("sowe", -1, 1),
    ("ce", 0, 0),
    ("sm", 0, 0),
];

impl Gravity {
    pub(super) fn offsets(self) -> (f64, f64) {
        match self {
            Self::Side { offset, .. } => offset.unwrap_or_default(),
            Self::Focus { .. } => (0.0, 0.0),
        }
    }

    /// None for a name that nobody knows, and a focus without its point.
    fn new(name: &str, x: Option<f64>, y: Option<f64>) -> Option<Self> {
        let inside = |at: &f64| (0.0..=1.0).contains(at);
        if name == "fp" {
            return Some(Self::Focus {
                x: x.filter(inside)?,
                y: y.filter(inside)?,
            });
        }
        let &(name, horizontal, vertical) = SIDES.iter().find(|side| side.0 == name)?;
        let offset = (x.is_some() || y.is_some()) && name != "sm";
        Some(Self::Side {
            name,
            horizontal,
            vertical,
            offset: offset.then(|| (x.unwrap_or(0.0), y.unwrap_or(0.0))),
        })
    }

    fn segment(self) -> String {
        match self {
            Self::Focus { x, y } => format!("gravity:fp:{x}:{y}"),
            Self::Side {
                name,
                offset: Some((x, y)),
                ..
            } => format!("gravity:{name}:{x}:{y}"),
            Self::Side { name, .. } => format!("gravity:{name}"),
        }
    }
}

/// What is asked of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transform {
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) resize: Resize,
    pub(crate) format: Format,
    /// The format by its name, AVIF too, of which we write none.
    named_format: Option<&'static str>,
    pub(crate) quality: Option<u8>,
    pub(crate) gravity: Option<Gravity>,
}

impl Transform {
    /// Reads a query. The error is upstream's sentence.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut fields = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()).take(PAIRS_MAX) {
            // Twice is a list, which is no number and no word.
            let value = match fields.remove(&*name) {
                Some(first) => Value::Array(vec![first]),
                None => Value::String(value.into_owned()),
            };
            fields.insert(name.into_owned(), value);
        }
        Self::read(&fields, "querystring")
    }

    /// Reads `transform` of a body. The error is upstream's sentence.
    pub fn from_json(transform: &Value) -> Result<Self, String> {
        match transform {
            Value::Object(fields) => Self::read(fields, "body/transform"),
            _ => Err("body/transform must be object".to_owned()),
        }
    }

    fn read(fields: &Map<String, Value>, at: &str) -> Result<Self, String> {
        let field = |name: &'static str| Field {
            at,
            name,
            value: fields.get(name),
        };
        let side = |name| {
            let side = field(name).whole(0, None)?;
            // None of it is as much as not asked for.
            Ok::<_, String>(side.filter(|side| *side > 0).map(held))
        };
        let (height, width) = (side("height")?, side("width")?);
        let resize = match field("resize").word(&["cover", "contain", "fill"])? {
            Some("contain") => Resize::Contain,
            Some("fill") => Resize::Fill,
            _ => Resize::Cover,
        };
        let named_format = field("format").word(&["origin", "avif", "webp"])?;
        let (least, most) = QUALITIES;
        let quality = field("quality").whole(least.into(), Some(most.into()))?;
        let (x, y) = (field("x_offset").number()?, field("y_offset").number()?);
        let mut names: Vec<&'static str> = SIDES.iter().map(|side| side.0).collect();
        names.push("fp");
        let gravity = match field("gravity").word(&names)? {
            Some("fp") => Some(focus(at, x, y)?),
            Some(name) => Gravity::new(name, x, y),
            None => None,
        };
        Ok(Self {
            width,
            height,
            resize,
            format: format(named_format),
            named_format,
            quality: quality.and_then(|quality| u8::try_from(quality).ok()),
            gravity,
        })
    }

    /// Reads the claim of a signed address. It is ours; what is not known in
    /// it is passed over.
    #[must_use]
    pub fn from_signed(text: &str) -> Self {
        let mut asked = Self::default();
        let (least, most) = QUALITIES;
        for segment in text.split(',') {
            let mut parts = segment.split(':');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            let side = || value.parse().ok().filter(|side| *side > 0).map(held);
            match name {
                "height" => asked.height = side(),
                "width" => asked.width = side(),
                "resize" => {
                    asked.resize = match value {
                        "contain" => Resize::Contain,
                        "fill" => Resize::Fill,
                        _ => Resize::Cover,
                    }
                }
                "quality" => {
                    let quality: Option<u8> = value.parse().ok();
                    asked.quality = quality.map(|quality| quality.clamp(least, most));
                }
                "format" => {
                    let known = ["origin", "avif", "webp"];
                    asked.named_format = known.into_iter().find(|known| *known == value);
                    asked.format = format(asked.named_format);
                }
                "gravity" => {
                    let mut offset = || {
                        let offset: Option<f64> = parts.next().and_then(|text| text.parse().ok());
                        offset.filter(|offset| offset.is_finite())
                    };
                    let (x, y) = (offset(), offset());
                    asked.gravity = Gravity::new(value, x, y);
                }
                _ => {}
            }
        }
        asked
    }

    /// The claim for a signed address; empty when nothing is asked for.
    #[must_use]
    pub fn to_signed(&self) -> String {
        let resize = match self.resize {
            Resize::Cover => "resize:cover",
            Resize::Contain => "resize:contain",
            Resize::Fill => "resize:fill",
        };
        self.segments(resize)
    }

    /// What `X-Transformations` says, in imgproxy's words.
    #[must_use]
    pub fn applied(&self) -> String {
        let resize = match self.resize {
            Resize::Cover => "resizing_type:fill",
            Resize::Contain => "resizing_type:fit",
            Resize::Fill => "resizing_type:force",
        };
        self.segments(resize)
    }

    /// Whether the answer depends on what the client accepts.
    #[must_use]
    pub fn looks_at_accept(&self) -> bool {
        self.format == Format::Best
    }

    fn segments(&self, resize: &str) -> String {
        let mut text = String::new();
        let mut add = |segment: std::fmt::Arguments<'_>| {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{segment}");
        };
        if let Some(height) = self.height {
            add(format_args!("height:{height}"));
        }
        if let Some(width) = self.width {
            add(format_args!("width:{width}"));
        }
        if self.width.is_some() || self.height.is_some() {
            add(format_args!("{resize}"));
        }
        if let Some(quality) = self.quality {
            add(format_args!("quality:{quality}"));
        }
        if let Some(format) = self.named_format.filter(|format| *format != "origin") {
            add(format_args!("format:{format}"));
        }
        if let Some(gravity) = self.gravity {
            add(format_args!("{}", gravity.segment()));
        }
        text
    }
}

/// AVIF would need an encoder of its own; who asks for it gets what else it
/// shows.
fn format(name: Option<&str>) -> Format {
    match name {
        Some("origin") => Format::Origin,
        Some("webp") => Format::Webp,
        _ => Format::Best,
    }
}

fn held(side: u32) -> u32 {
    side.clamp(1, SIDE_MAX)
}

/// A focus needs its point, inside of the picture.
fn focus(at: &str, x: Option<f64>, y: Option<f64>) -> Result<Gravity, String> {
    let refused = |what: String| format!("{what}, {at} must match \"then\" schema");
    for (name, value) in [("x_offset", x), ("y_offset", y)] {
        match value {
            None => {
                return Err(refused(format!(
                    "{at} must have required property '{name}'"
                )));
            }
            Some(value) if value < 0.0 => {
                return Err(refused(format!("{at}/{name} must be >= 0")));
            }
            Some(value) if value > 1.0 => {
                return Err(refused(format!("{at}/{name} must be <= 1")));
            }
            Some(_) => {}
        }
    }
    Gravity::new("fp", x, y).ok_or_else(|| refused(format!("{at}/gravity must be number")))
}

/// A field and where it is, for what is said about it.
struct Field<'a> {
    at: &'a str,
    name: &'static str,
    value: Option<&'a Value>,
}

impl Field<'_> {
    fn refused<T>(&self, rule: &str) -> Result<T, String> {
        Err(format!("{}/{} {rule}", self.at, self.name))
    }

    fn read(&self) -> Option<f64> {
        let number = match self.value? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }

    fn number(&self) -> Result<Option<f64>, String> {
        match (self.value, self.read()) {
            (None, _) => Ok(None),
            (Some(_), Some(number)) => Ok(Some(number)),
            (Some(_), None) => self.refused("must be number"),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative; a number that is too large becomes the largest"
    )]
    fn whole(&self, least: u32, most: Option<u32>) -> Result<Option<u32>, String> {
        let number = match (self.value, self.read()) {
            (None, _) => return Ok(None),
            (Some(_), Some(number)) if number.fract() == 0.0 => number,
            (Some(_), _) => return self.refused("must be integer"),
        };
        if number < f64::from(least) {
            return self.refused(&format!("must be >= {least}"));
        }
        match most {
            Some(most) if number > f64::from(most) => self.refused(&format!("must be <= {most}")),
            _ => Ok(Some(number as u32)),
        }
    }

    fn word(&self, known: &[&'static str]) -> Result<Option<&'static str>, String> {
        let Some(value) = self.value else {
            return Ok(None);
        };
        let Some(text) = value.as_str() else {
            return self.refused("must be string");
        };
        match known.iter().find(|known| **known == text) {
            Some(known) => Ok(Some(known)),
            None => self.refused("must be equal to one of the allowed values"),
        }
    }
}
