//! Chooses the media type of the answer and who renders it: the first
//! accepted one that somebody can make.

use pg::catalog::{Catalog, QualifiedName};

use super::refuse;
use super::tree::ReadNode;
use crate::call::Call;
use crate::call::media::MediaType;
use crate::config::Config;
use crate::error::RestError;

/// Who turns rows into the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// A JSON array (or a function's single value).
    Json,
    /// A JSON array without nulls.
    JsonStripped,
    /// Exactly one JSON object.
    Object { stripped: bool },
    /// Comma-separated values with a header line.
    Csv,
    /// A `GeoJSON` feature collection, made by `PostGIS`.
    GeoJson,
    /// A function or aggregate of the database.
    Custom {
        function: QualifiedName,
        /// The relation whose rows it takes; `None` for any.
        relation: Option<QualifiedName>,
    },
    /// No body.
    None,
}

/// For a table or what a function returns.
pub(crate) fn table(
    catalog: &Catalog,
    config: &Config,
    call: &Call,
    relation: &QualifiedName,
    tree: &ReadNode,
) -> Result<(Handler, MediaType), RestError> {
    let lookup = Lookup {
        catalog,
        relation,
        default_select: tree.has_default_select(),
    };
    let chosen = call
        .accept
        .iter()
        .find_map(|media| lookup.find(media, config.plan_enabled));
    let (handler, media) = chosen.ok_or_else(|| refuse::not_acceptable(&call.accept))?;
    // Nobody reads the body of a HEAD.
    let handler = if call.headers_only {
        Handler::None
    } else {
        handler
    };
    Ok((handler, media))
}

/// For the root, which speaks OpenAPI only.
pub(crate) fn root(accept: &[MediaType]) -> Result<(), RestError> {
    let known = [MediaType::OpenApi, MediaType::Json, MediaType::Any];
    if accept.iter().any(|media| known.contains(media)) {
        Ok(())
    } else {
        Err(refuse::not_acceptable(accept))
    }
}

struct Lookup<'a> {
    catalog: &'a Catalog,
    relation: &'a QualifiedName,
    /// Handlers of a relation take its whole rows.
    default_select: bool,
}

impl Lookup<'_> {
    fn find(&self, media: &MediaType, plans: bool) -> Option<(Handler, MediaType)> {
        match media {
            MediaType::Object { stripped } => {
                let stripped = *stripped;
                Some((Handler::Object { stripped }, media.clone()))
            }
            MediaType::ArrayStripped => Some((Handler::JsonStripped, media.clone())),
            MediaType::Plan(_) if !plans => None,
            MediaType::Plan(plan) => {
                let (handler, _) = self.find(&plan.of, false)?;
                Some((handler, media.clone()))
            }
            other => self.custom(other).or_else(|| builtin(other)),
        }
    }

    fn custom(&self, media: &MediaType) -> Option<(Handler, MediaType)> {
        if self.catalog.media_handlers.is_empty() {
            return None;
        }
        let mime = media.mime();
        let of_relation = |wanted: &str| {
            self.catalog.media_handlers.iter().find(|handler| {
                self.default_select
                    && handler.relation.as_ref() == Some(self.relation)
                    && handler.media_type == wanted
            })
        };
        let of_any = || {
            self.catalog
                .media_handlers
                .iter()
                .find(|handler| handler.relation.is_none() && handler.media_type == mime)
        };
        let catch_all = of_relation("*/*");
        let handler = catch_all.or_else(|| of_relation(&mime)).or_else(of_any)?;
        // A function that returns the domain has rendered its result already;
        // what remains is to make it the domain, which a type's name does when
        // it is called like a function.
        let custom = Handler::Custom {
            function: if handler.is_routine {
                handler.domain.clone()
            } else {
                handler.function.clone()
            },
            relation: handler.relation.clone(),
        };
        // A catch-all answers every request with bytes, whose type only its
        // `response.headers` can tell.
        let resolved = if handler.media_type == "*/*" {
            MediaType::OctetStream
        } else {
            MediaType::parse(&handler.media_type)
        };
        Some((custom, resolved))
    }
}

fn builtin(media: &MediaType) -> Option<(Handler, MediaType)> {
    match media {
        MediaType::Any | MediaType::Json => Some((Handler::Json, MediaType::Json)),
        MediaType::Csv => Some((Handler::Csv, MediaType::Csv)),
        MediaType::GeoJson => Some((Handler::GeoJson, MediaType::GeoJson)),
        _ => None,
    }
}
