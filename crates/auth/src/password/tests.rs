//! Hashes that other programs made (named beside each) are checked; hostile
//! ones are refused before they cost anything.

use super::*;

const PASSWORD: &str = "correct horse ✓";

/// All of [`PASSWORD`], made by the programs named.
const FOREIGN: &[(&str, &str)] = &[
    (
        "python bcrypt",
        "$2b$05$QbSYmKKs1iUSw3GxuWUlNegkbf6cSUfmbegOWBnpkosQjX/ezuFnK",
    ),
    (
        "passlib, PHP's prefix",
        "$2y$05$YgsHLBkSA5KuSMik65Z.VOeXK8IPHefaVk7zq8lE6TudAGN5E3Foa",
    ),
    (
        "passlib, Go's prefix",
        "$2a$05$j6cQAXBOjqMIyLOsi6gJveoRh4SUvBu7VqxFdiYhIREGfDrHjiZ1C",
    ),
    (
        "argon2-cffi",
        "$argon2id$v=19$m=1024,t=2,p=2$9aM1hWS4XioqJtVGrWVAqw$57podtzWuxrs3hxvjQ4euZpcpftRkR47",
    ),
    (
        "argon2-cffi",
        "$argon2i$v=19$m=512,t=3,p=1$Qtm/7Uw+Fm8MIuLwzYItxw$soiQ/2PdmhiZul16MC5MmuHFslNZHyJlGbxDpIvYdq8",
    ),
    (
        "Django",
        "argon2$argon2id$v=19$m=102400,t=2,p=8$YWJjZFNBTFRhYmNk$yd3xDQMC7fvE5YJc8BVYTLpnGQaC79pW2vR2Gpaz8hk",
    ),
    (
        "passlib",
        "$scrypt$ln=10,r=8,p=1$bq11Tsk5R2htrZVy7l2rNQ$sId+R5Gu2PcLjeL20mUw1hNz760FQjw/bN6DHhzyj3o",
    ),
    (
        "Django",
        "scrypt$1024$abcdSALT$4$1$C2nHuCofOS60xNyYnf+wj+jyX09XQNU5PQgBaSimhypSFKAINtEO/wsv3xDCcrVw6i0Uavsb9ceTsqHqOkxfMQ==",
    ),
    (
        "Werkzeug",
        "scrypt:1024:8:1$eKG9O8hpgA6vXmSj$4621591a4378d26d627d8ff7e3b14b1e9b49b22658b1f5c7bc7a3d29ff9c11565118f8afb8a78d9b84bd18a250fce9e71d0a86e4ff143062a2f2186846f8d53a",
    ),
    (
        "passlib",
        "$pbkdf2-sha256$1500$FAKA0Nqbs1bKOSck5NxbSw$dzMXcjJeKuZ9qeGXc/813BgM7vYIPMzDir8QWHojaZM",
    ),
    (
        "passlib",
        "$pbkdf2-sha512$1500$2/s/ZwxhrPU.pxTi/J/z3g$SSF8/XPn2rvnSmrnbSHviltUY6ahGSl3i7EExWxLl.iJTlAC1PiqTz3SLX5LYAXZ8Rn4hUZzaXbC/NE4SEuLqw",
    ),
    (
        "passlib",
        "$pbkdf2$1500$NEYoRcjZG.Pcm/P.31uL0Q$1Qiz1TqcNSQ8jLF5liAgen37p4k",
    ),
    (
        "hashlib, in PHC form",
        "$pbkdf2-sha256$i=2000,l=32$c2FsdHNhbHQxMjM0NTY3OA$1s8UDFafBKG8d4z8U74010/C8/ef5yPbAW31eMb4dOY",
    ),
    (
        "Django",
        "pbkdf2_sha256$1200$abcdSALT$qJla3snalv3NLlCjPLpCp7N4TfSWTE8A8M2qW2Slopo=",
    ),
    (
        "Django",
        "pbkdf2_sha1$1200$abcdSALT$W+9qJ3DLefZfm8SF0Aoz0Qn0WKE=",
    ),
    (
        "Django",
        "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuuDd09pFn5Wz4FVPpWFauZDmSMlu0CqK",
    ),
    (
        "Werkzeug",
        "pbkdf2:sha256:1000$WdMUHikTRajHceaK$28d5a4cb3d19b815ce954f113247ac292951f95a40336445f49158714e096539",
    ),
    (
        "Werkzeug",
        "pbkdf2:sha512:1000$mELaV9fBwOldJ7pS$e9bd801dd3b7aa0a040707b9b6386e020d43fd55ec2b9669a4301299be5341458ece17d9265ba38ebc3c793402e7c5660011250ab5f6ec3bde6c1703e6464ca7",
    ),
];

