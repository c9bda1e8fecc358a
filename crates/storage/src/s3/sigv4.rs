//! AWS Signature Version 4: what a request says of its signer, and whether it
//! holds.
//!
//! [`Claim::parse`] reads the three forms (header, query, form) into one type
//! and refuses what is badly put together; [`Claim::check_time`] holds it
//! against the clock; [`Claim::verify`] against a secret. The bytes of the body
//! come later: [`Payload`] says how they are proven.
//!
//! Two things are stricter than they must be for honest clients. Every header
//! beginning with `x-amz-` has to be signed. And a request by header says how
//! its body is proven, so that nobody swaps bodies under a signature.

mod canonical;
#[cfg(test)]
pub(crate) mod tests;

use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;

use super::encode;
use super::error::{Result, S3Error};
pub(crate) use canonical::Target;

/// How far a client's clock may be off, and how long a signature by header can
/// be used again: what AWS allows.
const SKEW: SignedDuration = SignedDuration::from_mins(15);
/// The longest life of a presigned request: seven days, as at AWS.
const EXPIRES_MAX: i64 = 7 * 24 * 60 * 60;
/// Signed headers are named one by one; no client has so many.
const SIGNED_HEADERS_MAX: usize = 64;
/// What is looked up in the database is no longer than this.
const ACCESS_KEY_MAX: usize = 128;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How the bytes of the body are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Not at all, as with most presigned requests.
    Unsigned,
    /// By this SHA-256 of all of them.
    Hash([u8; 32]),
    /// Piece by piece, as `aws-chunked`.
    Chunked {
        /// Each piece carries a signature.
        signed: bool,
        /// Fields follow the last piece.
        trailer: bool,
    },
}

impl Payload {
    fn parse(text: &str) -> Result<Self> {
        let chunked = |signed, trailer| Ok(Self::Chunked { signed, trailer });
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => chunked(true, false),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => chunked(true, true),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => chunked(false, true),
            hash => match encode::unhex(hash) {
                Some(hash) => Ok(Self::Hash(hash)),
                None => Err(S3Error::argument(
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING value that this \
                     server knows, or a SHA-256 in lower-case hexadecimal",
                )),
            },
        }
    }
}

/// Where the signature stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In `Authorization`.
    Header,
    /// In the query, good for so many seconds.
    Query(i64),
    /// In a form, over this policy (base64 as sent).
    Post(String),
}

/// What a request says of its signer.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) access_key: String,
    pub(crate) form: Form,
    pub(crate) payload: Payload,
    /// A user's token, for whom the request is made.
    pub(crate) session_token: Option<String>,
    pub(crate) region: String,
    /// `20261121`, from the scope.
    day: String,
    /// `20261121T222500Z`.
    date: String,
    signed_at: Timestamp,
    /// Lower case, sorted, each once.
    signed_headers: Vec<String>,
    /// The payload's text, as it went into the signature.
    payload_text: String,
    signature: [u8; 32],
}

