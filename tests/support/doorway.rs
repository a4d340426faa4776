//! The door of a warehouse: statements of some comments never come through, and who sent one waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use prefill::engine::Endpoint;

/// Everything else goes to the warehouse behind it.
#[derive(Clone)]
pub struct Doorway {
    pub url: String,
    upstream: String,
    http: reqwest::Client,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// The comments of what hangs.
    comments: Vec<&'static str>,
    /// The ids of what hung up to now, and of what was killed.
    hung: Vec<String>,
    killed: Vec<String>,
}

impl Doorway {
    pub async fn before(endpoint: &Endpoint) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let http = reqwest::Client::builder().no_proxy().build();
        let door = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            upstream: endpoint.url.clone(),
            http: http.expect("a client"),
            kept: Arc::default(),
        };
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(door.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        door
    }

    /// What has one of these comments hangs from now on.
    pub fn keep(&self, comments: &[&'static str]) {
        self.kept.lock().expect("no panic").comments = comments.to_vec();
    }

    /// The ids of the statements that hung up to now.
    pub fn hung(&self) -> Vec<String> {
        let mut hung = self.kept.lock().expect("no panic").hung.clone();
        hung.sort();
        hung
    }

    /// The ids of the statements that somebody told the warehouse to kill.
    pub fn killed(&self) -> Vec<String> {
        let mut killed = self.kept.lock().expect("no panic").killed.clone();
        killed.sort();
        killed
    }
}

async fn answer(State(door): State<Doorway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let settings: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let setting = |name: &str| settings.get(name).cloned().unwrap_or_default();
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let Ok(body) = body else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let hangs = {
        let mut kept = door.kept.lock().expect("no panic");
        let hangs = kept.comments.contains(&setting("log_comment").as_str());
        if hangs {
            kept.hung.push(setting("query_id"));
        }
        // The id is a parameter, sent beside the statement.
        let text = String::from_utf8_lossy(&body);
        if text.contains("kill query where query_id =") {
            let named = kept.hung.iter().find(|id| text.contains(*id)).cloned();
            kept.killed.extend(named);
        }
        hangs
    };
    if hangs {
        return std::future::pending().await;
    }
    let sent = door
        .http
        .request(parts.method, format!("{}{}", door.upstream, parts.uri))
        .headers(parts.headers)
        .body(body)
        .send();
    let Ok(sent) = sent.await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::builder().status(sent.status());
    for (name, value) in sent.headers() {
        // The body is sent on whole.
        if name != "transfer-encoding" && name != "connection" {
            response = response.header(name, value);
        }
    }
    let body = sent.bytes().await.unwrap_or_default();
    response.body(Body::from(body)).expect("a response")
}
