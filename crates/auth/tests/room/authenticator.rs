//! An authenticator in software: one P-256 key, no attestation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) struct Authenticator {
    pair: EcdsaKeyPair,
    id: [u8; 32],
    pub(crate) handle: String,
    pub(crate) count: u32,
}

pub(crate) const ORIGIN: &str = "http://localhost:5173";

impl Authenticator {
    pub(crate) fn new() -> Self {
        let rng = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let mut id = [0; 32];
        rng.fill(&mut id).unwrap();
        Self {
            pair: EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &rng).unwrap(),
            id,
            handle: String::new(),
            count: 0,
        }
    }

    fn data(&self, made: bool) -> Vec<u8> {
        let mut data = digest(&SHA256, b"localhost").as_ref().to_vec();
        data.push(if made { 0x45 } else { 0x05 });
        data.extend(self.count.to_be_bytes());
        if made {
            data.extend([0; 16]);
            data.extend([0, 32]);
            data.extend(self.id);
            // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
            data.extend([0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
            let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
            data.extend(x);
            data.extend([0x22, 0x58, 0x20]);
            data.extend(y);
        }
        data
    }

    fn client(kind: &str, options: &Value) -> String {
        let client = json!({"type": kind, "challenge": options["challenge"], "origin": ORIGIN});
        client.to_string()
    }

    /// `navigator.credentials.create()`.
    pub(crate) fn create(&mut self, options: &Value) -> Value {
        options["user"]["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.handle);
        let data = self.data(true);
        // {"fmt": "none", "attStmt": {}, "authData": …}
        let mut object = b"\xA3\x63fmt\x64none\x67attStmt\xA0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let id = URL_SAFE_NO_PAD.encode(self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(Self::client("webauthn.create", options)),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
            },
        })
    }

    /// `navigator.credentials.get()`.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        self.count += 1;
        let client = Self::client("webauthn.get", options);
        let data = self.data(false);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, client.as_bytes()).as_ref());
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        let id = URL_SAFE_NO_PAD.encode(self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature),
                "userHandle": self.handle,
            },
        })
    }
}
