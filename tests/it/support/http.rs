//! An HTTP client that checks every answer for what all answers must have.

use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// All that comes before the server ends the connection.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut answers = Vec::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_end(&mut answers));
    read.await.expect("the server ends the connection").ok();
    answers
}

/// A client. It trusts no certificate: the tests speak plain HTTP. (`Client::new` would want a TLS provider that the whole
/// process has agreed on.)
pub(crate) fn client() -> Client {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls);
    client.build().expect("a client")
}

/// A request that is being put together.
pub(crate) struct Call(RequestBuilder, Method);

impl Call {
    pub(crate) fn new(client: &Client, server: SocketAddr, method: Method, path: &str) -> Self {
        let request = client.request(method.clone(), format!("http://{server}{path}"));
        Call(request, method)
    }

    /// Sends this API key, as documented.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Call(self.0.header(name, value), self.1)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Call(self.0.json(body), self.1)
    }

    /// Sends these bytes as JSON, whether they are or not.
    pub(crate) fn raw_json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Call(self.0.body(body.into()), self.1)
    }

    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.expect("every request gets an answer")
    }

    /// Sends it to a server that may be gone before it has answered.
    pub(crate) async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let method = self.1.clone();
        let answer = self.try_send_unchecked().await?;
        answer.check(&method);
        Ok(answer)
    }

    /// Sends it where somebody else than inboxd may answer.
    #[cfg(feature = "postgres-tests")]
    pub(crate) async fn send_unchecked(self) -> Answer {
        let answer = self.try_send_unchecked().await;
        answer.expect("every request gets an answer")
    }

    async fn try_send_unchecked(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What every answer must have.
    fn check(&self, method: &Method) {
        self.header("x-request-id");
        let empty = self.body.is_empty();
        if empty || self.header("content-type") != "application/json" {
            let unchanged = self.status == StatusCode::NOT_MODIFIED;
            let allowed = self.status.is_success() || unchanged || *method == Method::HEAD;
            assert!(allowed, "an error without the envelope: {self:?}");
            return;
        }
        if self.headers.contains_key(CONTENT_ENCODING) {
            assert!(self.status.is_success(), "{self:?}");
            return;
        }
        let body = self.json();
        if self.status.is_success() {
            assert!(
                body.get("openapi").is_some() || body["success"] == true,
                "{body}"
            );
        } else {
            let error = body["error"].as_object().expect("an error in the envelope");
            assert_eq!(body["success"], false, "{body}");
            assert_eq!(body.as_object().map(|body| body.len()), Some(2), "{body}");
            assert!(error["code"].is_string() && error["message"].is_string());
            let reason = error.contains_key("reason");
            assert_eq!(reason, self.status == StatusCode::CONFLICT, "{body}");
            let more = usize::from(error.contains_key("details")) + usize::from(reason);
            assert_eq!(error.len(), 2 + more, "{body}");
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no header {name} in {self:?}"));
        value.to_str().expect("a header is text")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body is text")
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).expect("a body is JSON")
    }

    /// The `data` of a success.
    pub(crate) fn data(&self) -> Value {
        self.assert_success();
        self.json()["data"].clone()
    }

    #[track_caller]
    pub(crate) fn assert_success(&self) {
        let text = String::from_utf8_lossy(&self.body);
        assert!(self.status.is_success(), "{}: {text}", self.status);
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
    }

    #[track_caller]
    pub(crate) fn assert_json(&self, status: u16, body: &Value) {
        self.assert_status(status);
        assert_eq!(&self.json(), body);
    }

    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str, message: &str) {
        let error = json!({"code": code, "message": message});
        self.assert_json(status, &json!({"success": false, "error": error}));
    }

    /// A 409, with the word for programs.
    #[track_caller]
    pub(crate) fn assert_conflict(&self, reason: &str, message: &str) {
        let error = json!({"code": "CONFLICT", "message": message, "reason": reason});
        self.assert_json(409, &json!({"success": false, "error": error}));
    }

    /// A 400 that names these fields, with what is wrong with each, and no others.
    #[track_caller]
    pub(crate) fn assert_wrong_fields(&self, fields: &[(&str, &str)]) {
        let details: Vec<_> = fields
            .iter()
            .map(|(field, message)| json!({"field": field, "message": message}))
            .collect();
        self.assert_json(
            400,
            &json!({"success": false, "error": {
                "code": "VALIDATION_ERROR",
                "message": "The request has invalid fields",
                "details": details,
            }}),
        );
    }

    /// The one answer to whatever is wrong with a key.
    #[track_caller]
    pub(crate) fn assert_unauthorized(&self) {
        self.assert_error(401, "UNAUTHORIZED", "Invalid or expired API key");
        assert_eq!(self.header("www-authenticate"), "Bearer");
    }
}
