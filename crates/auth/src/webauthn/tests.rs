//! An authenticator in software, honest and otherwise, against the checks.

use ciborium::Value as Cbor;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};

use super::*;

/// ring makes no RSA keys. This one is in the repository, so it is worth nothing.
const RSA_KEY: &[u8] = include_bytes!("../../tests/data/rsa2048.key.der");
const ORIGIN: &str = "https://login.example.com";

fn party() -> RelyingParty {
    RelyingParty {
        id: "example.com".to_owned(),
        name: "Example".to_owned(),
        origins: vec![ORIGIN.to_owned()],
    }
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// An authenticator that says what it is told to.
struct Device {
    pair: Pair,
    id: Vec<u8>,
    rp_id: &'static str,
    origin: &'static str,
    cross_origin: bool,
    flags: u8,
    count: u32,
    format: &'static str,
    extensions: Vec<u8>,
}

impl Device {
    fn new(pair: Pair) -> Self {
        Self {
            pair,
            id: vec![7; 32],
            rp_id: "example.com",
            origin: ORIGIN,
            cross_origin: false,
            flags: 0b0000_0101,
            count: 0,
            format: "none",
            extensions: Vec::new(),
        }
    }

    fn es256() -> Self {
        let rng = SystemRandom::new();
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &rng)
            .expect("a key");
        Self::new(Pair::Es256(pair))
    }

    fn eddsa() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::new(Pair::EdDsa(
            Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"),
        ))
    }

    fn rs256() -> Self {
        Self::new(Pair::Rs256(Box::new(
            RsaKeyPair::from_der(RSA_KEY).expect("a key"),
        )))
    }

    fn algorithm(&self) -> i64 {
        match self.pair {
            Pair::Es256(_) => -7,
            Pair::EdDsa(_) => -8,
            Pair::Rs256(_) => -257,
        }
    }

    fn key(&self) -> Vec<u8> {
        let entry = |label: i64, value: Cbor| (Cbor::from(label), value);
        let bytes = |bytes: &[u8]| Cbor::Bytes(bytes.to_vec());
        let mut map = vec![entry(3, self.algorithm().into())];
        match &self.pair {
            Pair::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                map.extend([entry(1, 2.into()), entry(-1, 1.into())]);
                map.extend([entry(-2, bytes(x)), entry(-3, bytes(y))]);
            }
            Pair::EdDsa(pair) => {
                map.extend([entry(1, 1.into()), entry(-1, 6.into())]);
                map.push(entry(-2, bytes(pair.public_key().as_ref())));
            }
            Pair::Rs256(pair) => {
                let public =
                    ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                map.extend([entry(1, 3.into()), entry(-1, bytes(&public.n))]);
                map.push(entry(-2, bytes(&public.e)));
            }
        }
        encoded(&Cbor::Map(map))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&rng, message).expect("signed").as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)
                    .expect("signed");
                signature
            }
        }
    }

    fn data(&self, made: bool) -> Vec<u8> {
        let mut data = Sha256::digest(self.rp_id).to_vec();
        let mut flags = self.flags | if made { 1 << 6 } else { 0 };
        flags |= if self.extensions.is_empty() {
            0
        } else {
            1 << 7
        };
        data.push(flags);
        data.extend(self.count.to_be_bytes());
        if made {
            data.extend([9; 16]);
            data.extend(u16::try_from(self.id.len()).expect("short").to_be_bytes());
            data.extend(&self.id);
            data.extend(self.key());
        }
        data.extend(&self.extensions);
        data
    }

    fn client(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let client = json!({
            "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin,
        });
        client.to_string().into_bytes()
    }

    fn create(&self, options: &Value) -> Registration {
        let client = self.client("webauthn.create", &options["challenge"]);
        let data = self.data(true);
        let statement = if self.format == "none" {
            Vec::new()
        } else {
            let mut signed = data.clone();
            signed.extend_from_slice(&Sha256::digest(&client));
            vec![
                (Cbor::from("alg"), Cbor::from(self.algorithm())),
                (Cbor::from("sig"), Cbor::Bytes(self.sign(&signed))),
            ]
        };
        let object = Cbor::Map(vec![
            (Cbor::from("fmt"), Cbor::from(self.format)),
            (Cbor::from("attStmt"), Cbor::Map(statement)),
            (Cbor::from("authData"), Cbor::Bytes(data)),
        ]);
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        let answer = json!({
            "id": id, "rawId": id, "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "attestationObject": URL_SAFE_NO_PAD.encode(encoded(&object)),
                "transports": ["usb", "<script>"],
            },
        });
        serde_json::from_value(answer).expect("an answer")
    }

    fn get(&self, options: &Value, handle: &str) -> Value {
        let client = self.client("webauthn.get", &options["challenge"]);
        let data = self.data(false);
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(&client));
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(self.sign(&signed)),
                "userHandle": URL_SAFE_NO_PAD.encode(handle),
            },
        })
    }
}

fn encoded(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("CBOR");
    bytes
}

fn rng() -> Rng {
    Rng::system()
}

