//! `WebAuthn` from the relying party's side (Level 3, sections 7.1 and 7.2):
//! what an authenticator is asked, and whether its answer is one.
//!
//! Start with [`RelyingParty`]: `creation` and `request` make the options for a
//! browser and the [`Ceremony`] that is kept meanwhile; `register` and
//! `authenticate` check what comes back. `message.rs` reads what browsers and
//! authenticators send, `key.rs` has public keys. Ceremonies and credentials
//! are written as GoTrue writes them, so that rows move both ways.
//!
//! Attestation is not asked for: statements of format `none`, and those that
//! a key signs about itself (`packed`), are accepted. Everything here is pure;
//! that a challenge is used once is its caller's to see to.

mod key;
mod message;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose::URL_SAFE_NO_PAD};
use kernel::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::codes::equal;
use crate::config::Config;
use crate::request::nullable;
use key::PublicKey;
pub(crate) use message::{Assertion, Registration};
use message::{Attestation, AuthenticatorData, ClientData};

/// Milliseconds that a browser waits for its user.
const TIMEOUT: u32 = 300_000;
/// As many bytes as GoTrue's challenges have; sixteen would do.
const CHALLENGE_BYTES: usize = 32;
/// The longest id of a credential (7.1, step 25).
const CREDENTIAL_ID_BYTES_MAX: usize = 1023;
/// What Go writes for a moment that never was: a ceremony's row has the limit.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Why an answer does not count; for the log, never for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(&'static str);

type Result<T> = std::result::Result<T, Refused>;

/// Bytes in the base64 that Go gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let bytes = STANDARD.decode(text);
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

/// Bytes in the base64 that browsers send; whether padded is up to them.
fn from_url(text: &str) -> Result<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT
        .decode(text)
        .map_err(|_| Refused("it is no base64url"))
}

/// What is remembered between question and answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ceremony {
    challenge: String,
    #[serde(rename = "rpId", default)]
    rp_id: String,
    #[serde(default)]
    user_id: Blob,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    allowed_credentials: Vec<Blob>,
    #[serde(default)]
    expires: String,
    #[serde(rename = "userVerification", default)]
    user_verification: String,
}

/// A credential as `auth.mfa_factors.web_authn_credential` holds it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Credential {
    pub(crate) id: Blob,
    #[serde(rename = "publicKey")]
    pub(crate) public_key: Blob,
    #[serde(rename = "attestationType")]
    pub(crate) attestation_type: String,
    #[serde(rename = "attestationFormat")]
    pub(crate) attestation_format: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) transport: Vec<String>,
    pub(crate) flags: Flags,
    pub(crate) authenticator: Authenticator,
}

/// What an authenticator said of itself when the credential was made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "they are the standard's")]
pub(crate) struct Flags {
    pub(crate) user_present: bool,
    pub(crate) user_verified: bool,
    pub(crate) backup_eligible: bool,
    pub(crate) backup_state: bool,
}

/// The authenticator itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Authenticator {
    #[serde(rename = "AAGUID")]
    pub(crate) aaguid: Blob,
    #[serde(rename = "signCount")]
    pub(crate) sign_count: u32,
    #[serde(rename = "cloneWarning")]
    pub(crate) clone_warning: bool,
    pub(crate) attachment: String,
}

impl Credential {
    pub(crate) fn aaguid(&self) -> Option<uuid::Uuid> {
        uuid::Uuid::from_slice(&self.authenticator.aaguid.0).ok()
    }
}

/// Whose credential it is to be.
pub(crate) struct Owner<'a> {
    /// Comes back as the user handle.
    pub(crate) id: String,
    pub(crate) name: &'a str,
    pub(crate) display_name: &'a str,
}

/// Where a credential is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discoverable {
    /// On the authenticator, so that it can name the user: a passkey.
    Required,
    /// Wherever the authenticator likes: a second factor.
    Any,
}

/// What a right answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sign_count: u32,
    pub(crate) backed_up: bool,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct RelyingParty {
    id: String,
    name: String,
    origins: Vec<String>,
}

impl RelyingParty {
    /// The operator's settings; the application's address where they say
    /// nothing. Never what a request says.
    pub(crate) fn of(config: &Config) -> Self {
        let settings = &config.passkeys;
        let site = url::Url::parse(&config.site_url).ok();
        let host = site.as_ref().and_then(url::Url::host_str);
        let or = |text: &str, other: Option<&str>| match text {
            "" => other.unwrap_or_default().to_owned(),
            text => text.to_owned(),
        };
        let id = or(&settings.rp_id, host);
        let mut origins: Vec<String> = settings
            .rp_origins
            .iter()
            .map(|text| origin(text))
            .collect();
        if origins.is_empty() {
            origins.extend(
                site.as_ref()
                    .map(|site| site.origin().ascii_serialization()),
            );
        }
        Self {
            name: or(&settings.rp_display_name, Some(&id)),
            id,
            origins,
        }
    }