/// The vector that Firebase publishes with its scrypt.
const FIREBASE: &str = "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";

fn passwords() -> Passwords {
    let config = PoolConfig {
        threads: 2,
        queue: 64,
    };
    Passwords::with_cost(config, Rng::seeded(1), 4).expect("threads start")
}

#[tokio::test]
async fn hashes_of_other_programs_are_checked_and_then_replaced() {
    let passwords = passwords();
    for (maker, hash) in FOREIGN {
        let right = passwords.verify(PASSWORD, Some(hash)).await;
        assert_eq!(
            right,
            Ok(Verdict::Right { rehash: true }),
            "{maker}: {hash}"
        );
        let wrong = passwords.verify("correct horse", Some(hash)).await;
        assert_eq!(wrong, Ok(Verdict::Wrong), "{maker}: {hash}");
        assert!(passwords.needs_rehash(hash));
    }
    let right = passwords.verify("user1password", Some(FIREBASE)).await;
    assert_eq!(right, Ok(Verdict::Right { rehash: true }));
    let wrong = passwords.verify("user2password", Some(FIREBASE)).await;
    assert_eq!(wrong, Ok(Verdict::Wrong));
}

#[tokio::test]
async fn ours_is_bcrypt_that_go_reads_and_is_kept() {
    let passwords = passwords();
    let hash = passwords.hash(PASSWORD).await.expect("hashed");
    assert!(hash.starts_with("$2a$04$") && hash.len() == 60, "{hash}");
    assert_eq!(
        passwords.verify(PASSWORD, Some(&hash)).await,
        Ok(Verdict::Right { rehash: false })
    );
    assert_ne!(passwords.hash(PASSWORD).await.expect("hashed"), hash);
    let usual = Passwords::start(PoolConfig::default(), Rng::system()).expect("threads start");
    let hash = usual.hash(PASSWORD).await.expect("hashed");
    assert!(hash.starts_with("$2a$10$"));
    assert!(passwords.needs_rehash(&hash) && !usual.needs_rehash(&hash));
}

#[tokio::test]
async fn what_is_longer_than_bcrypt_reads_is_refused_anew_and_still_matches_old() {
    let passwords = passwords();
    let long = "x".repeat(73);
    assert_eq!(passwords.hash(&long).await, Err(HashError::TooLong));
    assert!(passwords.hash(&long[..72]).await.is_ok());
    // python's bcrypt of 72 times x, which older programs made of 80 as well.
    let old = "$2b$04$abNb2XgfDuz.gQ/M.MEvAuBmz8YiPnlMC4hUmaPrqqF9GvTXmbL3u";
    let verdict = passwords.verify(&"x".repeat(80), Some(old)).await;
    assert!(verdict.is_ok_and(Verdict::is_right));
}

