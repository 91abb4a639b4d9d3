//! Schemas without a type of ours: path and query parameters, and values with two forms.

use std::ops::RangeInclusive;

use utoipa::openapi::{
    KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
    schema::{AdditionalProperties, OneOfBuilder, Type},
};

/// A string with a length in characters from `min` to `max`.
pub fn text(min: usize, max: usize) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(min)).max_length(Some(max)).into()
}

/// Any string.
pub fn string() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// One of several words.
pub fn one_of(words: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
}

/// A string that matches a regular expression.
pub fn pattern(regex: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(regex)).into()
}

/// A UUID as a string.
pub fn uuid() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

/// A whole number in a range.
pub fn whole_number(range: RangeInclusive<i64>) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let schema = ObjectBuilder::new().schema_type(Type::Integer).format(Some(format));
    let schema = schema.minimum(Some(*range.start()));
    // A maximum of `i64::MAX` adds nothing to the format.
    let max = (*range.end() != i64::MAX).then_some(*range.end());
    schema.maximum(max).into()
}

/// An object with any members.
pub fn any_object() -> RefOr<Schema> {
    let any = AdditionalProperties::FreeForm(true);
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(any)).into()
}

/// A value in either of two forms.
pub fn either(one: RefOr<Schema>, other: RefOr<Schema>, description: &str) -> RefOr<Schema> {
    RefOr::T(OneOfBuilder::new().item(one).item(other).description(Some(description)).build().into())
}