impl Claim {
    /// Reads it from the `Authorization` header or the query; none if there is
    /// none in either.
    pub(crate) fn parse(parts: &Parts, query: &[(String, String)]) -> Result<Option<Self>> {
        let authorization = parts.headers.get(http::header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let signed = authorization
            .and_then(|value| value.strip_prefix(ALGORITHM))
            .and_then(|rest| rest.strip_prefix([' ', '\t']));
        if let Some(fields) = signed {
            return Self::by_header(parts, fields).map(Some);
        }
        if query.iter().any(|(name, _)| name == "X-Amz-Credential") {
            return Self::by_query(parts, query).map(Some);
        }
        Ok(None)
    }

    fn by_header(parts: &Parts, fields: &str) -> Result<Self> {
        let header = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let field = |wanted: &str| {
            let mut found = fields.split(',').filter_map(|field| {
                let (name, value) = field.split_once('=')?;
                (name.trim() == wanted).then(|| value.trim())
            });
            found.next()
        };
        let payload = header("x-amz-content-sha256").ok_or_else(|| {
            S3Error::invalid("Missing required header for this request: x-amz-content-sha256")
        })?;
        let said = Said {
            credential: field("Credential"),
            signed_headers: field("SignedHeaders"),
            signature: field("Signature"),
            date: header("x-amz-date"),
        };
        let token = header("x-amz-security-token").map(str::to_owned);
        let claim = said.claim(Form::Header, payload, token)?;
        claim.covers(parts)?;
        Ok(claim)
    }

    fn by_query(parts: &Parts, query: &[(String, String)]) -> Result<Self> {
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in query.iter().filter(|(name, _)| name.starts_with("X-Amz-")) {
            if seen.contains(&name.as_str()) {
                return Err(S3Error::malformed_signature("A parameter is there twice"));
            }
            seen.push(name);
        }
        let get = |wanted: &str| {
            let found = query.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        if get("X-Amz-Algorithm") != Some(ALGORITHM) {
            return Err(S3Error::malformed_signature("Unsupported algorithm"));
        }
        let expires = get("X-Amz-Expires").and_then(|text| text.parse().ok());
        let expires = expires.filter(|seconds| (0..=EXPIRES_MAX).contains(seconds));
        let expires = expires.ok_or_else(|| {
            S3Error::malformed_signature("X-Amz-Expires must be between 0 and 604800 seconds")
        })?;
        let header = parts.headers.get("x-amz-content-sha256");
        let header = header.and_then(|value| value.to_str().ok());
        let payload = get("X-Amz-Content-Sha256").or(header);
        let payload = payload.unwrap_or("UNSIGNED-PAYLOAD");
        let said = Said {
            credential: get("X-Amz-Credential"),
            signed_headers: get("X-Amz-SignedHeaders"),
            signature: get("X-Amz-Signature"),
            date: get("X-Amz-Date"),
        };
        let token = get("X-Amz-Security-Token").map(str::to_owned);
        let claim = said.claim(Form::Query(expires), payload, token)?;
        claim.covers(parts)?;
        Ok(claim)
    }

    /// Reads it from the fields of a form, whose names are lower case.
    pub(crate) fn by_form(fields: &[(String, String)]) -> Result<Self> {
        let get = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        if get("x-amz-algorithm").is_some_and(|name| name != ALGORITHM) {
            return Err(S3Error::malformed_signature("Unsupported algorithm"));
        }
        let policy = get("policy");
        let policy = policy.ok_or_else(|| S3Error::malformed_signature("Missing policy"))?;
        let said = Said {
            credential: get("x-amz-credential"),
            signed_headers: Some("host"),
            signature: get("x-amz-signature"),
            date: get("x-amz-date"),
        };
        let token = get("x-amz-security-token").map(str::to_owned);
        said.claim(Form::Post(policy.to_owned()), "UNSIGNED-PAYLOAD", token)
    }

    /// What changes a request's meaning must be part of what was signed.
    fn covers(&self, parts: &Parts) -> Result<()> {
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        if !is_signed("host") {
            return Err(S3Error::malformed_signature("The host must be signed"));
        }
        let by_query = matches!(self.form, Form::Query(_));
        for name in parts.headers.keys().map(http::HeaderName::as_str) {
            // Browsers' libraries send these beside presigned addresses; the
            // first says what the payload text, which is signed, says too.
            let beside = (by_query && name == "x-amz-content-sha256") || name == "x-amz-user-agent";
            if name.starts_with("x-amz-") && !beside && !is_signed(name) {
                return Err(S3Error::denied(
                    "There were headers present in the request which were not signed",
                ));
            }
        }
        Ok(())
    }

    /// Whether it was signed now, or is still good.
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<()> {
        let skewed = || {
            S3Error::new(
                http::StatusCode::FORBIDDEN,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
        };
        let age = now.duration_since(self.signed_at);
        match self.form {
            _ if age < -SKEW => Err(skewed()),
            Form::Header if age > SKEW => Err(skewed()),
            Form::Query(expires) if age > SignedDuration::from_secs(expires) => {
                Err(S3Error::expired())
            }
            // A policy says itself how long it is good.
            Form::Header | Form::Query(_) | Form::Post(_) => Ok(()),
        }
    }

    /// Whether the holder of this secret signed this request; what it signs
    /// the pieces of a body with.
    pub(crate) fn verify(&self, secret: &str, target: &Target<'_>) -> Result<ChunkKey> {
        let key = self.signing_key(secret);
        let holds = match &self.form {
            Form::Post(policy) => hmac::verify(&key, policy.as_bytes(), &self.signature).is_ok(),
            Form::Header | Form::Query(_) => {
                let requests =
                    canonical::requests(target, &self.signed_headers, &self.payload_text);
                requests.iter().any(|request| {
                    let text = self.to_sign(request);
                    hmac::verify(&key, text.as_bytes(), &self.signature).is_ok()
                })
            }
        };
        if !holds {
            return Err(S3Error::mismatch());
        }
        Ok(ChunkKey {
            key,
            date: self.date.clone(),
            scope: self.scope(),
            previous: encode::hex(&self.signature),
        })
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.day, self.region)
    }

    fn to_sign(&self, request: &str) -> String {
        let hash = encode::hex(canonical::sha256(request.as_bytes()).as_ref());
        format!("{ALGORITHM}\n{}\n{}\n{hash}", self.date, self.scope())
    }

    fn signing_key(&self, secret: &str) -> hmac::Key {
        let step = |key: &[u8], text: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::sign(&key, text.as_bytes())
        };
        let day = step(format!("AWS4{secret}").as_bytes(), &self.day);
        let region = step(day.as_ref(), &self.region);
        let service = step(region.as_ref(), "s3");
        let request = step(service.as_ref(), "aws4_request");
        hmac::Key::new(hmac::HMAC_SHA256, request.as_ref())
    }
}

/// The texts a claim is made of, wherever they stood.
struct Said<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
    date: Option<&'a str>,
}

