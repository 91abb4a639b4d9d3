//! The part of kustomize that `docker/kubernetes` uses: a component whose fields take the values of a generated
//! ConfigMap, and components that add to lists. An expression that this module does not know is an error.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::files::{list, parse, read, text, yaml};

pub(crate) const FOLDER: &str = "docker/kubernetes";

/// All objects, as `kubectl kustomize` renders them, but for the namespace, the common label and the image.
pub(crate) fn objects() -> Vec<Value> {
    let entries = list(&yaml(&format!("{FOLDER}/kustomization.yaml"))["resources"]);
    entries.iter().flat_map(|entry| if entry.ends_with(".yaml") { documents(entry) } else { service(entry) }).collect()
}

fn documents(file: &str) -> Vec<Value> {
    read(&format!("{FOLDER}/{file}")).split("\n---\n").map(|document| parse(file, document)).collect()
}

/// The objects of one service: the component with the values of the service's ConfigMap.
fn service(name: &str) -> Vec<Value> {
    let own = yaml(&format!("{FOLDER}/{name}/kustomization.yaml"));
    let components = list(&own["components"]);
    assert_eq!(components[0], "../service", "{name}");
    let [generator] = &own["configMapGenerator"].as_array().expect("a generator")[..] else { panic!("{name}: one") };
    assert_eq!(text(&generator["name"]), name);
    assert_eq!(generator["options"]["annotations"]["config.kubernetes.io/local-config"], "true", "{name}");
    let values: BTreeMap<String, String> = list(&generator["literals"])
        .iter()
        .map(|literal| {
            literal.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).expect("key=value")
        })
        .collect();
    let component = yaml(&format!("{FOLDER}/service/kustomization.yaml"));
    let mut objects: Vec<Value> =
        list(&component["resources"]).iter().flat_map(|file| documents(&format!("service/{file}"))).collect();
    for replacement in component["replacements"].as_array().expect("replacements") {
        let key = text(&replacement["source"]["fieldPath"]);
        let value = &values[key.strip_prefix("data.").expect("a key of the ConfigMap")];
        for target in replacement["targets"].as_array().expect("targets") {
            let kind = &target["select"]["kind"];
            let object = objects.iter_mut().find(|object| object["kind"] == *kind).expect("an object of this kind");
            for path in list(&target["fieldPaths"]) {
                replace(find(object, &path), value, &target["options"]);
            }
        }
    }
    components[1..].iter().for_each(|component| patch(&mut objects, component));
    objects
}

/// Applies the patches of a component, which add members to lists.
fn patch(objects: &mut [Value], component: &str) {
    let folder = component.strip_prefix("../").expect("a folder beside the service's");
    let component = yaml(&format!("{FOLDER}/{folder}/kustomization.yaml"));
    for patch in component["patches"].as_array().expect("patches") {
        let kind = &patch["target"]["kind"];
        let object = objects.iter_mut().find(|object| object["kind"] == *kind).expect("an object of this kind");
        for operation in parse(folder, &text(&patch["patch"])).as_array().expect("operations") {
            assert_eq!(operation["op"], "add", "{folder}");
            let path = text(&operation["path"]);
            let place = path.strip_suffix("/-").expect("the end of a list");
            let members = object.pointer_mut(place).and_then(Value::as_array_mut).expect("a list");
            members.push(operation["value"].clone());
        }
    }
}

/// Finds a field. `[x]` is a key with dots in it, or the element whose `name`-like member has a value.
fn find<'o>(object: &'o mut Value, path: &str) -> &'o mut Value {
    let mut place = object;
    for step in steps(path) {
        let found = match (place, step.trim_matches(['[', ']']).split_once('=')) {
            (Value::Array(elements), Some((key, wanted))) => elements.iter_mut().find(|element| element[key] == wanted),
            (Value::Array(elements), None) => step.parse::<usize>().ok().and_then(|index| elements.get_mut(index)),
            (Value::Object(members), None) => members.get_mut(step.trim_matches(['[', ']'])),
            _ => None,
        };
        place = found.unwrap_or_else(|| panic!("no {step} of {path}"));
    }
    place
}

fn steps(path: &str) -> Vec<&str> {
    let mut in_brackets = false;
    path.split(|letter| {
        in_brackets = (in_brackets || letter == '[') && letter != ']';
        letter == '.' && !in_brackets
    })
    .collect()
}

/// Sets a scalar, which keeps its type, or one part of a text with a delimiter.
fn replace(field: &mut Value, value: &str, options: &Value) {
    *field = match (&*field, options["delimiter"].as_str()) {
        (Value::Number(_), None) => value.parse::<u16>().expect("a number").into(),
        (Value::String(_), None) => value.into(),
        (Value::String(before), Some(delimiter)) => {
            let mut parts: Vec<&str> = before.split(delimiter).collect();
            parts[options["index"].as_u64().and_then(|index| usize::try_from(index).ok()).expect("an index")] = value;
            parts.join(delimiter).into()
        }
        _ => panic!("{field} is no scalar"),
    };
}
