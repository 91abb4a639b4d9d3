//! The second reading of a definition: requests and expectations of one step, with every placeholder checked against
//! the input schema and the order of the steps.

use std::sync::Arc;

use saga_engine::definition::Method;
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::graph::Graph;
use crate::headers::{Headers, parse_name};
use crate::outline::{Kind, StepOutline};
use crate::path::Path;
use crate::pointer::Pointer;
use crate::problem::{Problems, did_you_mean, listed};
use crate::reply::Reply;
use crate::schema::unknown_field;
use crate::source::{Data, Member, Node};
use crate::template::{self, InputPath, OutputName, Part, Source, sources};

/// The call of a step in which a placeholder is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Action,
    Compensation,
}

/// The names that placeholders of a step may use.
pub(crate) struct Requests<'a> {
    pub(crate) schema: &'a Value,
    pub(crate) steps: &'a [StepOutline<'a>],
    pub(crate) graph: &'a Graph,
    /// Index of the step.
    pub(crate) step: usize,
    pub(crate) role: Role,
}

/// A call, and its canonical form.
pub(crate) struct ReadCall {
    pub(crate) call: Call,
    pub(crate) canonical: Map<String, Value>,
}

pub(crate) const CALL_KEYS: [&str; 4] = ["method", "path", "body", "expect"];

