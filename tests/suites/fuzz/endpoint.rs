//! A described route, as the input for generating requests.

use proptest::{prelude::*, sample::select};
use serde_json::Value;
use tests::api_description::ApiDescription;

use super::{
    attempt::{Attempt, Protocol, segment, with_query},
    headers, json,
};

/// A described route.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: String,
    /// The operation id.
    pub(crate) id: String,
    template: String,
    query: Vec<String>,
    headers: Vec<String>,
    /// A valid body, if the route takes one.
    example: Option<Value>,
}

impl Endpoint {
    /// Returns all routes of a service.
    pub(crate) fn all(description: &ApiDescription) -> Vec<Self> {
        let operations = description.operations();
        operations
            .iter()
            .map(|described| {
                let named = |place: &str| -> Vec<String> {
                    let parameters = described.operation["parameters"].as_array().into_iter().flatten();
                    let of_place = parameters.filter(|parameter| parameter["in"] == place);
                    of_place.filter_map(|parameter| Some(parameter["name"].as_str()?.to_owned())).collect()
                };
                let example = &described.operation["requestBody"]["content"]["application/json"]["example"];
                Self {
                    method: described.method.to_owned(),
                    id: described.operation["operationId"].as_str().expect("an operation has a name").to_owned(),
                    template: described.path.to_owned(),
                    query: named("query"),
                    headers: named("header"),
                    example: (!example.is_null()).then(|| example.clone()),
                }
            })
            .collect()
    }

    /// Generates requests, most of them nearly valid.
    pub(crate) fn attempts(&self, known_ids: &[String]) -> BoxedStrategy<Attempt> {
        let segments: Vec<BoxedStrategy<String>> = self
            .template
            .split('/')
            .map(|part| if part.starts_with('{') { segment(known_ids.to_vec()) } else { Just(part.to_owned()).boxed() })
            .collect();
        let path = segments.prop_map(|segments| segments.join("/"));
        let target = with_query(path.boxed(), self.query.clone(), known_ids.to_vec());
        let method = prop_oneof![
            12 => Just(self.method.clone()),
            1 => select(&OTHER_METHODS[..]).prop_map(str::to_owned),
        ];
        let parts = (method, target, headers::made_up(&self.headers), json::body(self.example.as_ref()));
        (parts, any::<Protocol>())
            .prop_map(|((method, target, headers, body), protocol)| Attempt { method, target, headers, body, protocol })
            .boxed()
    }
}

const OTHER_METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];
