//! Browsers on any page may call the API, without cookies.

use crate::support::{Answer, Store, TestApp, on_both_stores};
use inboxd::domain::Scope;
use reqwest::Method;

on_both_stores![
    a_preflight_is_204_and_allows_what_was_asked,
    every_answer_allows_any_origin_and_shows_the_documented_headers,
    options_that_is_no_preflight_is_an_ordinary_wrong_method,
    providers_are_no_browsers,
];

const ORIGIN: &str = "https://shop.example.com";

fn words(answer: &Answer, header: &str) -> Vec<String> {
    let values = answer.header(header).split(',');
    values.map(|word| word.trim().to_lowercase()).collect()
}

async fn a_preflight_is_204_and_allows_what_was_asked(store: Store) {
    let app = TestApp::start(store).await;
    for (path, method, headers) in [
        ("/inboxes", "GET", "authorization"),
        ("/inboxes?limit=1", "POST", "api_key,content-type"),
        ("/inboxes/inbox_x", "PATCH", "Authorization, X-Request-Id"),
        ("/inboxes/inbox_x/", "DELETE", "authorization"),
    ] {
        let call = app
            .call(Method::OPTIONS, path)
            .header("origin", ORIGIN)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", headers);
        let answer = call.send().await;
        answer.assert_status(204);
        assert_eq!(answer.text(), "");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-headers"), headers);
        let methods = words(&answer, "access-control-allow-methods");
        assert!(methods.contains(&method.to_lowercase()), "{methods:?}");
        let seconds = answer.header("access-control-max-age");
        assert!(seconds.parse::<u32>().expect("seconds") > 0);
        assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
    }
}

async fn every_answer_allows_any_origin_and_shows_the_documented_headers(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    for (path, key, status) in [
        ("/inboxes", key.as_str(), 200),
        ("/inboxes?limit=0", &key, 400),
        ("/inboxes", "ibx_wrong", 401),
        ("/inboxes/inbox_x/setup", &key, 403),
        ("/nowhere", &key, 404),
        ("/livechat/inbox_x/messages", &key, 404),
        ("/healthz", &key, 200),
        ("/openapi.json", &key, 200),
    ] {
        let call = app.get(path).key(key).header("origin", ORIGIN);
        let answer = call.send().await;
        answer.assert_status(status);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let shown = words(&answer, "access-control-expose-headers");
        for header in [
            "x-request-id",
            "location",
            "retry-after",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "link",
            "etag",
        ] {
            assert!(shown.contains(&header.to_owned()), "{path}: {shown:?}");
        }
        assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
        assert_eq!(answer.headers.get("set-cookie"), None);
    }
}

async fn options_that_is_no_preflight_is_an_ordinary_wrong_method(store: Store) {
    let app = TestApp::start(store).await;
    let answer = app.call(Method::OPTIONS, "/inboxes").send().await;
    answer.assert_error(
        405,
        "METHOD_NOT_ALLOWED",
        "This path does not take this method",
    );
    let allowed = words(&answer, "allow");
    assert!(allowed.contains(&"get".to_owned()), "{allowed:?}");
}

async fn providers_are_no_browsers(store: Store) {
    let app = TestApp::start(store).await;
    let hook = "/hooks/whatsapp";
    let answer = app.get(hook).header("origin", ORIGIN).send().await;
    answer.assert_status(403);
    let preflight = app
        .call(Method::OPTIONS, hook)
        .header("origin", ORIGIN)
        .header("access-control-request-method", "POST");
    let preflight = preflight.send().await;
    preflight.assert_status(405);
    for answer in [answer, preflight] {
        let names = answer.headers.keys().map(|name| name.as_str());
        let cors: Vec<_> = names
            .filter(|name| name.contains("access-control"))
            .collect();
        assert_eq!(cors, [""; 0]);
    }
}
