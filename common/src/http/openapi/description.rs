//! The description of a route.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, RefOr, Required, Response, ResponseBuilder, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::Ref,
    },
};

use super::Header;
use crate::http::error::Body as Problem;

/// Media type of bodies.
const JSON: &str = "application/json";
/// Media type of errors.
const PROBLEM_JSON: &str = "application/problem+json";

/// Describes a route: its parameters, its body and each of its own answers. The answers of the front are added when the
/// document is built.
#[derive(Clone)]
#[must_use]
pub struct Description {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) detail: Option<&'static str>,
    /// `None`: the tag of the service.
    pub(super) tag: Option<&'static str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) schemas: Schemas,
}

/// The schemas of types, by their names in the document.
#[derive(Clone, Default)]
pub(super) struct Schemas(pub(super) BTreeMap<String, RefOr<Schema>>);

impl Description {
    /// Creates a description. The id is the operation name in generated clients; the summary is one line.
    pub fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            detail: None,
            tag: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            schemas: Schemas::default(),
        }
    }

    /// Adds details to the summary, in Markdown.
    pub fn detail(self, detail: &'static str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Replaces the tag of the service.
    pub fn tag(self, tag: &'static str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Describes the path parameter `{name}` of the template.
    pub fn path(self, name: &'static str, schema: RefOr<Schema>, text: &'static str) -> Self {
        self.parameter(name, ParameterIn::Path, schema, text)
    }

    /// Describes an optional query parameter.
    pub fn query(self, name: &'static str, schema: RefOr<Schema>, text: &'static str) -> Self {
        self.parameter(name, ParameterIn::Query, schema, text)
    }

    /// Describes an optional request header.
    pub fn header(mut self, header: Header) -> Self {
        self.parameters.push(header.of_request());
        self
    }

    /// Describes the mandatory body, with a valid example.
    pub fn body<T: ToSchema>(self, example: Value) -> Self {
        self.with_body::<T>(Required::True, example)
    }

    /// Describes an optional body, with a valid example.
    pub fn optional_body<T: ToSchema>(self, example: Value) -> Self {
        self.with_body::<T>(Required::False, example)
    }

    /// Describes an answer with a JSON body. A status may have several bodies of different media types.
    pub fn answer<T: ToSchema>(mut self, status: u16, text: &'static str) -> Self {
        let schema = self.schemas.reference::<T>();
        self.answer_of(status, JSON, schema, text)
    }

    /// Describes an answer with a problem as its body.
    pub fn problem(mut self, status: u16, text: &'static str) -> Self {
        let schema = self.schemas.reference::<Problem<'_>>();
        self.answer_of(status, PROBLEM_JSON, schema, text)
    }

    /// Describes the 400 of participants for invalid fields. Requests that cannot be parsed get the same status.
    pub fn bad_fields_400(self) -> Self {
        self.problem(400, "Bad fields, listed in `errors`; or a malformed request.")
    }

    /// Describes the 422 of the orchestrator for invalid fields.
    pub fn bad_fields_422(self) -> Self {
        self.problem(422, "Bad fields, listed in `errors`.")
    }

    /// Describes an answer of any media type.
    pub fn answer_of(
        mut self,
        status: u16,
        media_type: &'static str,
        schema: RefOr<Schema>,
        text: &'static str,
    ) -> Self {
        let answer = self.answers.entry(status).or_insert_with(|| Response::new(text));
        if answer.description != text {
            answer.description = format!("{} {text}", answer.description);
        }
        answer.content.insert(media_type.to_owned(), RefOr::T(ContentBuilder::new().schema(Some(schema)).build()));
        self
    }

    /// Adds a header to an answer already described.
    ///
    /// # Panics
    /// If that answer is not described.
    pub fn mark(mut self, status: u16, header: Header) -> Self {
        let answer = self.answers.remove(&status).unwrap_or_else(|| panic!("{} has no answer {status}", self.id));
        let answer = ResponseBuilder::from(answer).header(header.name(), header.of_answer()).build();
        self.answers.insert(status, answer);
        self
    }

    fn parameter(mut self, name: &'static str, place: ParameterIn, schema: RefOr<Schema>, text: &'static str) -> Self {
        let required = if place == ParameterIn::Path { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(text))
            .schema(Some(schema))
            .build();
        self.parameters.push(parameter);
        self
    }

    fn with_body<T: ToSchema>(mut self, required: Required, example: Value) -> Self {
        let schema = self.schemas.reference::<T>();
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        self.body = Some(RequestBodyBuilder::new().required(Some(required)).content(JSON, content).build());
        self
    }
}

impl Schemas {
    /// Adds the schema of a type and of its parts, and returns a reference to it.
    pub(super) fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        parts.into_iter().for_each(|(name, schema)| self.insert(name, schema));
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    /// Adds the schemas of another description.
    pub(super) fn merge(&mut self, other: Schemas) {
        other.0.into_iter().for_each(|(name, schema)| self.insert(name, schema));
    }

    /// # Panics
    /// If two types have the same name: a programming error, found by the contract suite.
    fn insert(&mut self, name: String, schema: RefOr<Schema>) {
        if let Some(known) = self.0.get(&name) {
            assert!(*known == schema, "two types have the name {name}: rename one of them with #[schema(as = …)]");
        }
        self.0.insert(name, schema);
    }
}
