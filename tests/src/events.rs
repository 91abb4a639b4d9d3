//! A client of `/saga/events` for tests.

use std::{net::SocketAddr, pin::Pin};

use futures::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use crate::{PATIENCE, Stack, stack::ORCHESTRATOR};

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its contents.
    pub data: Value,
}

impl Event {
    /// Returns the id of its saga.
    ///
    /// # Panics
    /// When it belongs to no saga.
    pub fn saga(&self) -> &str {
        self.data["transaction_id"].as_str().unwrap_or_else(|| panic!("of no saga: {self:?}"))
    }

    /// Returns a short form: the saga's status, with `!` at the end of the saga; or the step and its state.
    pub fn brief(&self) -> String {
        let text = |field: &str| self.data[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned();
        assert_eq!(self.name, text("kind"), "{self:?}");
        match self.name.as_str() {
            "saga" if self.data["ended"] == true => format!("{}!", text("status")),
            "saga" => text("status"),
            "step" => format!("{} {}", text("step"), text("state")),
            other => other.to_owned(),
        }
    }
}

/// An open stream.
pub struct Listener {
    stream: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    /// The `Last-Event-ID` for a reconnect.
    pub last_id: String,
    /// Wait before a reconnect that the server asks of clients, in milliseconds.
    pub retry_ms: u64,
}

impl Listener {
    /// Opens a stream of the orchestrator; `query` starts with `?`.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(stack: &Stack, query: &str) -> Self {
        Self::open_at(stack, stack.address(ORCHESTRATOR), query).await
    }

    /// Opens a stream of one replica.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open_at(stack: &Stack, address: SocketAddr, query: &str) -> Self {
        Self::of(request(stack, address, query)).await
    }

    /// Reconnects with the id of the last event, as browsers do.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn come_back(stack: &Stack, query: &str, last_id: &str) -> Self {
        Self::of(request(stack, stack.address(ORCHESTRATOR), query).header("last-event-id", last_id)).await
    }

    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("somebody answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener =
            Self { stream: Box::pin(SseByteStream::new(response.bytes_stream())), last_id: String::new(), retry_ms: 0 };
        // The stream starts with a mark of its position.
        let mark = timeout(PATIENCE, listener.item()).await.expect("a mark comes at once");
        let mark = mark.expect("a stream begins with a mark");
        assert!(mark.data.is_none(), "{mark:?}");
        listener.retry_ms = mark.retry.expect("a mark says when to come back");
        listener.last_id = mark.id.expect("a mark has an id");
        listener
    }

    /// Waits for the next event; `None` at the end of the stream.
    ///
    /// # Panics
    /// When none arrives in time, or the item is not an event.
    pub async fn next(&mut self) -> Option<Event> {
        // One timeout for the whole wait: the marks of an idle stream do not extend it.
        timeout(PATIENCE, self.event()).await.expect("an event comes")
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            let Sse { event, data, id, .. } = self.item().await?;
            let id = id.expect("everything has an id");
            self.last_id.clone_from(&id);
            if let Some(data) = data {
                let data = serde_json::from_str(&data).expect("an event is JSON");
                return Some(Event { id, name: event.expect("an event has a name"), data });
            }
        }
    }

    /// Collects events up to and including the first one that fulfills the condition.
    ///
    /// # Panics
    /// When the stream ends before it.
    pub async fn until(&mut self, mut is_last: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended after {events:#?}"));
            let stop = is_last(&event);
            events.push(event);
            if stop {
                return events;
            }
        }
    }

    async fn item(&mut self) -> Option<Sse> {
        match self.stream.next().await {
            None | Some(Err(_)) => None,
            Some(Ok(item)) => Some(item),
        }
    }
}

fn request(stack: &Stack, address: SocketAddr, query: &str) -> RequestBuilder {
    stack.request_at(Method::GET, address, &format!("/saga/events{query}"))
}
