//! Secrets during rotation, and key pairs.

use serde_json::json;

use crate::common::{Database, SOON};
use crate::snippets::{Questions, Snippets};
use crate::{CLUSTER, Scheme, only_signed, server_accepts, subscribe};

#[test]
fn during_a_rotation_either_secret_verifies_where_there_is_room_for_both() {
    let mut db = Database::new(&CLUSTER, "rotation");
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    for (name, has_room) in [
        ("standard", true),
        ("stripe", true),
        ("svix", true),
        ("github", false),
        ("humana", false),
        ("leafengines", false),
        ("frame", false),
        ("shopify", false),
        ("slack", false),
        ("own", false),
    ] {
        let scheme = Scheme::named(name);
        let (receiver, old) = subscribe(&mut db, name, &scheme.option());
        let new = db.text(&format!("select herald.rotate_secret('{name}')"));
        db.run("select herald.emit('order.paid', '{\"total\": 1}')");
        for (secret, is_accepted) in [(&new, true), (&old, has_room)] {
            let sent = only_signed(&receiver, secret);
            let answer = server_accepts(&mut db, scheme.signing, &sent, "300 s");
            assert_eq!(answer, is_accepted, "{name}");
            for file in snippets.of(name) {
                questions.add("in a rotation", &file, &sent, &json!({}), is_accepted);
            }
        }
        receiver.forget();
        db.run(&format!(
            "select herald.rotate_secret('{name}', secret => '{old}', grace => '0')"
        ));
        db.run("select herald.emit('order.paid', '{\"total\": 1}')");
        for (secret, is_accepted) in [(&new, false), (&old, true)] {
            let sent = only_signed(&receiver, secret);
            let answer = server_accepts(&mut db, scheme.signing, &sent, "300 s");
            assert_eq!(answer, is_accepted, "{name} without grace");
            for file in snippets.of(name) {
                questions.add("without grace", &file, &sent, &json!({}), is_accepted);
            }
        }
        db.run(&format!("select herald.unsubscribe('{name}')"));
    }
    questions.ask();
}

#[test]
fn where_there_is_room_for_one_signature_a_rotation_says_that_the_former_secret_ends_at_once() {
    let mut db = Database::new(&CLUSTER, "rotation_notice");
    let (told, heard) = std::sync::mpsc::channel();
    let client = CLUSTER
        .config("rotation_notice")
        .notice_callback(move |notice| {
            let hint = notice.hint().unwrap_or_default();
            let _ = told.send(format!("{}; {hint}", notice.message()));
        })
        .connect(postgres::NoTls);
    let mut session = Database::with("rotation_notice", client.expect("a session"));
    let said = "requests to subscription \"github\" are signed with the new secret alone from now on; \
                Next time let the receiver accept both secrets first, and then run: \
                select herald.rotate_secret('github', secret => '...');";
    for (name, expected) in [
        ("github", vec![said, said]),
        ("stripe", vec![]),
        ("standard", vec![]),
    ] {
        let option = Scheme::named(name).option();
        let (_receiver, secret) = subscribe(&mut db, name, &option);
        session.run(&format!(
            "select herald.rotate_secret('{name}');
             select herald.subscribe('{name}', secret => '{secret}');
             select herald.rotate_secret('{name}', grace => '0');
             delete from herald.secret;
             select herald.rotate_secret('{name}')"
        ));
        // A session receives its notices before its results.
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn a_public_key_verifies_and_a_symmetric_secret_can_sign_beside_it() {
    let mut db = Database::new(&CLUSTER, "key_pair");
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let (receiver, private) = subscribe(&mut db, "shop", "secret => herald.generate_secret('v1a')");
    assert!(private.starts_with("whsk_"), "it is shown once");
    let public = db.text("select herald.public_key('shop')");
    assert!(public.starts_with("whpk_"));
    let mut others = Vec::new();
    for (rotation, kind) in [
        ("", "v1a"),
        ("select herald.rotate_secret('shop')", "v1"),
        (
            "select herald.rotate_secret('shop', secret => herald.generate_secret('v1a'))",
            "v1a",
        ),
    ] {
        if !rotation.is_empty() {
            let secret = db.text(rotation);
            let key = db.text("select herald.public_key('shop')");
            // Without an argument, the next secret is symmetric.
            assert_eq!(key == "-", kind == "v1");
            others.push(if kind == "v1" {
                ("standard", secret)
            } else {
                ("v1a", key)
            });
        }
        receiver.forget();
        db.run("select herald.emit('order.paid', '{\"total\": 1}')");
        receiver.wait_for(1, SOON);
        for (name, secret) in std::iter::once(&("v1a", public.clone())).chain(&others) {
            let sent = only_signed(&receiver, secret);
            let signatures = sent.headers["webhook-signature"].split(' ').count();
            assert_eq!(signatures, 1 + others.len());
            assert!(
                server_accepts(&mut db, "standard", &sent, "300 s"),
                "{name}"
            );
            for file in snippets.of(name) {
                questions.add("beside others", &file, &sent, &json!({}), true);
            }
        }
    }
    let with_private = only_signed(&receiver, &private);
    assert!(server_accepts(&mut db, "standard", &with_private, "300 s"));
    let stranger = db.text("select herald.generate_secret('v1a')");
    assert!(!server_accepts(
        &mut db,
        "standard",
        &only_signed(&receiver, &stranger),
        "300 s"
    ));
    questions.ask();
}
