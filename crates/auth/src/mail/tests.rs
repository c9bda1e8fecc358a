//! Mails from the queue through a real socket.

mod receiver;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Rng, Secret, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig, RequestTx, SqlBuf};
use serde_json::{Map, Value, json};

use super::*;
use receiver::{Manner, Receiver};

const ROLE: &str = "supabase_auth_admin";

struct Setup {
    db: TestDb,
    pool: Pool,
    mailer: Mailer,
    receiver: Receiver,
    tasks: Tasks,
}

impl Setup {
    async fn new(manner: Manner) -> Self {
        let db = TestDb::new().await;
        let tasks = Tasks::new();
        let pool = Pool::new(&db.target(), &PoolConfig::default(), &tasks);
        let library = Library::load(Path::new("/"), &BTreeMap::new()).expect("ours");
        Self {
            db,
            pool,
            mailer: Mailer::new(Arc::new(library), Sink::Smtp, Rng::system()),
            receiver: Receiver::start(manner, &tasks).await,
            tasks,
        }
    }

    fn smtp(&self, tls: SmtpTls, password: Option<&str>) -> Smtp {
        let pem = STANDARD.encode(crate::testing::certificate());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
        Smtp::new(&SmtpConfig {
            host: "localhost".to_owned(),
            port: self.receiver.address.port(),
            login: password.map(|password| ("ann".to_owned(), Secret::new(password))),
            admin_email: "admin@x.test".to_owned(),
            sender_name: "Ünser Team".to_owned(),
            tls,
            root_pem: Some(pem.into_bytes()),
        })
        .expect("settings")
    }

    fn sender(&self, smtp: Smtp, config: SenderConfig) -> Sender {
        let pool = self.pool.clone();
        Sender::new(&self.mailer, smtp, pool, ROLE, Rng::system(), config)
    }

    fn statement(&self, to: &str) -> SqlBuf {
        let data = json!({ "Token": "123456", "Email": "ä@x.test", "ConfirmationURL": "https://api.test/v" });
        let data: Map<String, Value> = data.as_object().expect("an object").clone();
        self.mailer.enqueue("recovery", to, data).expect("made")
    }

    async fn mail(&self, to: &str) {
        let mut tx = RequestTx::new(&Arc::from(ROLE), "{}", &[]);
        tx.push(self.statement(to));
        tx.run(&self.pool).await.expect("queued");
    }

    /// `state attempts error`, and whether the body is still there.
    async fn rows(&self) -> Vec<String> {
        let mut session = self.db.session().await;
        let sql = "SELECT concat_ws(' ', state, attempts, html <> '', last_error) FROM ferrobase.mail_queue ORDER BY recipient";
        let rows = session.query(sql, &[]).await.expect("rows");
        rows.iter()
            .map(|row| row.get(0).unwrap_or_default().to_owned())
            .collect()
    }

    /// As if that much time had passed.
    async fn later(&self) {
        let mut session = self.db.session().await;
        let sql = "UPDATE ferrobase.mail_queue SET next_at = now() - interval '1 second'";
        session.query(sql, &[]).await.expect("moved");
    }
}

