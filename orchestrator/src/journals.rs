//! The participants' journals, read over HTTP: `GET /journal/{saga id}/`.

use std::collections::BTreeMap;
use std::time::Duration;

use common::config::Settings;
use common::http::{HeaderValue, StatusCode, bearer, outgoing_bearer, read_answer};
use common::reason::with_causes;
use common::wire::journal::{JournalEntry, JournalView};
use saga_engine::SagaId;
use saga_engine::definition::{Definition, Effect};
use smol_str::SmolStr;

/// Time limit for one participant's answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The journals of several participants, by the participant's name.
#[derive(Debug)]
pub struct Journals(BTreeMap<SmolStr, Journal>);

/// The way to one participant's journal.
#[derive(Clone, Debug)]
pub struct Journal {
    http: reqwest::Client,
    url: String,
    bearer: Option<HeaderValue>,
}

impl Journals {
    /// Returns the journals of the participants that users name, as far as their settings say that they have one.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn of_named(settings: &Settings) -> Result<Journals, reqwest::Error> {
        let http2 = client().http2_prior_knowledge().build()?;
        let negotiated = client().build()?;
        let named = settings.named_participants.iter().filter(|(_, named)| named.journal);
        let journals = named.map(|(name, named)| {
            let has_http2 = named.http2 && named.url.starts_with("http://");
            let http = if has_http2 { http2.clone() } else { negotiated.clone() };
            (name.into(), Journal { http, url: named.url.clone(), bearer: bearer(&named.token) })
        });
        Ok(Journals(journals.collect()))
    }

    /// Adds the journals of our own participants: of those with a step that has an effect.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn and_of_ours<'d>(
        mut self,
        settings: &Settings,
        definitions: impl Iterator<Item = &'d Definition>,
    ) -> Result<Journals, reqwest::Error> {
        let http = client().http2_prior_knowledge().build()?;
        let bearer = outgoing_bearer(&settings.auth);
        let steps = definitions.flat_map(|definition| definition.steps());
        for step in steps.filter(|step| !matches!(step.effect, Effect::ReadOnly { .. })) {
            if let Some(service) = settings.services.get(&*step.participant) {
                let journal = Journal { http: http.clone(), url: service.url.clone(), bearer: bearer.clone() };
                self.0.insert(step.participant.clone(), journal);
            }
        }
        Ok(self)
    }

    /// Returns every journal with its participant.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Journal)> {
        self.0.iter()
    }
}

fn client() -> reqwest::ClientBuilder {
    common::tls::internal_client().timeout(TIMEOUT)
}

impl Journal {
    /// Reads the decisions about a saga.
    ///
    /// # Errors
    /// The reason, without the address, if there is no answer in time, or none that is a journal.
    pub async fn read(&self, id: SagaId) -> Result<Vec<JournalEntry>, String> {
        let mut request = self.http.get(format!("{}/journal/{id}/", self.url));
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", bearer);
        }
        let response = request.send().await.map_err(|error| with_causes(&error.without_url()))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        let body = read_answer(reqwest::Body::from(response)).await?;
        let view: JournalView = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(view.entries)
    }
}
