//! Sagas of any definition: `/sagas…`.

use common::fields::FieldError;
use common::http::ApiError;
use saga_definitions::{Place, Problem, Rejected};

pub(super) mod answer;
pub(super) mod definitions;
pub(super) mod describe;
pub(super) mod list;
mod outputs;
pub(super) mod run;
pub(super) mod show;
mod view;

pub(super) use self::run::Wanted;

/// 422 with the problems of a definition; `whole` is the name of the checked value.
fn rejected(Rejected(problems): Rejected, whole: &str) -> ApiError {
    let field = |problem: Problem| FieldError {
        field: match problem.place {
            Place::Pointer(pointer) if pointer.is_empty() => whole.to_owned(),
            Place::Pointer(pointer) => pointer,
            Place::Line(line) => format!("line {line}"),
        },
        message: problem.text,
    };
    ApiError::bad_fields_422(problems.into_iter().map(field).collect())
}