fn owner() -> Owner<'static> {
    Owner {
        id: "user-1".to_owned(),
        name: "a@b.co",
        display_name: "A",
    }
}

fn registered(device: &Device) -> Result<Credential> {
    let (options, ceremony) = party().creation(&rng(), &owner(), &[], Discoverable::Any);
    party().register(&ceremony, &device.create(&options))
}

fn shown(device: &Device, known: &Credential) -> Result<Seen> {
    let (options, ceremony) = party().request(&rng(), Some(&owner()), std::slice::from_ref(known));
    let answer = serde_json::from_value(device.get(&options, "user-1")).expect("an answer");
    party().authenticate(&ceremony, &answer, known)
}

#[test]
fn every_kind_of_key_registers_and_proves_itself() {
    for mut device in [Device::es256(), Device::eddsa(), Device::rs256()] {
        let known = registered(&device).expect("registered");
        assert_eq!(known.id.0, device.id);
        assert_eq!(known.transport, ["usb"]);
        assert_eq!(known.attestation_type, "none");
        assert_eq!(known.aaguid(), Some(uuid::Uuid::from_bytes([9; 16])));
        device.count = 4;
        let seen = shown(&device, &known).expect("shown");
        assert_eq!((seen.sign_count, seen.backed_up), (4, false));
        // The form that is stored says the same.
        let stored: Credential = serde_json::from_value(json!(known)).expect("stored");
        assert_eq!(shown(&device, &stored), Ok(seen));
    }
}

#[test]
fn what_a_key_says_about_itself_must_be_true() {
    let mut device = Device::es256();
    device.format = "packed";
    let known = registered(&device).expect("registered");
    assert_eq!(known.attestation_type, "basic_surrogate");
    let (options, ceremony) = party().creation(&rng(), &owner(), &[], Discoverable::Any);
    let (other, _) = party().creation(&rng(), &owner(), &[], Discoverable::Any);
    let mut answer = device.create(&options);
    answer.response.attestation_object = device.create(&other).response.attestation_object;
    assert_eq!(
        party().register(&ceremony, &answer).map(|_| ()),
        Err(Refused("the signature is wrong"))
    );
    device.format = "tpm";
    assert_eq!(
        registered(&device).map(|_| ()),
        Err(Refused("an attestation was not asked for"))
    );
}

#[test]
fn another_page_site_or_frame_is_refused() {
    let good = Device::es256();
    let known = registered(&good).expect("registered");
    let with = |change: &dyn Fn(&mut Device)| {
        let mut device = Device::es256();
        change(&mut device);
        let made = registered(&device).map(|_| ());
        // The same lie, told with the key that is known.
        let mut device = Device {
            pair: device.pair,
            ..device
        };
        device.id.clone_from(&good.id);
        let mut known = known.clone();
        known.public_key = Blob(device.key());
        (made, shown(&device, &known).map(|_| ()))
    };
    let both = |reason| (Err(Refused(reason)), Err(Refused(reason)));
    assert_eq!(with(&|_| ()), (Ok(()), Ok(())));
    assert_eq!(
        with(&|device| device.origin = "https://example.com.evil.net"),
        both("it comes from another page")
    );
    assert_eq!(
        with(&|device| device.rp_id = "evil.net"),
        both("it is for another site")
    );
    assert_eq!(
        with(&|device| device.cross_origin = true),
        both("it comes from within another page")
    );
    assert_eq!(with(&|device| device.flags = 0), both("nobody was there"));
    assert_eq!(
        with(&|device| device.flags = 1 | 1 << 4),
        both("what cannot be copied was")
    );
}

#[test]
fn user_verification_is_checked_where_it_is_required() {
    let mut device = Device::es256();
    device.flags = 1;
    let known = registered(&device).expect("preferred is no must");
    let (options, mut ceremony) = party().request(&rng(), None, &[]);
    let answer = serde_json::from_value(device.get(&options, "")).expect("an answer");
    assert!(party().authenticate(&ceremony, &answer, &known).is_ok());
    ceremony.user_verification = "required".to_owned();
    assert_eq!(
        party().authenticate(&ceremony, &answer, &known),
        Err(Refused("nobody knows who was there"))
    );
}

