//! Tokens of signed addresses. Each is for one object and one direction: what
//! lets somebody read lets nobody write, and the other way round.

use serde_json::{Map, Value};

use crate::Storage;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Download,
    Upload,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }

    /// Tokens of older servers have no scope; those for uploads say whether
    /// they may replace.
    fn fits(self, claims: &Map<String, Value>) -> bool {
        match claims.get("scope") {
            Some(scope) => scope.as_str() == Some(self.name()),
            None => claims.contains_key("upsert") == (self == Self::Upload),
        }
    }
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Until when, in seconds.
    pub(crate) exp: i64,
    /// Whose the upload will be.
    pub(crate) owner: Option<String>,
    /// Whether the upload may replace.
    pub(crate) upsert: bool,
    /// How the image is to be shown.
    pub(crate) transformations: Option<String>,
    /// In which format.
    pub(crate) format: Option<String>,
}

/// The last second that a token's time may be, as JavaScript counts.
const SECONDS_MAX: i64 = 9_007_199_254_740;

impl Storage {
    /// A token to read an object. `more` is what it says beside that.
    pub(crate) fn sign_download(
        &self,
        path: &ObjectPath,
        seconds: u64,
        mut more: Map<String, Value>,
    ) -> Result<String> {
        more.insert("url".to_owned(), path.to_string().into());
        self.sign(Scope::Download, more, seconds)
    }

    /// A token to upload an object.
    pub(crate) fn sign_upload_token(
        &self,
        path: &ObjectPath,
        owner: Option<&str>,
        upsert: bool,
        seconds: u64,
    ) -> Result<String> {
        let mut claims = Map::new();
        if let Some(owner) = owner {
            claims.insert("owner".to_owned(), owner.into());
        }
        claims.insert("url".to_owned(), path.to_string().into());
        claims.insert("upsert".to_owned(), upsert.into());
        self.sign(Scope::Upload, claims, seconds)
    }

    fn sign(&self, scope: Scope, mut claims: Map<String, Value>, seconds: u64) -> Result<String> {
        let now = self.clock.now().as_second();
        let ends = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| now.checked_add(seconds));
        let ends = ends.filter(|ends| *ends <= SECONDS_MAX);
        let ends = ends.ok_or_else(|| StorageError::invalid_parameter("expiresIn"))?;
        claims.insert("scope".to_owned(), scope.name().into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), ends.into());
        let token = self.signer.sign(&Value::Object(claims));
        token.ok_or_else(|| StorageError::internal("nothing can sign addresses"))
    }

    /// What a token says, if it is for this object, this direction and now.
    pub(crate) fn verify(&self, token: &str, scope: Scope, path: &ObjectPath) -> Result<Claims> {
        let opened = self.signer.open(token).map_err(StorageError::invalid_jwt)?;
        let none = || StorageError::invalid_signature(None);
        let claims = opened.as_object().ok_or_else(none)?;
        let exp = claims.get("exp").and_then(Value::as_f64).ok_or_else(none)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` stops at the last number"
        )]
        let exp = exp as i64;
        if exp <= self.clock.now().as_second() {
            return Err(StorageError::invalid_jwt(
                "\"exp\" claim timestamp check failed",
            ));
        }
        if !scope.fits(claims) {
            let message = format!("Token is not scoped for {}", scope.name());
            return Err(StorageError::invalid_signature(Some(&message)));
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("url").is_none_or(|url| url != path.to_string()) {
            return Err(none());
        }
        Ok(Claims {
            exp,
            owner: text("owner"),
            upsert: claims.get("upsert").and_then(Value::as_bool) == Some(true),
            transformations: text("transformations"),
            format: text("format"),
        })
    }
}
