//! Libraries of model providers know one credential, and show it in one place
//! of their own: as bearer, or in `X-API-Key`. Here it stands for both the key
//! and the token, so whatever it is (a user's token, an API key, a platform
//! key) it is found where [`super::identity`] looks for it.

use axum::body::Body;
use http::Request;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

const KEY: HeaderName = HeaderName::from_static("apikey");
const PLATFORM_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Puts the one credential where keys and tokens are looked for. Who shows a
/// key beside it knows our headers and is left alone.
pub(super) fn spread(request: &mut Request<Body>) {
    let headers = request.headers_mut();
    if headers.contains_key(KEY) {
        return;
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    });
    let own = || {
        headers
            .get(PLATFORM_KEY)?
            .to_str()
            .ok()
            .map(|key| key.trim().to_owned())
    };
    let Some(credential) = bearer.or_else(own).filter(|text| !text.is_empty()) else {
        return;
    };
    let key = HeaderValue::from_str(&credential);
    let token = HeaderValue::from_str(&format!("Bearer {credential}"));
    if let (Ok(mut key), Ok(mut token)) = (key, token) {
        key.set_sensitive(true);
        token.set_sensitive(true);
        headers.insert(KEY, key);
        headers.insert(AUTHORIZATION, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread_of(shown: &[(&'static str, &str)]) -> (Option<String>, Option<String>) {
        let mut request = Request::new(Body::empty());
        for (name, value) in shown {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a value"));
        }
        spread(&mut request);
        let text = |name| {
            let value = request.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        (text(KEY), text(AUTHORIZATION))
    }

    #[test]
    fn one_credential_is_found_wherever_it_is_shown() {
        let both = (Some("abc".to_owned()), Some("Bearer abc".to_owned()));
        assert_eq!(spread_of(&[("authorization", "Bearer abc")]), both);
        assert_eq!(spread_of(&[("x-api-key", "abc")]), both);
        assert_eq!(spread_of(&[]), (None, None));
        let basic = (None, Some("Basic abc".to_owned()));
        assert_eq!(spread_of(&[("authorization", "Basic abc")]), basic);
    }

    #[test]
    fn who_shows_a_key_beside_a_token_means_both() {
        let shown = [("apikey", "key"), ("authorization", "Bearer token")];
        let both = (Some("key".to_owned()), Some("Bearer token".to_owned()));
        assert_eq!(spread_of(&shown), both);
    }
}
