//! Completion of ids in a shell: the newest sagas whose ids have the typed part.
//!
//! A shell waits for it, so it gives up after a moment; then nothing is completed.

use std::{env, ffi::OsStr, time::Duration};

use clap::Parser;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use tokio::{runtime, time::timeout};

use super::{Candidate, SagaId, saga_id};
use crate::{
    client::Target,
    ending::Failure,
    output::{Format, View},
};

/// Longest wait for the orchestrator.
const PATIENCE: Duration = Duration::from_secs(1);
/// Maximum number of ids offered.
const OFFERED: usize = 20;

/// The words typed so far that choose the orchestrator; the others are ignored.
#[derive(Parser)]
#[command(ignore_errors = true, disable_help_flag = true)]
struct Words {
    #[command(flatten)]
    target: Target,
}

/// Completes the id of a saga.
pub(crate) fn completer() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| current.to_str().and_then(offered).unwrap_or_default())
}

fn offered(current: &str) -> Option<Vec<CompletionCandidate>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let target = target_of(env::args())?;
    let (sagas, view) = runtime.block_on(async { timeout(PATIENCE, with_part(&target, current)).await }).ok()?.ok()?;
    let candidate = |saga: &Candidate| {
        CompletionCandidate::new(saga.transaction_id.to_string()).help(Some(saga.shown(&view).into()))
    };
    Some(sagas.iter().map(candidate).collect())
}

/// Returns the target that the words of a command line name. Shells pass them after `--`.
fn target_of(arguments: impl Iterator<Item = String>) -> Option<Target> {
    let words: Vec<String> = arguments.skip_while(|argument| argument != "--").skip(1).collect();
    let names = |word: &&String| word.starts_with("--target") || word.starts_with("--token");
    let mut chosen = vec!["ecommerce"];
    for (index, word) in words.iter().enumerate().filter(|(_, word)| names(word)) {
        chosen.push(word);
        if !word.contains('=') {
            chosen.extend(words.get(index + 1).map(String::as_str));
        }
    }
    Words::try_parse_from(chosen).ok().map(|words| words.target)
}

/// Returns the newest sagas whose ids begin with the part, or, if there are none, end with it.
async fn with_part(target: &Target, part: &str) -> Result<(Vec<Candidate>, View), Failure> {
    let digits: String = part.chars().filter(|character| *character != '-').collect();
    if digits.is_empty() || digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        let found = target.with_beginning(&digits.to_ascii_lowercase(), OFFERED).await?;
        if !found.0.is_empty() {
            return Ok(found);
        }
    }
    match saga_id(part) {
        Ok(SagaId::Part(digits)) => target.with_end(&digits).await,
        Ok(SagaId::Whole(_)) | Err(_) => Ok((Vec::new(), View::now(Format::Table))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orchestrator_of_the_typed_words_is_asked() {
        let url = |line: &str| {
            let target = target_of(line.split(' ').map(str::to_owned)).unwrap();
            target.url(&[]).unwrap().to_string()
        };
        assert_eq!(url("ecommerce -- ecommerce status --target http://shop:1 01"), "http://shop:1/");
        assert_eq!(url("ecommerce -- ecommerce cancel 01 --json --target=http://shop:2/x"), "http://shop:2/x");
        assert_eq!(url("ecommerce -- ecommerce resolve 01 --note"), "http://127.0.0.1:8000/");
    }
}
