//! A schema as a graph: each subschema with the subschemas that it applies, to the same value or to the values in it.
//!
//! References and patterns are resolved once, so that [`super::work`] follows indices only.

use std::collections::{BTreeMap, HashMap};
use std::ptr;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{options, referred};

/// Index of a subschema; the schema itself is 0.
pub(super) type Index = usize;

/// A subschema. Each field has the name of its keyword, or of what its keywords have in common.
#[derive(Default)]
pub(super) struct Subschema {
    /// Whether more than one subschema applies it.
    pub(super) is_shared: bool,

    /// `allOf`, `$ref` and `$dynamicRef`: all of them have to be valid.
    pub(super) conjuncts: Vec<Index>,
    pub(super) any_of: Vec<Index>,
    pub(super) one_of: Vec<Index>,
    pub(super) not: Option<Index>,
    pub(super) condition: Option<Index>,
    pub(super) then: Option<Index>,
    pub(super) otherwise: Option<Index>,
    pub(super) dependent: Vec<(String, Index)>,

    pub(super) properties: BTreeMap<String, Index>,
    pub(super) patterns: Vec<(Validator, Index)>,
    pub(super) additional: Option<Index>,
    pub(super) names: Option<Index>,
    pub(super) prefix: Vec<Index>,
    pub(super) items: Option<Index>,
    pub(super) contains: Option<Index>,
    pub(super) unevaluated_properties: Option<Index>,
    pub(super) unevaluated_items: Option<Index>,

    /// Values of `enum` that are compared one by one.
    pub(super) compared_values: u64,
    pub(super) has_unique_items: bool,
    /// Whether texts are read from end to end: `pattern` and `format`.
    pub(super) reads_text: bool,
    /// Members whose value is one of a few strings.
    pub(super) discriminators: Vec<Discriminator>,
}

/// A member that tells which branch of a schema an object is meant for, such as `kind`.
pub(super) struct Discriminator {
    pub(super) name: String,
    pub(super) values: Vec<String>,
    pub(super) is_required: bool,
}

impl Subschema {
    pub(super) fn branches(&self) -> impl Iterator<Item = Index> {
        self.any_of.iter().chain(&self.one_of).copied()
    }

    pub(super) fn has_unevaluated(&self) -> bool {
        self.unevaluated_properties.is_some() || self.unevaluated_items.is_some()
    }

    /// Returns the subschemas applied to the same value, without those of `conjuncts` and branches.
    pub(super) fn others_in_place(&self) -> impl Iterator<Item = Index> {
        let single = [self.not, self.condition, self.then, self.otherwise];
        single.into_iter().flatten().chain(self.dependent.iter().map(|(_, index)| *index))
    }

    /// Returns the subschemas applied to members, names and items.
    pub(super) fn children(&self) -> impl Iterator<Item = Index> {
        let unevaluated = [self.unevaluated_properties, self.unevaluated_items];
        let single = [self.additional, self.names, self.items, self.contains].into_iter().chain(unevaluated);
        let patterns = self.patterns.iter().map(|(_, index)| *index);
        single.flatten().chain(self.properties.values().copied()).chain(self.prefix.iter().copied()).chain(patterns)
    }

    /// Tells whether it may apply two subschemas to one value, or one subschema twice.
    pub(super) fn forks(&self) -> bool {
        let has_children = self.children().next().is_some();
        let in_place = self.conjuncts.len() + self.others_in_place().count() + usize::from(has_children);
        let per_member = usize::from(!self.properties.is_empty()) + self.patterns.len();
        let per_item = usize::from(self.items.is_some() || !self.prefix.is_empty());
        let has_branches = self.branches().next().is_some();
        in_place > 1
            || per_member > 1
            || per_item + usize::from(self.contains.is_some()) > 1
            || has_branches
            || self.has_unevaluated()
    }
}

/// Returns the subschemas that checks of inputs reach.
pub(super) fn of_schema(schema: &Value) -> Vec<Subschema> {
    let mut graph = Graph { root: schema, indices: HashMap::new(), subschemas: Vec::new() };
    graph.index(schema);
    // The start of a check counts as one more that applies it.
    graph.subschemas[0].is_shared = true;
    graph.subschemas
}

struct Graph<'a> {
    root: &'a Value,
    /// By address, since equal subschemas may be at several places.
    indices: HashMap<usize, Index>,
    subschemas: Vec<Subschema>,
}