#[tokio::test]
async fn nobody_has_no_password() {
    let passwords = passwords();
    for stored in [None, Some("")] {
        let verdict = passwords.verify(PASSWORD, stored).await;
        assert_eq!(verdict, Ok(Verdict::Wrong));
    }
    // Not even the one that the dummy was made of.
    let secret = Rng::seeded(1).uuid().to_string();
    assert!(derive::matches(&passwords.dummy(), secret.as_bytes()));
    for (stored, expected) in [
        (None, Verdict::Wrong),
        (Some("?"), Verdict::Unusable(Unusable::UnknownFormat)),
    ] {
        assert_eq!(passwords.verify(&secret, stored).await, Ok(expected));
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let bombs = [
        "$2a$31$QbSYmKKs1iUSw3GxuWUlNegkbf6cSUfmbegOWBnpkosQjX/ezuFnK",
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=1024,t=4000000000,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=262144,t=20,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=102400,t=1,p=255$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=99999999999,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=63,r=8,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=10,r=4294967295,p=4294967295$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=14,r=8,p=1000000$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:2147483648:8:1$salt$28d5a4cb3d19b815ce954f113247ac292951f95a",
        "$fbscrypt$v=1,n=31,r=8,p=1,ss=Bw==,sk=AAAAAAAAAAAAAAAAAAAAAA==$42xEC+ixf3L2lw==$AAAAAAAAAAAAAAAAAAAAAA==",
        "$pbkdf2-sha256$i=4000000000,l=16$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "pbkdf2_sha256$99999999999999999999$abcdSALT$qJla3snalv3NLlCjPLpCp7N4TfSWTE8A8M2qW2Slopo=",
    ];
    for bomb in bombs {
        let refused = Passwords::check_format(bomb);
        assert_eq!(refused, Err(Unusable::TooExpensive), "{bomb}");
    }
}

#[test]
fn nonsense_is_refused() {
    let nonsense = [
        "plain text",
        "$",
        "$2b$",
        "$2b$05$short",
        "$2b$01$QbSYmKKs1iUSw3GxuWUlNegkbf6cSUfmbegOWBnpkosQjX/ezuFnK",
        "$2b$05$QbSYmKKs1iUSw3GxuWUlNegkbf6cSUfmbegOWBnpkosQjX/ezuFn✓",
        "$argon2d$v=19$m=256,t=1,p=4$MzuUG9VGsE4uJ4Ohvtiyzg$jBuU3oWBSC/SJIAoa876ESLRD+3ZmV39KP5iKfURJRw",
        "$argon2id$v=16$m=1024,t=2,p=2$9aM1hWS4XioqJtVGrWVAqw$57podtzWuxrs3hxvjQ4euZpcpftRkR47",
        "$argon2id$v=19$m=1024,t=2,p=2,keyid=x$9aM1hWS4XioqJtVGrWVAqw$57podtzWuxrs3hxvjQ4euZpcpftRkR47",
        "$argon2id$v=19$m=8,t=2,p=2$9aM1hWS4XioqJtVGrWVAqw$57podtzWuxrs3hxvjQ4euZpcpftRkR47",
        // Empty and tiny digests would match too much.
        "$argon2id$v=19$m=1024,t=2,p=2$9aM1hWS4XioqJtVGrWVAqw$",
        "$scrypt$ln=10,r=8,p=1$bq11Tsk5R2htrZVy7l2rNQ$",
        "pbkdf2_sha256$1200$abcdSALT$",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=$42xEC+ixf3L2lw==$",
        "$fbscrypt$v=2,n=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9A==",
        "$pbkdf2-sha256$i=0,l=32$c2FsdHNhbHQxMjM0NTY3OA$1s8UDFafBKG8d4z8U74010/C8/ef5yPbAW31eMb4dOY",
        "$pbkdf2-sha256$i=-1$c2FsdHNhbHQxMjM0NTY3OA$1s8UDFafBKG8d4z8U74010/C8/ef5yPbAW31eMb4dOY",
        "pbkdf2:sha256:1000$WdMUHikTRajHceaK$+8d5a4cb3d19b815ce954f113247ac292951f95a",
        "md5$salt$28d5a4cb3d19b815ce954f113247ac29",
    ];
    for text in nonsense {
        let refused = Passwords::check_format(text);
        assert!(
            refused.is_err_and(|why| why != Unusable::TooExpensive),
            "{text}"
        );
    }
    assert!(Passwords::check_format(&"$2a$".repeat(1000)).is_err());
}

#[tokio::test]
async fn an_unusable_hash_is_wrong_for_the_user_and_told_to_the_operator() {
    let verdict = passwords().verify(PASSWORD, Some("md5$a$b")).await;
    assert_eq!(verdict, Ok(Verdict::Unusable(Unusable::UnknownFormat)));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,120}", tail in "[$=,a-z0-9./+]{0,80}") {
        let _ = Passwords::check_format(&text);
        for name in ["$2b$", "$argon2id$", "$scrypt$", "$fbscrypt$", "$pbkdf2-sha256$", "scrypt:", "pbkdf2_sha256$"] {
            if let Ok(encoded) = Encoded::parse(&format!("{name}{tail}")) {
                proptest::prop_assert!(encoded.memory() <= encoded::MEMORY_MAX);
            }
        }
    }
}