#[test]
fn the_challenge_the_question_and_the_key_must_fit() {
    let device = Device::es256();
    let known = registered(&device).expect("registered");
    let allowed = std::slice::from_ref(&known);
    let (options, ceremony) = party().request(&rng(), Some(&owner()), allowed);
    let (_, later) = party().request(&rng(), Some(&owner()), allowed);
    let read = |value: &Value| serde_json::from_value::<Assertion>(value.clone()).expect("read");
    let good = device.get(&options, "user-1");
    assert!(
        party()
            .authenticate(&ceremony, &read(&good), &known)
            .is_ok()
    );
    assert_eq!(
        party().authenticate(&later, &read(&good), &known),
        Err(Refused("it answers another challenge"))
    );
    let mut blank = later.clone();
    blank.challenge = String::new();
    let asked_nothing = device.get(&json!({"challenge": ""}), "user-1");
    assert_eq!(
        party().authenticate(&blank, &read(&asked_nothing), &known),
        Err(Refused("it answers another challenge"))
    );
    // A making is no proof of having.
    let mut made = good.clone();
    let client = device.client("webauthn.create", &options["challenge"]);
    made["response"]["clientDataJSON"] = URL_SAFE_NO_PAD.encode(client).into();
    assert_eq!(
        party().authenticate(&ceremony, &read(&made), &known),
        Err(Refused("it answers another question"))
    );
    let mut forged = Device::es256();
    forged.id.clone_from(&device.id);
    assert_eq!(
        party().authenticate(&ceremony, &read(&forged.get(&options, "user-1")), &known),
        Err(Refused("the signature is wrong"))
    );
    let stranger = device.get(&options, "user-2");
    assert_eq!(
        party().authenticate(&ceremony, &read(&stranger), &known),
        Err(Refused("it is another user's"))
    );
    let mut other = Device::es256();
    other.id = vec![8; 32];
    let not_asked = registered(&other).expect("registered");
    assert_eq!(
        party().authenticate(&ceremony, &read(&other.get(&options, "user-1")), &not_asked),
        Err(Refused("the credential was not asked for"))
    );
    assert_eq!(
        party().authenticate(&ceremony, &read(&other.get(&options, "user-1")), &known),
        Err(Refused("it is another credential"))
    );
}

#[test]
fn a_counter_that_does_not_rise_is_a_copys() {
    let mut device = Device::es256();
    let mut known = registered(&device).expect("registered");
    assert!(shown(&device, &known).is_ok(), "many never count");
    known.authenticator.sign_count = 5;
    let copy = Err(Refused("the counter went back: there is a copy"));
    for (count, expected) in [(0, &copy), (4, &copy), (5, &copy)] {
        device.count = count;
        assert_eq!(&shown(&device, &known), expected, "{count}");
    }
    device.count = 6;
    assert!(shown(&device, &known).is_ok());
    device.flags = 0b0000_1101;
    assert_eq!(
        shown(&device, &known),
        Err(Refused("a credential cannot become a copyable one"))
    );
}

#[test]
fn extensions_follow_the_key_and_nothing_else_does() {
    let mut device = Device::es256();
    device.extensions = encoded(&Cbor::Map(vec![(Cbor::from("credProtect"), 2.into())]));
    let known = registered(&device).expect("registered");
    assert_eq!(known.public_key.0, device.key());
    assert!(shown(&device, &known).is_ok());
    let data = device.data(true);
    for cut in 0..data.len() {
        assert!(AuthenticatorData::read(&data[..cut]).is_err(), "{cut}");
    }
    let mut longer = data.clone();
    longer.push(0);
    assert!(AuthenticatorData::read(&longer).is_err());
    device.extensions = encoded(&Cbor::from(1));
    assert!(registered(&device).is_err());
}

#[test]
fn garbage_is_refused_and_never_panics() {
    let (options, ceremony) = party().creation(&rng(), &owner(), &[], Discoverable::Any);
    let device = Device::es256();
    let good = device.create(&options);
    assert!(party().register(&ceremony, &good).is_ok());
    // Nesting without end, lengths without content, and what is no base64.
    let bombs = [vec![0x81; 100_000], vec![0xbb; 64], vec![0x5b; 64], vec![]];
    for bomb in bombs {
        let mut answer = good.clone();
        answer.response.attestation_object = URL_SAFE_NO_PAD.encode(&bomb);
        assert!(party().register(&ceremony, &answer).is_err());
        assert!(PublicKey::read(&bomb).is_err());
    }
    let mut answer = good.clone();
    answer.response.client_data_json = "???".to_owned();
    assert!(party().register(&ceremony, &answer).is_err());
    let mut answer = good;
    answer.raw_id = URL_SAFE_NO_PAD.encode([1; 32]);
    assert_eq!(
        party().register(&ceremony, &answer).map(|_| ()),
        Err(Refused("the credential has two ids"))
    );
    let mut long = Device::es256();
    long.id = vec![1; CREDENTIAL_ID_BYTES_MAX + 1];
    assert!(registered(&long).is_err());
}

#[test]
fn options_say_what_browsers_need() {
    let known = registered(&Device::es256()).expect("registered");
    let allowed = std::slice::from_ref(&known);
    let (options, _) = party().creation(&rng(), &owner(), allowed, Discoverable::Required);
    assert_eq!(
        options["rp"],
        json!({"name": "Example", "id": "example.com"})
    );
    assert_eq!(options["user"]["id"], URL_SAFE_NO_PAD.encode("user-1"));
    assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(
        options["pubKeyCredParams"][0],
        json!({"type": "public-key", "alg": -7})
    );
    assert_eq!(
        options["excludeCredentials"][0]["transports"],
        json!(["usb"])
    );
    let (options, _) = party().request(&rng(), None, &[]);
    assert_eq!(options.get("allowCredentials"), None);
    assert_eq!(options["rpId"], "example.com");
    assert_eq!(origin("https://Example.com:443/x"), "https://example.com");
    assert_eq!(origin("android:apk-key-hash:x"), "android:apk-key-hash:x");
}