    fn ceremony(&self, rng: &Rng, owner: Option<&Owner<'_>>, allowed: &[Credential]) -> Ceremony {
        Ceremony {
            challenge: URL_SAFE_NO_PAD.encode(rng.bytes::<CHALLENGE_BYTES>()),
            rp_id: self.id.clone(),
            user_id: Blob(
                owner
                    .map(|owner| owner.id.clone().into_bytes())
                    .unwrap_or_default(),
            ),
            allowed_credentials: allowed.iter().map(|known| known.id.clone()).collect(),
            expires: NEVER.to_owned(),
            user_verification: "preferred".to_owned(),
        }
    }

    /// Asks for a new credential. Authenticators that hold one of the known
    /// ones stay out.
    pub(crate) fn creation(
        &self,
        rng: &Rng,
        owner: &Owner<'_>,
        known: &[Credential],
        kept: Discoverable,
    ) -> (Value, Ceremony) {
        let ceremony = self.ceremony(rng, Some(owner), &[]);
        let params = key::ALGORITHMS.map(|alg| json!({"type": "public-key", "alg": alg}));
        let resident = match kept {
            Discoverable::Required => json!({
                "requireResidentKey": true, "residentKey": "required", "userVerification": "preferred",
            }),
            Discoverable::Any => json!({
                "requireResidentKey": false, "userVerification": "preferred",
            }),
        };
        let mut options = json!({
            "rp": {"name": self.name, "id": self.id},
            "user": {
                "name": owner.name,
                "displayName": owner.display_name,
                "id": URL_SAFE_NO_PAD.encode(&owner.id),
            },
            "challenge": ceremony.challenge,
            "pubKeyCredParams": params,
            "timeout": TIMEOUT,
            "authenticatorSelection": resident,
            "attestation": "none",
        });
        if let (false, Some(options)) = (known.is_empty(), options.as_object_mut()) {
            options.insert("excludeCredentials".to_owned(), descriptors(known));
        }
        (options, ceremony)
    }

    /// Asks for proof of one of these credentials, or of any that the
    /// authenticator keeps for us.
    pub(crate) fn request(
        &self,
        rng: &Rng,
        owner: Option<&Owner<'_>>,
        allowed: &[Credential],
    ) -> (Value, Ceremony) {
        let ceremony = self.ceremony(rng, owner, allowed);
        let mut options = json!({
            "challenge": ceremony.challenge,
            "timeout": TIMEOUT,
            "rpId": self.id,
            "userVerification": ceremony.user_verification,
        });
        if let (false, Some(options)) = (allowed.is_empty(), options.as_object_mut()) {
            options.insert("allowCredentials".to_owned(), descriptors(allowed));
        }
        (options, ceremony)
    }

    /// A new credential (7.1).
    pub(crate) fn register(
        &self,
        ceremony: &Ceremony,
        answer: &Registration,
    ) -> Result<Credential> {
        let raw_client = from_url(&answer.response.client_data_json)?;
        self.check_client(ceremony, &raw_client, "webauthn.create")?;
        let raw = from_url(&answer.response.attestation_object)?;
        let attestation = Attestation::read(&raw)?;
        let data = AuthenticatorData::read(&attestation.data)?;
        self.check_data(ceremony, &data)?;
        let made = data
            .attested
            .as_ref()
            .ok_or(Refused("there is no credential"))?;
        if made.id.is_empty() || made.id.len() > CREDENTIAL_ID_BYTES_MAX {
            return Err(Refused("the credential's id is too short or too long"));
        }
        if from_url(&answer.raw_id)? != made.id || from_url(&answer.id)? != made.id {
            return Err(Refused("the credential has two ids"));
        }
        let key = PublicKey::read(made.key)?;
        if !key::ALGORITHMS.contains(&key.algorithm()) {
            return Err(Refused("the algorithm was not asked for"));
        }
        let mut signed = attestation.data.clone();
        signed.extend_from_slice(&Sha256::digest(&raw_client));
        let attestation_type = attestation.check(&key, &signed)?;
        Ok(Credential {
            id: Blob(made.id.to_vec()),
            public_key: Blob(made.key.to_vec()),
            attestation_type: attestation_type.to_owned(),
            attestation_format: attestation.format.clone(),
            transport: answer.transports(),
            flags: Flags {
                user_present: data.user_present(),
                user_verified: data.user_verified(),
                backup_eligible: data.backup_eligible(),
                backup_state: data.backed_up(),
            },
            authenticator: Authenticator {
                aaguid: Blob(made.aaguid.to_vec()),
                sign_count: data.sign_count,
                clone_warning: false,
                attachment: answer.attachment(),
            },
        })
    }