impl Said<'_> {
    fn claim(self, form: Form, payload: &str, token: Option<String>) -> Result<Claim> {
        let (Some(credential), Some(headers), Some(signature), Some(date)) = (
            self.credential,
            self.signed_headers,
            self.signature,
            self.date,
        ) else {
            return Err(S3Error::malformed_signature("Invalid signature format"));
        };
        let wrong = || S3Error::malformed_signature("Invalid credentials");
        let fields: Vec<&str> = credential.split('/').collect();
        let [access_key, day, region, service, "aws4_request"] = fields.as_slice() else {
            return Err(wrong());
        };
        if access_key.is_empty() || access_key.len() > ACCESS_KEY_MAX {
            return Err(wrong());
        }
        if *service != "s3" {
            return Err(S3Error::denied("Invalid Service"));
        }
        let signed_at = instant(date)
            .ok_or_else(|| S3Error::malformed_signature("The date is not of the basic format"))?;
        if date.get(..8) != Some(*day) {
            return Err(S3Error::malformed_signature(
                "The date of the credential is not that of the request",
            ));
        }
        let signature = encode::unhex(signature)
            .ok_or_else(|| S3Error::malformed_signature("Invalid signature format"))?;
        Ok(Claim {
            access_key: (*access_key).to_owned(),
            payload: Payload::parse(payload)?,
            session_token: token,
            region: (*region).to_owned(),
            day: (*day).to_owned(),
            date: date.to_owned(),
            signed_at,
            signed_headers: names(headers)?,
            payload_text: payload.to_owned(),
            signature,
            form,
        })
    }
}

fn names(headers: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = headers.split(';').map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > SIGNED_HEADERS_MAX || names.iter().any(String::is_empty) {
        return Err(S3Error::malformed_signature("Invalid signed headers"));
    }
    Ok(names)
}

/// The moment behind `20261121T222500Z`.
fn instant(text: &str) -> Option<Timestamp> {
    let digits = |range| {
        text.get(range)
            .filter(|part: &&str| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (day, time) = (digits(0..8)?, digits(9..15)?);
    if text.len() != 16 || text.get(8..9) != Some("T") || !text.ends_with('Z') {
        return None;
    }
    let (year, month, date) = (day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let text = format!("{year}-{month}-{date}T{hour}:{minute}:{second}Z");
    text.parse().ok()
}

/// Checks the signatures of a body's pieces, each of which covers the one
/// before it, so none can be left out, repeated or moved.
#[derive(Clone)]
pub(crate) struct ChunkKey {
    key: hmac::Key,
    date: String,
    scope: String,
    /// Hexadecimal; of the request at first.
    previous: String,
}

impl ChunkKey {
    /// The next piece, by its bytes' hash.
    pub(crate) fn piece(&mut self, hash: &[u8], signature: &str) -> Result<()> {
        let empty = encode::hex(canonical::sha256(b"").as_ref());
        let middle = format!("{empty}\n{}", encode::hex(hash));
        self.next("AWS4-HMAC-SHA256-PAYLOAD", &middle, signature)
    }

    /// What follows the last piece, as `name:value` lines.
    pub(crate) fn trailer(&mut self, lines: &str, signature: &str) -> Result<()> {
        let hash = encode::hex(canonical::sha256(lines.as_bytes()).as_ref());
        self.next("AWS4-HMAC-SHA256-TRAILER", &hash, signature)
    }

    fn next(&mut self, kind: &str, hashes: &str, signature: &str) -> Result<()> {
        let said: [u8; 32] = encode::unhex(signature)
            .ok_or_else(|| S3Error::malformed_signature("Invalid chunk signature"))?;
        let text = format!(
            "{kind}\n{}\n{}\n{}\n{hashes}",
            self.date, self.scope, self.previous
        );
        hmac::verify(&self.key, text.as_bytes(), &said).map_err(|_| S3Error::mismatch())?;
        self.previous.clear();
        self.previous.push_str(signature);
        Ok(())
    }
}
