//! `prefill serve` as somebody who asks it over HTTP has it.

#![allow(dead_code)] // each story uses its part

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prefill::web::Card;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::support::until;
use crate::told::{Running, look};

/// A service and its address; ended at the end.
pub struct Served {
    pub running: Running,
    pub url: String,
    pub client: Client,
}

impl Served {
    /// Starts the command, a `serve` on that data directory, and waits until it says where it is.
    pub fn start(command: Command, data_dir: &Path) -> Self {
        let running = Running::start(command);
        let card = look("the address of the service", || {
            Card::read(data_dir).filter(|card| card.pid == running.process())
        });
        Self {
            running,
            url: card.url,
            client: Client::new(),
        }
    }

    /// Waits until it can work.
    pub async fn when_ready(self) -> Self {
        until("ready", Duration::from_secs(30), || async {
            (self.get("/readyz").await.status == 200).then_some(())
        })
        .await;
        self
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = self
            .request(method, path)
            .header("content-type", "application/json")
            .body(body.to_string());
        Answer::of(request).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body).await
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.expect("text"),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It did what it should; the answer.
    #[track_caller]
    pub fn done(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()
    }

    /// It refused with a problem of a kind, whose detail names `what` and whose hint names `next`.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str, what: &str, next: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:prefill:{kind}"), "{self:?}");
        assert!(problem["title"].is_string(), "{self:?}");
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        assert!(text("detail").contains(what), "{what:?}: {self:?}");
        assert!(text("hint").contains(next), "{next:?}: {self:?}");
    }
}
