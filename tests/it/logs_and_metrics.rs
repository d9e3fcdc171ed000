//! What the server tells its operators, and what it never tells them: keys, secrets, and what people wrote.

use crate::support::{
    Running, Shell, Store, eventually, on_both_stores,
    program::text,
    provider::{Provider, Reply, graph_error, no, ok},
    whatsapp::{self, update},
};
use serde_json::{Value, json};

on_both_stores![
    neither_logs_nor_metrics_hold_keys_secrets_or_words,
    each_request_has_its_line_with_its_id,
    the_documented_metrics_are_there,
];

/// What must not be told, and by what name a failure calls it.
type Secrets = Vec<(&'static str, String)>;

/// With one account, a WhatsApp inbox and a key.
async fn prepared(store: Store) -> (Shell, String, String) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("42");
    let key = shell.key();
    (shell, inbox, key)
}

/// Even where an operator asks for every detail.
async fn neither_logs_nor_metrics_hold_keys_secrets_or_words(store: Store) {
    let (shell, inbox, key) = prepared(store).await;
    let provider = Provider::with_a_bot().await;
    for filter in ["info", "trace"] {
        let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .env("INBOXD_LOG", filter)
            .env("INBOXD_TELEGRAM_API_URL", provider.url())
            .env("INBOXD_GRAPH_API_URL", provider.url())
            .env("INBOXD_INSTAGRAM_API_URL", "http://127.0.0.1:1");
        let mut server = shell.start(command);
        let mut secrets = send_keys(&server, &key).await;
        secrets.extend(send_words(&server, filter).await);
        secrets.extend(send_secrets(&server, &key, &inbox).await);
        secrets.extend(ask_providers(&server, &key, &inbox, &provider).await);
        let metrics = server.get("/metrics").send().await;
        server.signal("TERM");
        server.ended().await;
        let log = server.log();
        assert!(log.contains("/hooks/whatsapp"), "a log was kept: {log}");
        for (what, secret) in secrets {
            let line = log.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{what} at {filter}: {line:?}");
            assert!(!metrics.text().contains(&secret), "{what} in the metrics");
        }
    }
}

/// A good key and a wrong one, in all three places.
async fn send_keys(server: &Running, key: &str) -> Secrets {
    let mistyped = key.replace("ibx_", "ibx_0");
    for (key, status) in [(key, 200), (mistyped.as_str(), 401)] {
        let in_query = format!("/inboxes?limit=1&api_key={key}");
        let list = || server.get("/inboxes");
        let answers = [
            list().key(key).send().await,
            list().header("api_key", key).send().await,
            server.get(&in_query).send().await,
            server.get(&format!("/inboxes/?api_key={key}")).send().await,
        ];
        for answer in answers {
            answer.assert_status(status);
        }
        let nowhere = format!("/nowhere?api_key={key}");
        server.get(&nowhere).send().await.assert_status(404);
        // Where no key belongs, however it is written.
        let hidden = key.replace("ibx_", "%69bx%5f").replace('7', "%37");
        for path in [
            key,
            &hidden,
            &key.replace('_', "%255f"),
            &format!("%ff{key}"),
        ] {
            server
                .get(&format!("/{path}"))
                .send()
                .await
                .assert_status(404);
            let inbox = format!("/inboxes/{path}");
            server.get(&inbox).send().await.assert_status(401);
        }
        let method = key.parse().expect("a key can be a method");
        server
            .call(method, "/inboxes")
            .send()
            .await
            .assert_status(405);
    }
    let random = key.trim_start_matches("ibx_").to_owned();
    vec![("an API key", random)]
}

