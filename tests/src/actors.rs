//! Reads supervision trees from `/debug/actors`.

use common::supervision::ActorView;

use crate::Stack;

/// Reads the supervision tree of a service.
///
/// # Panics
/// When the service does not return one.
pub async fn tree(stack: &Stack, service: &str) -> ActorView {
    let answer = stack.get(service, "/debug/actors").await.expect(200);
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}

/// Returns every actor of a tree, parents first.
pub fn all(root: &ActorView) -> Vec<&ActorView> {
    let mut actors = vec![root];
    actors.extend(root.children.iter().flat_map(all));
    actors
}

/// Returns the actor whose name ends in this part, `ledger` for `stack-1/payments/ledger`.
///
/// # Panics
/// When the tree has no such actor, or several.
pub fn named<'a>(root: &'a ActorView, name: &str) -> &'a ActorView {
    let ending = format!("/{name}");
    let found: Vec<_> = all(root).into_iter().filter(|actor| actor.name.ends_with(&ending)).collect();
    match found[..] {
        [actor] => actor,
        _ => panic!("{} actors are named {name} in {root:#?}", found.len()),
    }
}
