//! `POST /sagas`: starts a saga of any definition, or of steps that come with it.

use std::sync::Arc;

use common::fields::{FieldError, Fields, RequestBody, read};
use common::http::{ApiError, Request, Response};
use common::request_hash::{HASH_VERSION, RequestHash};
use saga_definitions::limits::MAX_NAME;
use saga_definitions::{InputError, SagaFile, read_exactly};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::rejected;
use crate::api::ApiContext;
use crate::api::start;
use crate::definitions::{INLINE, NotFound};
use crate::store::reader::KeyHolder;
use saga_engine::definition::{Definition, Input};
use saga_engine::record::Fingerprint;

/// `POST /sagas`: a definition by its name, or steps.
#[derive(Clone, Debug, PartialEq, ToSchema)]
#[schema(as = SagaRequest)]
pub(in crate::api) struct SagaRequest {
    /// Name of the definition; absent with `steps`.
    #[schema(max_length = 63)]
    pub(super) definition: Option<String>,
    /// Version of the definition; the highest that all live nodes know if omitted.
    #[schema(minimum = 1)]
    pub(super) version: Option<i32>,
    /// The input, as the definition's schema describes it.
    #[schema(value_type = Option<Object>)]
    pub(super) input: Option<Value>,
    /// Steps in the form of a definition's, instead of a definition; `sagas.inline` allows them.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(super) steps: Option<Value>,
}

fn read_input(value: &RawValue) -> Result<Value, Vec<FieldError>> {
    read_exactly(value.get()).map_err(|errors| errors_below("/input", errors))
}

fn read_steps(value: &RawValue) -> Result<Value, Vec<FieldError>> {
    match read_exactly(value.get()).map_err(|errors| errors_below("/steps", errors))? {
        steps @ Value::Array(_) => Ok(steps),
        _ => Err(vec![FieldError::new("steps", "expected an array of steps")]),
    }
}

fn errors_below(field: &str, errors: Vec<InputError>) -> Vec<FieldError> {
    let below = |InputError { pointer, detail }| FieldError::new(format!("{field}{pointer}"), detail);
    errors.into_iter().map(below).collect()
}

impl RequestBody for SagaRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let definition = fields.optional("definition", read::text(MAX_NAME));
        let version = fields.optional("version", read::integer(1..=i64::from(i32::MAX)));
        let input = fields.optional_parts("input", read_input);
        let steps = fields.optional_parts("steps", read_steps);
        Some(Self { definition, version, input, steps })
    }
}

/// The saga that a request starts.
pub(in crate::api) struct Wanted {
    definition: String,
    version: Option<i32>,
    /// As the row holds it.
    input: Input,
}

pub(in crate::api) async fn start(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let SagaRequest { definition, version, input, steps } = request.json(ApiError::bad_fields_422)?;
    let input = input.unwrap_or_else(|| json!({}));
    let wanted = match (definition, steps) {
        (Some(definition), None) => {
            api.definitions.check_startable(&definition).map_err(not_found)?;
            Wanted { definition, version, input: Input::new(input) }
        }
        (None, Some(steps)) if api.definitions.allows_inline() => {
            let input = Input::new(json!({ "steps": steps, "input": input }));
            Wanted { definition: INLINE.to_owned(), version: None, input }
        }
        (None, Some(_)) => {
            return Err(ApiError::bad_field_422(
                "steps",
                "steps that come with a saga are off: set sagas.inline = true",
            ));
        }
        (Some(_), Some(_)) => return Err(ApiError::bad_field_422("steps", "give either a definition or steps")),
        (None, None) => return Err(ApiError::bad_field_422("definition", "is required")),
    };
    start::start(api, request, start::Wanted::Saga(wanted)).await
}

fn not_found(error: NotFound) -> ApiError {
    match error {
        NotFound::Name(_) | NotFound::StartedElsewhere { .. } => {
            ApiError::bad_field_422("definition", error.to_string())
        }
        NotFound::Version(..) => ApiError::bad_field_422("version", error.to_string()),
        NotFound::NotEverywhere(_) => ApiError::unavailable(error.to_string(), 1),
    }
}

impl Wanted {
    /// The version is not part of it: a repeat without one attaches to its saga whatever the newest version is now.
    pub(in crate::api) fn fingerprint(&self) -> Fingerprint {
        let contents = [Some(self.definition.clone()), Some(self.input.to_string())];
        let hash = RequestHash::of("saga", &contents).as_bytes().to_vec();
        Fingerprint { version: HASH_VERSION, hash }
    }

    /// Tells whether the saga that holds the key was started by an equal request.
    pub(in crate::api) fn equals(&self, fingerprint: &Fingerprint, holder: &KeyHolder) -> bool {
        let KeyHolder { saga, fingerprint: stored } = holder;
        let same_version = self.version.is_none_or(|version| version == saga.definition_version);
        let compared = stored.as_ref().and_then(|stored| fingerprint.equals_stored(stored));
        same_version && compared.unwrap_or_else(|| saga.definition == self.definition && saga.input == self.input)
    }

    /// Returns the definition and the input of the new saga.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(in crate::api) async fn resolve(&self, api: &ApiContext) -> Result<(Arc<Definition>, Input), ApiError> {
        let input = self.input.clone();
        if self.definition == INLINE && self.version.is_none() && input.get("steps").is_some() {
            let inline = api.definitions.inline(&input);
            let (file, definition) = inline.map_err(|problems| rejected(problems, "steps"))?;
            check(&file, input.get("input").unwrap_or(&Value::Null))?;
            return Ok((definition, input));
        }
        let given = api.definitions.resolve(&self.definition, self.version).map_err(not_found)?;
        check(&given.file, &input)?;
        Ok((given.definition.clone(), input))
    }
}

fn check(file: &SagaFile, input: &Value) -> Result<(), ApiError> {
    file.check_input(input).map_err(|errors| ApiError::bad_fields_422(errors_below("/input", errors)))
}