/// Messages that are accepted, and ones that are not.
async fn send_words(server: &Running, round: &str) -> Secrets {
    let words = "Please keep this to yourself";
    let message = whatsapp::text("628111", &format!("wamid.{round}"), words);
    let good = update("42", &[message]);
    server.deliver(&good).await.assert_status(200);
    server.deliver(&good).await.assert_status(200);
    let unknown = update("none", &[whatsapp::text("628111", "wamid.x", words)]);
    server.deliver(&unknown).await.assert_status(404);
    let unsigned = server
        .post("/hooks/whatsapp")
        .raw_json(good.to_string().into_bytes());
    unsigned.send().await.assert_status(401);
    // What cannot be understood is set aside, and said to be; not what it said.
    let odd = json!({"from": words, "id": 5, "type": words, "timestamp": words});
    let odd = update("42", &[json!(words), odd, json!({"text": words})]);
    server.deliver(&odd).await.assert_status(200);
    let cut_off = odd.to_string().replace("]}}]}]}", "");
    let signature = whatsapp::sign(whatsapp::APP_SECRET, cut_off.as_bytes());
    let cut_off = server
        .post("/hooks/whatsapp")
        .header("x-hub-signature-256", &signature)
        .raw_json(cut_off);
    cut_off.send().await.assert_status(200);
    vec![
        ("a message's text", words.to_owned()),
        ("a person's name", "Customer 628111".to_owned()),
    ]
}

/// Credentials in bodies, and tokens in headers and queries.
async fn send_secrets(server: &Running, key: &str, inbox: &str) -> Secrets {
    let access_token = "an-access-token-of-meta";
    let path = format!("/inboxes/{inbox}");
    let change = json!({"channel": {"access_token": access_token}});
    let patch = server.call(reqwest::Method::PATCH, &path);
    patch.key(key).json(&change).send().await.assert_status(200);
    let wrong =
        json!({"name": "", "type": "telegram", "channel": {"bot_token": "7:wr\u{7}ong-token"}});
    let post = server.post("/inboxes").key(key).json(&wrong);
    post.send().await.assert_status(400);
    let setup = server.get(&format!("{path}/setup")).key(key).send().await;
    let token = text(&setup.data()["verify_token"]);
    let ask = format!(
        "/hooks/whatsapp?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=challenge-1"
    );
    server.get(&ask).send().await.assert_status(200);
    let proof = token.rsplit('-').next().expect("a proof").to_owned();
    vec![
        ("an access token", access_token.to_owned()),
        ("an app secret", whatsapp::APP_SECRET.to_owned()),
        ("a bot token", "ong-token".to_owned()),
        ("a verify token", proof),
        ("the secret key", crate::support::SECRET_KEY.to_owned()),
    ]
}

/// Credentials on their way to providers, which accept, refuse, fail, and are not there.
async fn ask_providers(server: &Running, key: &str, inbox: &str, provider: &Provider) -> Secrets {
    let bot_token = "110201543:a-bot-token-on-its-way";
    let instagram_token = "an-access-token-that-nobody-gets";
    let meta_token = "an-access-token-of-meta";
    let create = async |body: Value| {
        let made = server.post("/inboxes").key(key).json(&body).send().await;
        format!("/inboxes/{}", text(&made.data()["id"]))
    };
    let connect = async |path: &str, status| {
        let call = server.post(&format!("{path}/connect")).key(key);
        call.send().await.assert_status(status);
    };
    let bot = json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": bot_token}});
    let bot = create(bot).await;
    provider.replies(
        "getMe",
        ok(json!({"id": 110_201_543, "first_name": "Toko Biru"})),
    );
    connect(&bot, 200).await;
    let setup = server.get(&format!("{bot}/setup")).key(key).send().await;
    let secret_token = text(&setup.data()["secret_token"]);
    provider.replies("getMe", no(401, &format!("{bot_token} is wrong")));
    connect(&bot, 409).await;
    provider.replies("getMe", no(500, &format!("{bot_token} is too much")));
    connect(&bot, 503).await;
    provider.replies("getMe", Reply::Broken);
    connect(&bot, 503).await;

    let said = format!("Malformed access token {meta_token}");
    provider.replies("42", graph_error(400, 190, &said));
    connect(&format!("/inboxes/{inbox}"), 409).await;

    let direct = json!({"name": "DM", "type": "instagram", "instagram_account_id": "ig_1",
        "channel": {"app_secret": "s", "access_token": instagram_token}});
    let direct = create(direct).await;
    connect(&direct, 503).await;
    for path in [bot, direct] {
        let delete = server.call(reqwest::Method::DELETE, &path).key(key);
        delete.send().await.assert_status(204);
    }
    vec![
        ("a bot token", "a-bot-token-on-its-way".to_owned()),
        ("a secret token", secret_token),
        ("an access token", instagram_token.to_owned()),
    ]
}