impl<'a> Graph<'a> {
    fn index(&mut self, schema: &'a Value) -> Index {
        let address = ptr::from_ref(schema) as usize;
        if let Some(index) = self.indices.get(&address) {
            self.subschemas[*index].is_shared = true;
            return *index;
        }
        let index = self.subschemas.len();
        self.indices.insert(address, index);
        self.subschemas.push(Subschema::default());
        if let Value::Object(keywords) = schema {
            let subschema = self.subschema(index, keywords);
            // A reference in it may have led back to it.
            let is_shared = self.subschemas[index].is_shared;
            self.subschemas[index] = Subschema { is_shared, ..subschema };
        }
        index
    }

    fn subschema(&mut self, own: Index, keywords: &'a Map<String, Value>) -> Subschema {
        let root = self.root;
        let references = ["$ref", "$dynamicRef"].into_iter().filter_map(|keyword| keywords.get(keyword)?.as_str());
        let referred = references.filter_map(|reference| referred(root, reference));
        let referred: Vec<Index> = referred.map(|schema| self.index(schema)).collect();
        let mut conjuncts = self.list(keywords.get("allOf"));
        // The library skips a reference of a subschema to itself.
        conjuncts.extend(referred.into_iter().filter(|index| *index != own));
        let mut dependent = self.table(keywords.get("dependentSchemas"));
        dependent.extend(self.table(keywords.get("dependencies")));
        let patterns = self.table(keywords.get("patternProperties")).into_iter();
        // Patterns were checked before.
        let pattern = |(pattern, index)| Some((options().build(&json!({ "pattern": pattern })).ok()?, index));
        Subschema {
            is_shared: false,
            conjuncts,
            any_of: self.list(keywords.get("anyOf")),
            one_of: self.list(keywords.get("oneOf")),
            not: self.one(keywords.get("not")),
            condition: self.one(keywords.get("if")),
            then: self.one(keywords.get("then")),
            otherwise: self.one(keywords.get("else")),
            dependent,
            properties: self.table(keywords.get("properties")).into_iter().collect(),
            patterns: patterns.filter_map(pattern).collect(),
            additional: self.one(keywords.get("additionalProperties")),
            names: self.one(keywords.get("propertyNames")),
            prefix: self.list(keywords.get("prefixItems")),
            items: self.one(keywords.get("items")),
            contains: self.one(keywords.get("contains")),
            unevaluated_properties: self.one(keywords.get("unevaluatedProperties")),
            unevaluated_items: self.one(keywords.get("unevaluatedItems")),
            compared_values: keywords.get("enum").map_or(0, compared_values),
            has_unique_items: keywords.get("uniqueItems") == Some(&Value::Bool(true)),
            reads_text: keywords.contains_key("pattern") || keywords.contains_key("format"),
            discriminators: discriminators(keywords),
        }
    }

    fn one(&mut self, schema: Option<&'a Value>) -> Option<Index> {
        schema.map(|schema| self.index(schema))
    }

    fn list(&mut self, schemas: Option<&'a Value>) -> Vec<Index> {
        schemas.and_then(Value::as_array).into_iter().flatten().map(|schema| self.index(schema)).collect()
    }

    fn table(&mut self, schemas: Option<&'a Value>) -> Vec<(String, Index)> {
        let schemas = schemas.and_then(Value::as_object).into_iter().flatten();
        schemas.map(|(name, schema)| (name.clone(), self.index(schema))).collect()
    }
}

/// Returns how many values of an `enum` the library compares one by one: of strings and integers it makes a set.
fn compared_values(values: &Value) -> u64 {
    let is_in_set = |value: &Value| value.is_null() || value.is_string() || value.as_i64().is_some();
    match values.as_array() {
        Some(values) if !values.iter().all(is_in_set) => values.len() as u64,
        _ => 0,
    }
}

fn discriminators(keywords: &Map<String, Value>) -> Vec<Discriminator> {
    let required = keywords.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|names| names.iter().any(|required| required == name));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = |schema: &Value| match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => text(value).map(|value| vec![value]),
        (None, values) => values?.as_array()?.iter().map(text).collect(),
    };
    let properties = keywords.get("properties").and_then(Value::as_object).into_iter().flatten();
    let discriminator = |(name, schema): (&String, &Value)| {
        Some(Discriminator { name: name.clone(), values: values(schema)?, is_required: is_required(name) })
    };
    properties.filter_map(discriminator).collect()
}
