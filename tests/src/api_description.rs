//! A service's API description, and checks of real answers against it.
//!
//! ```text
//! GET /openapi.json ─► ApiDescription ── check(request, answer) ─► the description has this status, media type and
//!                                                                  headers, and the body matches its schema
//! ```

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::{Stack, http::Answer};

/// Headers with a meaning for clients: the description of an answer must list them.
const TELLING: [&str; 7] = [
    "allow",
    "idempotent-replayed",
    "location",
    "preference-applied",
    "retry-after",
    "saga-decision",
    "www-authenticate",
];

/// The API description of a service.
pub struct ApiDescription(Value);

/// One described operation.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path template.
    pub path: &'a str,
    /// The operation object of the document.
    pub operation: &'a Value,
}

impl ApiDescription {
    /// Requests the description of a service.
    ///
    /// # Panics
    /// When the service has none.
    pub async fn of(stack: &Stack, service: &str) -> Self {
        Self(stack.get(service, "/openapi.json").await.expect(200).json())
    }

    /// Returns the document.
    pub fn document(&self) -> &Value {
        &self.0
    }

    /// Returns all operations.
    ///
    /// # Panics
    /// When the document has no paths.
    pub fn operations(&self) -> Vec<Described<'_>> {
        let paths = self.0["paths"].as_object().expect("a document has paths");
        paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("a path has methods");
                methods.iter().map(move |(method, operation)| Described {
                    method: method_name(method),
                    path,
                    operation,
                })
            })
            .collect()
    }

    /// Checks an answer against the description of its operation.
    ///
    /// # Errors
    /// The first deviation from the description.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let operation = self.find(method, path).ok_or("the operation is not described")?;
        let responses = &operation["responses"];
        let response = self.resolve(&responses[answer.status.to_string()]);
        if response.is_null() {
            return Err(format!("the status {} is not described", answer.status));
        }
        let described = |name: &str| {
            let headers = response["headers"].as_object();
            headers.is_some_and(|headers| headers.keys().any(|header| header.eq_ignore_ascii_case(name)))
        };
        if let Some(silent) = TELLING.iter().find(|name| answer.header(name).is_some() && !described(name)) {
            return Err(format!("the header {silent} of {} is not described", answer.status));
        }
        let media_type = answer.header("content-type").unwrap_or_default();
        let schema = &response["content"][media_type]["schema"];
        if schema.is_null() {
            return Err(format!("a body of {media_type:?} is not described for {}", answer.status));
        }
        if media_type.ends_with("json") { self.validate(schema, &answer.json()) } else { Ok(()) }
    }

    /// Returns whether a path and its method are described.
    pub fn describes(&self, method: &str, path: &str) -> bool {
        self.find(method, path).is_some()
    }

    fn find(&self, method: &str, path: &str) -> Option<&Value> {
        let all = self.operations().into_iter().filter(|one| one.method == method);
        let fitting = all.filter_map(|one| Some((likeness(one.path, path)?, one.operation)));
        fitting.max_by_key(|(alike, _)| *alike).map(|(_, operation)| operation)
    }

    /// Checks a value against a schema of the document.
    ///
    /// # Errors
    /// Every deviation, with its place.
    pub fn validate(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let mut root = schema.as_object().cloned().unwrap_or_else(Map::new);
        // The schema's references point into the document.
        root.insert("components".to_owned(), json!({ "schemas": self.0["components"]["schemas"] }));
        let validator = validator(&Value::Object(root));
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{}\nin {value:#}", errors.join("\n"))) }
    }

    /// Follows a reference into the document.
    pub fn resolve<'a>(&'a self, thing: &'a Value) -> &'a Value {
        match thing["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.0.pointer(pointer).unwrap_or(&Value::Null),
            None => thing,
        }
    }
}

/// Compiles a schema; formats such as `uuid` are checked.
///
/// # Panics
/// When it is not a valid schema.
pub fn validator(schema: &Value) -> Validator {
    match jsonschema::options().should_validate_formats(true).build(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("no schema: {error}"),
    }
}

fn method_name(method: &str) -> &'static str {
    match method {
        "get" => "GET",
        "post" => "POST",
        "put" => "PUT",
        "delete" => "DELETE",
        _ => panic!("a path has a {method}"),
    }
}

/// Returns the number of literal segments of a template that a path matches; `None` if it does not match.
fn likeness(template: &str, path: &str) -> Option<usize> {
    let path = path.split('?').next().unwrap_or_default();
    let (mut template, mut path) = (template.trim_end_matches('/').split('/'), path.trim_end_matches('/').split('/'));
    let mut alike = 0;
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(alike),
            (Some(place), Some(_)) if place.starts_with('{') => {}
            (Some(expected), Some(found)) if expected == found => alike += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_template_with_the_fewest_places() {
        assert_eq!(likeness("/payments/{id}/", "/payments/7?x=/"), Some(2));
        assert_eq!(likeness("/payments/7/", "/payments/7"), Some(3));
        assert_eq!(likeness("/payments/", "/payments/7"), None);
        assert_eq!(likeness("/", ""), Some(1));
    }

    fn answer(status: u16, header: &'static str, body: &str) -> Answer {
        let headers = [("content-type", "application/json"), (header, "x")];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Answer { status, headers: headers.into_iter().collect(), text: body.to_owned() }
    }

    #[test]
    fn an_answer_that_is_not_as_described_is_found() {
        let schema = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } });
        let thing = json!({ "$ref": "#/components/schemas/Thing" });
        let ok = json!({ "headers": { "Location": {} }, "content": { "application/json": { "schema": thing } } });
        let description = ApiDescription(json!({
            "paths": { "/things/{id}/": { "get": { "responses": { "200": ok } } } },
            "components": { "schemas": { "Thing": schema } },
        }));
        let check = |path, answer: Answer| description.check("GET", path, &answer).is_ok();
        assert!(check("/things/1", answer(200, "location", "{\"id\":1}")));
        assert!(!check("/others/1", answer(200, "location", "{\"id\":1}")));
        assert!(!check("/things/1", answer(404, "location", "{\"id\":1}")));
        assert!(!check("/things/1", answer(200, "saga-decision", "{\"id\":1}")));
        assert!(!check("/things/1", answer(200, "location", "{\"id\":\"1\"}")));
        assert!(!check("/things/1", answer(200, "location", "{}")));
    }
}