async fn each_request_has_its_line_with_its_id(store: Store) {
    let (shell, _, key) = prepared(store).await;
    let server = shell.serve();
    let call = server.get("/inboxes?limit=1").key(&key);
    let sent = call.header("x-request-id", "order-66.a:b_c").send().await;
    assert_eq!(sent.header("x-request-id"), "order-66.a:b_c");
    let given = server.get("/nowhere").send().await;
    let insane = server.get("/healthz").header("x-request-id", "a b");
    let insane = insane.send().await;
    assert_ne!(insane.header("x-request-id"), "a b");
    // Lines are gathered for a moment before they are written.
    let last = insane.header("x-request-id").to_owned();
    eventually("the last line is written", async || {
        server.log().contains(&last)
    })
    .await;
    let lines: Vec<Value> = server
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    for (answer, path, status) in [
        (&sent, "/inboxes", 200),
        (&given, "unmatched (8 bytes)", 404),
        (&insane, "/healthz", 200),
    ] {
        let id = answer.header("x-request-id");
        let of_it: Vec<_> = lines.iter().filter(|l| l["request_id"] == id).collect();
        assert_eq!(of_it.len(), 1, "{lines:?}");
        assert_eq!(of_it[0]["path"], path);
        assert_eq!(of_it[0]["method"], "GET");
        assert_eq!(of_it[0]["status"], status);
        assert!(of_it[0]["micros"].is_u64());
    }
    server.stop().await;
}

async fn the_documented_metrics_are_there(store: Store) {
    let (shell, _, key) = prepared(store).await;
    let server = shell.serve();
    server.get("/inboxes").key(&key).send().await;
    server.get("/inboxes/inbox_1").key(&key).send().await;
    server.get("/nowhere/1").send().await;
    server.get("/nowhere/2").send().await;
    let hello = update("42", &[whatsapp::text("628111", "wamid.1", "Hello")]);
    server.deliver(&hello).await;
    server.deliver(&hello).await;
    server.deliver(&update("none", &[])).await;
    let answer = server.get("/metrics").send().await;
    answer.assert_status(200);
    assert!(answer.header("content-type").starts_with("text/plain"));
    let metrics = answer.text();
    for line in [
        r#"inboxd_http_requests_total{method="GET",route="/inboxes",status="200"} 1"#,
        r#"inboxd_http_requests_total{method="GET",route="/inboxes/{id}",status="404"} 1"#,
        r#"inboxd_http_requests_total{method="GET",route="unmatched",status="404"} 2"#,
        r#"inboxd_http_requests_total{method="POST",route="/hooks/whatsapp",status="200"} 2"#,
        r#"inboxd_http_request_seconds_bucket{method="GET",route="/inboxes",le="+Inf"} 1"#,
        r#"inboxd_http_request_seconds_count{method="GET",route="/inboxes"} 1"#,
        r#"inboxd_updates_total{channel="whatsapp",outcome="accepted"} 2"#,
        r#"inboxd_updates_total{channel="whatsapp",outcome="unknown_inbox"} 1"#,
        r#"inboxd_update_items_total{channel="whatsapp",outcome="stored"} 1"#,
        r#"inboxd_update_items_total{channel="whatsapp",outcome="known"} 1"#,
        "inboxd_store_statements_total ",
        r#"inboxd_store_calls_total{call="read",outcome="ok"} "#,
        r#"inboxd_store_calls_total{call="commit",outcome="ok"} "#,
        "inboxd_ingest_batch_updates_count 2",
        r#"inboxd_ingest_batch_updates_bucket{le="1"} 2"#,
        // Dashboards know them by these names.
        "# TYPE inboxd_deliveries_total counter",
        r#"inboxd_deliveries_total{channel="whatsapp",outcome="accepted"} 2"#,
        r#"inboxd_delivered_items_total{channel="whatsapp",outcome="stored"} 1"#,
        r#"inboxd_ingest_batch_deliveries_bucket{le="1"} 2"#,
        "inboxd_quarantined_deliveries 0",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    assert!(!metrics.contains("inbox_1"), "an id is no label");
    server.stop().await;
}
