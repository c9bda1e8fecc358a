//! Pages of lists: `page` and `per_page` in, `Link` and `X-Total-Count` out.

use axum::response::Response;
use http::header::{HeaderName, HeaderValue, LINK};

use crate::error::{AuthError, Result};
use crate::request::Call;
use crate::room::Auth;

/// GoTrue's own.
const PER_PAGE: u64 = 50;
/// More would be held in memory at once.
const PER_PAGE_MAX: u64 = 1000;

/// Which rows are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    number: u64,
    size: u64,
}

impl Page {
    pub(crate) fn of(call: &Call) -> Result<Self> {
        let number = |name: &str, default: u64| match call.asked(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                AuthError::invalid(format!(
                    "Bad Pagination Parameters: strconv.ParseUint: parsing {text:?}: invalid syntax"
                ))
            }),
        };
        Ok(Self {
            number: number("page", 1)?.max(1),
            size: number("per_page", PER_PAGE)?.clamp(1, PER_PAGE_MAX),
        })
    }

    pub(crate) fn limit(self) -> u64 {
        self.size
    }

    pub(crate) fn offset(self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }
}

/// Says where the next and the last page are, and how many rows there are.
pub(crate) fn with_page_headers(
    mut response: Response,
    auth: &Auth,
    call: &Call,
    page: &Page,
    total: u64,
) -> Response {
    let last = total.div_ceil(page.size);
    let address = |number: u64| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let given = call.parts.uri.query().unwrap_or_default();
        let kept = url::form_urlencoded::parse(given.as_bytes()).filter(|(name, _)| name != "page");
        query
            .extend_pairs(kept)
            .append_pair("page", &number.to_string());
        // The path as clients know it: the gateway has shortened ours.
        let mount = auth.config.external_url.path().trim_end_matches('/');
        format!("{mount}{}?{}", call.parts.uri.path(), query.finish())
    };
    let mut links = String::new();
    if last > page.number {
        links = format!("<{}>; rel=\"next\", ", address(page.number + 1));
    }
    links.push('<');
    links.push_str(&address(last));
    links.push_str(">; rel=\"last\"");
    let headers = response.headers_mut();
    if let Ok(links) = HeaderValue::try_from(links) {
        headers.insert(LINK, links);
    }
    headers.insert(HeaderName::from_static("x-total-count"), total.into());
    response
}
