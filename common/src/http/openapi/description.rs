//! What a route says of itself.

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

/// The media type of bodies.
const JSON: &str = "application/json";
/// The media type of errors.
const PROBLEM_JSON: &str = "application/problem+json";

/// Describes a route: its parameters, its body, and each of its own answers. What the front answers by itself is added
/// when the document is made.
#[derive(Clone)]
#[must_use]
pub struct Description {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) detail: Option<&'static str>,
    /// `None`: that of the service.
    pub(super) tag: Option<&'static str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) schemas: Schemas,
}

/// The schemas of types, by the names by which documents refer to them.
#[derive(Clone, Default)]
pub(super) struct Schemas(pub(super) BTreeMap<String, RefOr<Schema>>);

impl Description {
    /// Begins a description. The id is the name that generated clients give to the call; the summary is one line.
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

    /// Says more than the summary, in Markdown.
    pub fn detail(self, detail: &'static str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Puts it under another heading than the service's own.
    pub fn tag(self, tag: &'static str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Describes the place `{name}` of the template.
    pub fn path(self, name: &'static str, schema: RefOr<Schema>, text: &'static str) -> Self {
        self.parameter(name, ParameterIn::Path, schema, text)
    }

    /// Describes a parameter after the `?`, which may be left out.
    pub fn query(self, name: &'static str, schema: RefOr<Schema>, text: &'static str) -> Self {
        self.parameter(name, ParameterIn::Query, schema, text)
    }

    /// Describes a header of the request, which may be left out.
    pub fn header(mut self, header: Header) -> Self {
        self.parameters.push(header.of_request());
        self
    }

    /// Describes the body, which must be there, with one that is accepted.
    pub fn body<T: ToSchema>(self, example: Value) -> Self {
        self.with_body::<T>(Required::True, example)
    }

    /// Describes a body that may be left out, with one that is accepted.
    pub fn optional_body<T: ToSchema>(self, example: Value) -> Self {
        self.with_body::<T>(Required::False, example)
    }

    /// Describes an answer with a JSON body. A status may have several bodies of different media types.
    pub fn answer<T: ToSchema>(mut self, status: u16, text: &'static str) -> Self {
        let schema = self.schemas.reference::<T>();
        self.answer_of(status, JSON, schema, text)
    }

    /// Describes an answer that is a problem.
    pub fn problem(mut self, status: u16, text: &'static str) -> Self {
        let schema = self.schemas.reference::<Problem<'_>>();
        self.answer_of(status, PROBLEM_JSON, schema, text)
    }

    /// Describes the 400 of participants for bad fields. The same answer says that a request cannot be read at all.
    pub fn bad_fields_400(self) -> Self {
        self.problem(400, "Bad fields, each of them in `errors`; or the request cannot be read.")
    }

    /// Describes the 422 of the orchestrator for bad fields.
    pub fn bad_fields_422(self) -> Self {
        self.problem(422, "Bad fields, each of them in `errors`.")
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

    /// Adds a header to an answer that is described already.
    ///
    /// # Panics
    /// When there is no such answer.
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
    /// Keeps the schema of a type and of all that it is made of, and returns a reference to it.
    pub(super) fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        parts.into_iter().for_each(|(name, schema)| self.insert(name, schema));
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    /// Takes over the schemas of another description.
    pub(super) fn merge(&mut self, other: Schemas) {
        other.0.into_iter().for_each(|(name, schema)| self.insert(name, schema));
    }

    /// # Panics
    /// When two types have one name: a mistake in a program, which the contract suite finds.
    fn insert(&mut self, name: String, schema: RefOr<Schema>) {
        if let Some(known) = self.0.get(&name) {
            assert!(*known == schema, "two types are called {name}: name one of them with #[schema(as = …)]");
        }
        self.0.insert(name, schema);
    }
}
