//! What browsers and authenticators send: JSON around base64url around JSON or
//! CBOR. Reading says what is there, not whether it is right.

use ciborium::Value as Cbor;
use serde::Deserialize;
use serde_json::Value;

use super::key::PublicKey;
use super::{Refused, Result, from_url};
use crate::request::nullable;

/// More transports than there are kinds are not stored.
const TRANSPORTS_MAX: usize = 8;
/// The longest name of a transport or an attachment that is stored.
const NAME_BYTES_MAX: usize = 32;

/// A browser's answer to `navigator.credentials.create()`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Registration {
    pub(super) id: String,
    #[serde(rename = "rawId")]
    pub(super) raw_id: String,
    #[serde(rename = "type")]
    kind: PublicKeyType,
    #[serde(
        rename = "authenticatorAttachment",
        default,
        deserialize_with = "nullable"
    )]
    attachment: String,
    pub(super) response: RegistrationResponse,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RegistrationResponse {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data_json: String,
    #[serde(rename = "attestationObject")]
    pub(super) attestation_object: String,
    #[serde(default, deserialize_with = "nullable")]
    transports: Vec<String>,
}

/// The only type there is.
#[derive(Clone, Copy, Debug, Deserialize)]
enum PublicKeyType {
    #[serde(rename = "public-key")]
    PublicKey,
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(plain)
}

impl Registration {
    /// How the authenticator can be reached, as far as that is a word.
    pub(super) fn transports(&self) -> Vec<String> {
        let PublicKeyType::PublicKey = self.kind;
        let known = self.response.transports.iter().filter(|name| is_name(name));
        known.take(TRANSPORTS_MAX).cloned().collect()
    }

    pub(super) fn attachment(&self) -> String {
        let found = Some(&self.attachment).filter(|name| is_name(name));
        found.cloned().unwrap_or_default()
    }
}

/// A browser's answer to `navigator.credentials.get()`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Assertion {
    id: String,
    #[serde(rename = "rawId")]
    raw_id: String,
    #[serde(rename = "type")]
    _kind: PublicKeyType,
    pub(super) response: AssertionResponse,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data_json: String,
    #[serde(rename = "authenticatorData")]
    pub(super) authenticator_data: String,
    pub(super) signature: String,
    #[serde(rename = "userHandle", default)]
    pub(super) user_handle: Option<String>,
}

impl Assertion {
    pub(crate) fn credential_id(&self) -> Result<Vec<u8>> {
        let id = from_url(&self.raw_id)?;
        if from_url(&self.id)? != id {
            return Err(Refused("the credential has two ids"));
        }
        Ok(id)
    }

    /// Whom the authenticator keeps the credential for.
    pub(crate) fn user_handle(&self) -> Result<String> {
        let handle = from_url(self.response.user_handle.as_deref().unwrap_or_default())?;
        String::from_utf8(handle).map_err(|_| Refused("the user handle is none of ours"))
    }
}

/// What the browser saw (5.8.1).
#[derive(Debug, Deserialize)]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) challenge: String,
    pub(super) origin: String,
    #[serde(rename = "crossOrigin", default, deserialize_with = "nullable")]
    pub(super) cross_origin: bool,
}

impl ClientData {
    pub(super) fn read(raw: &[u8]) -> Result<Self> {
        let mut value: Value =
            serde_json::from_slice(raw).map_err(|_| Refused("the client data is no JSON"))?;
        // Some clients pad it.
        if let Some(Value::String(challenge)) = value.get_mut("challenge") {
            challenge.truncate(challenge.trim_end_matches('=').len());
        }
        serde_json::from_value(value).map_err(|_| Refused("the client data lacks something"))
    }
}

/// One item; what follows it stays in `bytes`.
pub(super) fn cbor(bytes: &mut &[u8]) -> Result<Cbor> {
    ciborium::from_reader(bytes).map_err(|_| Refused("it is no CBOR"))
}

/// What the authenticator says (6.1).
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8],
    flags: u8,
    pub(super) sign_count: u32,
    pub(super) attested: Option<Attested<'a>>,
}

/// A credential that was made (6.5.1).
#[derive(Debug)]
pub(super) struct Attested<'a> {
    pub(super) aaguid: &'a [u8; 16],
    pub(super) id: &'a [u8],
    /// In COSE's form, as it came.
    pub(super) key: &'a [u8],
}

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        Self::split(bytes).ok_or(Refused("the authenticator data is not as it should be"))
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_at_checked(32)?;
        let (flags, rest) = rest.split_first()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut attested = None;
        if flags & ATTESTED != 0 {
            let (aaguid, after) = rest.split_first_chunk::<16>()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let (id, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            let mut end = after;
            cbor(&mut end).ok()?;
            let key = after.get(..after.len() - end.len())?;
            attested = Some(Attested { aaguid, id, key });
            rest = end;
        }
        if flags & EXTENSIONS != 0 {
            cbor(&mut rest).ok().filter(Cbor::is_map)?;
        }
        rest.is_empty().then_some(Self {
            rp_id_hash,
            flags: *flags,
            sign_count: u32::from_be_bytes(*count),
            attested,
        })
    }

    pub(super) fn user_present(&self) -> bool {
        self.flags & USER_PRESENT != 0
    }

    pub(super) fn user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    pub(super) fn backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    pub(super) fn backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}

/// What vouches for a new credential (6.5.4).
#[derive(Debug)]
pub(super) struct Attestation {
    pub(super) format: String,
    statement: Vec<(Cbor, Cbor)>,
    pub(super) data: Vec<u8>,
}

impl Attestation {
    pub(super) fn read(raw: &[u8]) -> Result<Self> {
        let mut rest = raw;
        let object = cbor(&mut rest)?;
        let malformed = || Refused("the attestation is not as it should be");
        let mut entries = object.into_map().map_err(|_| malformed())?;
        let mut take = |name: &str| {
            let at = entries
                .iter()
                .position(|(key, _)| key.as_text() == Some(name))?;
            Some(entries.swap_remove(at).1)
        };
        let format = take("fmt").and_then(|value| value.into_text().ok());
        let statement = take("attStmt").and_then(|value| value.into_map().ok());
        let data = take("authData").and_then(|value| value.into_bytes().ok());
        match (format, statement, data) {
            (Some(format), Some(statement), Some(data)) if rest.is_empty() => Ok(Self {
                format,
                statement,
                data,
            }),
            _ => Err(malformed()),
        }
    }

    /// Whether it says what it should; GoTrue's word for what that is worth.
    pub(super) fn check(&self, key: &PublicKey, signed: &[u8]) -> Result<&'static str> {
        let entry = |name: &str| {
            let mut found = self.statement.iter();
            let found = found.find(|(key, _)| key.as_text() == Some(name));
            found.map(|(_, value)| value)
        };
        match self.format.as_str() {
            "none" if self.statement.is_empty() => Ok("none"),
            "packed" if entry("x5c").is_none() => {
                let algorithm = entry("alg").and_then(Cbor::as_integer);
                if algorithm != Some(key.algorithm().into()) {
                    return Err(Refused("the statement is of another algorithm"));
                }
                let signature = entry("sig").and_then(Cbor::as_bytes);
                key.verify(signed, signature.map_or(&[], Vec::as_slice))?;
                Ok("basic_surrogate")
            }
            _ => Err(Refused("an attestation was not asked for")),
        }
    }
}