fn sent(count: usize) -> Round {
    Round {
        sent: count,
        ..Round::default()
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let setup = Setup::new(Manner::default()).await;
    let sender = setup.sender(setup.smtp(SmtpTls::None, None), SenderConfig::default());
    setup.mail("ann@x.test").await;
    assert_eq!(sender.round().await.expect("a round"), sent(1));
    let received = setup.receiver.received();
    let [mail] = received.as_slice() else {
        unreachable!("one mail, not {}", received.len())
    };
    assert_eq!(mail.from, "MAIL FROM:<admin@x.test>");
    assert_eq!(mail.to, "RCPT TO:<ann@x.test>");
    for header in [
        "From: =?utf-8?b?w5xuc2VyIFRlYW0=?= <admin@x.test>",
        "To: ann@x.test",
        "Subject: Choose a new password",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
    ] {
        assert!(mail.data.contains(header), "{header} in {}", mail.data);
    }
    assert!(mail.data.contains("text/plain") && mail.data.contains("text/html"));
    assert!(mail.data.contains("123456"));
    // It is gone from the queue, and the link with it.
    assert_eq!(setup.rows().await, ["sent 1 f"]);
    assert_eq!(sender.round().await.expect("a round"), Round::default());
    setup.tasks.stop().await;
}

#[tokio::test]
async fn no_mail_without_the_change_it_is_about() {
    let setup = Setup::new(Manner::default()).await;
    let mut tx = RequestTx::new(&Arc::from(ROLE), "{}", &[]);
    tx.push(setup.statement("ann@x.test"));
    let (tx, _) = tx.open(&setup.pool).await.expect("a transaction");
    tx.rollback().await.expect("rolled back");
    assert!(setup.rows().await.is_empty());
    assert!(
        setup
            .mailer
            .enqueue("recovery", "a@b\r\nBcc: c@d", Map::new())
            .is_err()
    );
    assert!(setup.mailer.enqueue("unknown", "a@b", Map::new()).is_err());
    setup.tasks.stop().await;
}

#[tokio::test]
async fn encryption_is_what_was_asked_for_and_passwords_go_through_nothing_less() {
    let login = Some(("ann", "s3cret"));
    for (manner, tls, arrives) in [
        (
            Manner {
                implicit_tls: true,
                login,
                ..Manner::default()
            },
            SmtpTls::Implicit,
            true,
        ),
        (
            Manner {
                starttls: true,
                login,
                ..Manner::default()
            },
            SmtpTls::StartTls,
            true,
        ),
        // This machine, so by what there is.
        (
            Manner {
                starttls: true,
                login,
                ..Manner::default()
            },
            SmtpTls::Auto,
            true,
        ),
        // Somebody in between has taken STARTTLS away.
        (
            Manner {
                login,
                ..Manner::default()
            },
            SmtpTls::StartTls,
            false,
        ),
    ] {
        let setup = Setup::new(manner).await;
        let sender = setup.sender(setup.smtp(tls, Some("s3cret")), SenderConfig::default());
        setup.mail("ann@x.test").await;
        let round = sender.round().await.expect("a round");
        assert_eq!(
            round.sent,
            usize::from(arrives),
            "{manner:?} {tls:?} {:?}",
            setup.rows().await
        );
        for mail in setup.receiver.received() {
            assert!(mail.encrypted && mail.logged_in, "{manner:?} {tls:?}");
        }
        setup.tasks.stop().await;
    }
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_and_what_is_refused_is_dead() {
    let setup = Setup::new(Manner::default()).await;
    let config = SenderConfig {
        attempts_max: 3,
        ..SenderConfig::default()
    };
    let sender = setup.sender(setup.smtp(SmtpTls::None, None), config);
    setup
        .receiver
        .refuse(&["451 4.7.1 later", "451 4.7.1 later"]);
    setup.mail("a@x.test").await;
    let later = Round {
        later: 1,
        ..Round::default()
    };
    assert_eq!(sender.round().await.expect("a round"), later);
    // Its pause is not over.
    assert_eq!(sender.round().await.expect("a round"), Round::default());
    setup.later().await;
    assert_eq!(sender.round().await.expect("a round"), later);
    setup.later().await;
    assert_eq!(sender.round().await.expect("a round"), sent(1));
    let dead = Round {
        dead: 1,
        ..Round::default()
    };
    setup.receiver.refuse(&["550 5.1.1 nobody here"]);
    setup.mail("b@x.test").await;
    assert_eq!(sender.round().await.expect("a round"), dead);
    setup.receiver.refuse(&["451 later"; 3]);
    setup.mail("c@x.test").await;
    for expected in [later, later, dead] {
        assert_eq!(sender.round().await.expect("a round"), expected);
        setup.later().await;
    }
    assert_eq!(sender.round().await.expect("a round"), Round::default());
    let rows = setup.rows().await;
    let [a, b, c] = rows.as_slice() else {
        unreachable!("three mails")
    };
    assert_eq!(a, "sent 3 f");
    assert!(
        b.starts_with("dead 1 f ") && b.contains("nobody here"),
        "{b}"
    );
    assert!(c.starts_with("dead 3 f "), "{c}");
    setup.tasks.stop().await;
}

#[tokio::test]
async fn a_refused_login_is_the_operators_and_waits() {
    let manner = Manner {
        starttls: true,
        login: Some(("ann", "right")),
        ..Manner::default()
    };
    let setup = Setup::new(manner).await;
    setup.mail("a@x.test").await;
    let wrong = setup.smtp(SmtpTls::StartTls, Some("wrong"));
    let wrong = setup.sender(wrong, SenderConfig::default());
    let round = wrong.round().await.expect("a round");
    assert_eq!((round.later, round.dead), (1, 0));
    setup.later().await;
    let right = setup.smtp(SmtpTls::StartTls, Some("right"));
    let right = setup.sender(right, SenderConfig::default());
    assert_eq!(right.round().await.expect("a round"), sent(1));
    setup.tasks.stop().await;
}

#[tokio::test]
async fn a_node_that_dies_leaves_its_mails_to_another_and_they_can_be_recognised() {
    let setup = Setup::new(Manner::default()).await;
    setup.mail("a@x.test").await;
    // The server takes the mail, and the node is gone before it can say so.
    setup.receiver.be_silent(1);
    let config = SenderConfig {
        retry_after: Duration::ZERO,
        ..SenderConfig::default()
    };
    let first = setup.sender(setup.smtp(SmtpTls::None, None), config);
    assert_eq!(first.round().await.expect("a round").later, 1);
    let second = setup.sender(setup.smtp(SmtpTls::None, None), config);
    assert_eq!(second.round().await.expect("a round"), sent(1));
    let ids: Vec<String> = setup
        .receiver
        .received()
        .iter()
        .filter_map(|mail| {
            mail.data
                .lines()
                .find(|line| line.starts_with("Message-ID: <"))
        })
        .map(str::to_owned)
        .collect();
    assert!(
        matches!(ids.as_slice(), [one, two] if one == two),
        "{ids:?}"
    );
    // One who still holds an old claim changes nothing.
    setup.mail("b@x.test").await;
    let mut session = setup.db.session().await;
    session
        .script("UPDATE ferrobase.mail_queue SET claim = gen_random_uuid(), next_at = now() + interval '1 minute' WHERE recipient = 'b@x.test'")
        .await
        .expect("claimed");
    assert_eq!(second.round().await.expect("a round"), Round::default());
    setup.later().await;
    assert_eq!(second.round().await.expect("a round"), sent(1));
    setup.tasks.stop().await;
}

#[tokio::test]
async fn many_nodes_send_each_mail_once_and_the_duty_wakes() {
    let setup = Setup::new(Manner::default()).await;
    for n in 0..40 {
        setup.mail(&format!("u{n}@x.test")).await;
    }
    let config = SenderConfig {
        batch: 5,
        look_every: Duration::from_secs(600),
        ..SenderConfig::default()
    };
    for _ in 0..3 {
        let smtp = setup.smtp(SmtpTls::None, None);
        setup.sender(smtp, config).start(&setup.tasks);
    }
    wait_for(&setup, 40).await;
    let mut to: Vec<String> = setup
        .receiver
        .received()
        .into_iter()
        .map(|m| m.to)
        .collect();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), 40);
    // All sleep for ten minutes now, unless one is woken.
    setup.mail("late@x.test").await;
    setup.mailer.wake();
    wait_for(&setup, 41).await;
    assert_eq!(setup.receiver.received().len(), 41);
    setup.tasks.stop().await;
}

/// Until that many are marked as sent.
async fn wait_for(setup: &Setup, count: usize) {
    let waiting = async {
        while setup
            .rows()
            .await
            .iter()
            .filter(|row| row.starts_with("sent"))
            .count()
            < count
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .expect("all are sent");
}