impl Requests<'_> {
    /// Reads a call; `None` if it cannot be used, which is reported.
    pub(crate) fn read(&self, node: &Node, headers: Arc<Headers>, problems: &mut Problems) -> Option<ReadCall> {
        let what = self.what();
        let table = node.table(&what, &CALL_KEYS, problems)?;
        let method = table.required(&what, "method", "method = \"POST\"", problems);
        let method = method.and_then(|node| self.method(node, problems));
        let path_node = table.required(&what, "path", "path = \"/bookings\"", problems);
        let path = path_node.and_then(|node| self.path(node, problems));
        let body_node = table.get("body");
        let body = body_node.and_then(|node| self.body(node, problems));
        if let (Some(node), Some(Method::Get)) = (body_node, method) {
            problems.error(&node.place, format!("{what} is a GET with a body: remove the body, or use another method"));
        }
        self.warn_of_attempt(path_node, path.as_ref().map(|path| path.sources().collect()), problems);
        self.warn_of_attempt(body_node, body.as_ref().map(Body::sources), problems);
        let reply = self.reply(table.get("expect"), problems);
        let (method, path, path_text) = (method?, path?, path_node?.as_text()?.to_owned());

        let mut canonical = Map::new();
        canonical.insert("method".to_owned(), name(method).into());
        canonical.insert("path".to_owned(), json!(path_text));
        canonical.extend(body_node.map(|node| ("body".to_owned(), node.to_json())));
        if !reply.expect.is_empty() {
            canonical.extend(table.get("expect").map(|node| ("expect".to_owned(), node.to_json())));
        }
        Some(ReadCall { call: Call { method, path, path_text, headers, body, reply }, canonical })
    }

    fn step(&self) -> &StepOutline<'_> {
        &self.steps[self.step]
    }

    fn what(&self) -> String {
        let call = match self.role {
            Role::Action => "the action",
            Role::Compensation => "the compensation",
        };
        format!("{call} of {}", self.step().what())
    }

    fn method(&self, node: &Node, problems: &mut Problems) -> Option<Method> {
        let text = node.text("method", problems)?;
        let method = METHODS.into_iter().find(|method| name(*method) == text);
        if method.is_none() {
            let known = listed(METHODS.map(name));
            problems.error(&node.place, format!("method is {text:?}: write one of {known}"));
        }
        method
    }

    fn path(&self, node: &Node, problems: &mut Problems) -> Option<Path> {
        let parts = self.parts("path", node, problems)?;
        match Path::new(&parts) {
            Ok(path) => Some(path),
            Err(errors) => {
                errors.into_iter().for_each(|error| problems.error(&node.place, error));
                None
            }
        }
    }

    fn body(&self, node: &Node, problems: &mut Problems) -> Option<Body> {
        match &node.data {
            Data::Text(_) => Some(Body::string(self.parts("this text", node, problems)?)),
            Data::List(items) => {
                let bodies: Vec<_> = items.iter().map(|item| self.body(item, problems)).collect();
                Some(Body::list(bodies.into_iter().collect::<Option<_>>()?))
            }
            Data::Table(members) => {
                let members: Vec<_> = members.iter().map(|member| self.member(member, problems)).collect();
                Some(Body::object(members.into_iter().collect::<Option<_>>()?))
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Foreign(_) => Some(Body::fixed(node.to_json())),
        }
    }

    fn member(&self, Member { name, node }: &Member, problems: &mut Problems) -> Option<(String, Body)> {
        let has_brace = name.contains(['{', '}']);
        if has_brace {
            problems.error(&node.place, format!("the name {name:?} has a brace: placeholders stand in values only"));
        }
        let body = self.body(node, problems)?;
        (!has_brace).then(|| (name.clone(), body))
    }

    fn reply(&self, node: Option<&Node>, problems: &mut Problems) -> Reply {
        let mut reply = Reply::default();
        if self.role == Role::Action {
            let step = self.step();
            let outputs = step.outputs.iter();
            let key = |name: &str| OutputName::new(&step.name, name).key().clone();
            reply.outputs = outputs.map(|(name, pointer)| (key(name), pointer.clone())).collect();
        }
        let members = node.and_then(|node| node.members("expect", problems)).unwrap_or_default();
        for Member { name, node } in members {
            match Pointer::parse(name) {
                Ok(pointer) => reply.expect.extend(self.body(node, problems).map(|body| (pointer, body))),
                Err(advice) => problems.error(&node.place, format!("expect has the name {name:?}: {advice}")),
            }
        }
        reply
    }

    /// Reads the headers of the step, which all its calls carry. They are checked as those of the action: what has a value
    /// there has one in the compensation too.
    pub(crate) fn headers(&self, node: Option<&Node>, problems: &mut Problems) -> Headers {
        let mut headers = Headers::default();
        for Member { name, node } in node.and_then(|node| node.members("headers", problems)).unwrap_or_default() {
            let name = match parse_name(name) {
                Ok(lower) if headers.names().any(|other| *other == lower) => {
                    problems.error(&node.place, format!("the header {name} occurs twice: remove one"));
                    continue;
                }
                Ok(lower) => lower,
                Err(error) => {
                    problems.error(&node.place, error);
                    continue;
                }
            };
            let Some(parts) = self.parts("this header", node, problems) else { continue };
            if let Err(error) = headers.add(name, parts) {
                problems.error(&node.place, format!("{error}: write other ones"));
            }
        }
        headers
    }

    /// Splits a text at its placeholders and checks each; `None` if one is wrong, which is reported.
    fn parts(&self, what: &str, node: &Node, problems: &mut Problems) -> Option<Vec<Part>> {
        let text = node.text(what, problems)?;
        let parts = match template::parse(text) {
            Ok(parts) => parts,
            Err(errors) => {
                errors.into_iter().for_each(|error| problems.error(&node.place, error));
                return None;
            }
        };
        let errors: Vec<String> = sources(&parts).filter_map(|source| self.check(source).err()).collect();
        let is_right = errors.is_empty();
        errors.into_iter().for_each(|error| problems.error(&node.place, error));
        is_right.then_some(parts)
    }

    /// Checks that a placeholder can have a value; the error says why it never has.
    fn check(&self, source: &Source) -> Result<(), String> {
        match source {
            Source::SagaId | Source::Attempt | Source::StepKey => Ok(()),
            Source::Input(path) => self.check_input(source, path),
            Source::Output(output) => self.check_output(source, output),
        }
    }

    fn check_input(&self, source: &Source, path: &InputPath) -> Result<(), String> {
        let Some(known) = unknown_field(self.schema, path) else { return Ok(()) };
        let last = path.keys.last().map(String::as_str).unwrap_or_default();
        let meant = did_you_mean(last, known.iter().copied());
        let known = listed(known);
        Err(format!(
            "{source} can never have a value: the input schema has no such field{meant}; add it to properties of [input], \
             or name one of the fields that are there: {known}"
        ))
    }

    fn check_output(&self, source: &Source, OutputName { step, name, .. }: &OutputName) -> Result<(), String> {
        let never = format!("{source} can never have a value");
        let Some(index) = self.steps.iter().position(|other| other.name == *step) else {
            let meant = did_you_mean(step, self.steps.iter().map(|step| step.name.as_str()));
            return Err(format!("{never}: no step is called {step:?}{meant}; name a step before this one"));
        };
        if index == self.step {
            return Err(match self.role {
                Role::Action => format!("{never}: the reply to this very request makes it; use {{saga.id}}"),
                Role::Compensation => format!(
                    "{source} may have no value: whether the step happened may be unknown when it is undone; use {{saga.id}} \
                     or {{saga.step_key}} in action and compensation"
                ),
            });
        }
        let is_ordered = self.graph.cycle().is_none();
        if is_ordered && !self.graph.is_before(index, self.step) {
            let this = self.step().what();
            return Err(format!("{never}: step {step:?} does not come before {this}; add it to after"));
        }
        let outputs = &self.steps[index].outputs;
        if !outputs.iter().any(|(output, _)| output == name) {
            let meant = did_you_mean(name, outputs.iter().map(|(name, _)| name.as_str()));
            let known = listed(outputs.iter().map(|(name, _)| name.as_str()));
            return Err(format!("{never}: step {step:?} has no output {name:?}{meant}; its outputs are {known}"));
        }
        Ok(())
    }

    /// Participants compare the contents of a repetition with those of the first request.
    fn warn_of_attempt(&self, node: Option<&Node>, sources: Option<Vec<&Source>>, problems: &mut Problems) {
        let (Some(node), Some(sources)) = (node, sources) else { return };
        if self.step().kind != Kind::ReadOnly && sources.contains(&&Source::Attempt) {
            let text = "has {saga.attempt}, so no two attempts are the same request and the participant may do the work \
                        twice: use the header Saga-Attempt, which every call has";
            problems.warning(&node.place, format!("{} {text}", self.what()));
        }
    }
}

const METHODS: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

/// Returns the name of a method.
pub(crate) fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}