    /// Proof of a credential that we know (7.2).
    pub(crate) fn authenticate(
        &self,
        ceremony: &Ceremony,
        answer: &Assertion,
        known: &Credential,
    ) -> Result<Seen> {
        let id = answer.credential_id()?;
        if id != known.id.0 {
            return Err(Refused("it is another credential"));
        }
        let allowed = &ceremony.allowed_credentials;
        if !allowed.is_empty() && !allowed.iter().any(|one| one.0 == id) {
            return Err(Refused("the credential was not asked for"));
        }
        let handle = from_url(answer.response.user_handle.as_deref().unwrap_or_default())?;
        let owner = &ceremony.user_id.0;
        if !owner.is_empty() && !handle.is_empty() && *owner != handle {
            return Err(Refused("it is another user's"));
        }
        let raw_client = from_url(&answer.response.client_data_json)?;
        self.check_client(ceremony, &raw_client, "webauthn.get")?;
        let mut signed = from_url(&answer.response.authenticator_data)?;
        let data = AuthenticatorData::read(&signed)?;
        self.check_data(ceremony, &data)?;
        if data.backup_eligible() != known.flags.backup_eligible {
            return Err(Refused("a credential cannot become a copyable one"));
        }
        let seen = Seen {
            sign_count: data.sign_count,
            backed_up: data.backed_up(),
        };
        signed.extend_from_slice(&Sha256::digest(&raw_client));
        let signature = from_url(&answer.response.signature)?;
        PublicKey::read(&known.public_key.0)?.verify(&signed, &signature)?;
        // Only those that count at all can be caught.
        let before = known.authenticator.sign_count;
        if (before, seen.sign_count) != (0, 0) && seen.sign_count <= before {
            return Err(Refused("the counter went back: there is a copy"));
        }
        Ok(seen)
    }

    /// What the browser saw: our page, and our challenge.
    fn check_client(&self, ceremony: &Ceremony, raw: &[u8], kind: &str) -> Result<()> {
        let client = ClientData::read(raw)?;
        if client.kind != kind {
            return Err(Refused("it answers another question"));
        }
        if ceremony.challenge.is_empty() || !equal(&client.challenge, &ceremony.challenge) {
            return Err(Refused("it answers another challenge"));
        }
        if !self.origins.contains(&client.origin) {
            return Err(Refused("it comes from another page"));
        }
        if client.cross_origin {
            return Err(Refused("it comes from within another page"));
        }
        Ok(())
    }

    /// What the authenticator saw.
    fn check_data(&self, ceremony: &Ceremony, data: &AuthenticatorData<'_>) -> Result<()> {
        // A question of before the operator changed the name is void.
        if ceremony.rp_id != self.id || data.rp_id_hash != Sha256::digest(&self.id).as_slice() {
            return Err(Refused("it is for another site"));
        }
        if !data.user_present() {
            return Err(Refused("nobody was there"));
        }
        if ceremony.user_verification == "required" && !data.user_verified() {
            return Err(Refused("nobody knows who was there"));
        }
        if data.backed_up() && !data.backup_eligible() {
            return Err(Refused("what cannot be copied was"));
        }
        Ok(())
    }
}

/// An address as browsers name it: `https://Example.com/` is
/// `https://example.com`. Apps have names of other kinds.
fn origin(text: &str) -> String {
    let url = url::Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map_or_else(|| text.to_owned(), |url| url.origin().ascii_serialization())
}

fn descriptors(known: &[Credential]) -> Value {
    let descriptor = |credential: &Credential| {
        let mut one = json!({
            "type": "public-key",
            "id": URL_SAFE_NO_PAD.encode(&credential.id.0),
        });
        if let (false, Some(one)) = (credential.transport.is_empty(), one.as_object_mut()) {
            one.insert("transports".to_owned(), json!(credential.transport));
        }
        one
    };
    known.iter().map(descriptor).collect()
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that finds nothing has failed"
)]
mod tests;
