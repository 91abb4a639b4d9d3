//! The failure lab follows its configuration file.

use std::{collections::BTreeSet, fs, path::Path};

use tests::{
    PATIENCE, Stack, StackOptions, actors,
    files::{TemporaryFolder, workspace},
    transactions, wait_until, with_stack,
};

use super::{buy, simple_order};

/// Replaces the file of a profile atomically, like an editor: by a rename.
fn write_profile(folder: &Path, text: &str) {
    let new = folder.join("bench.toml.new");
    fs::write(&new, text).expect("a temporary folder can be written");
    fs::rename(new, folder.join("bench.toml")).expect("a file can be replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_configuration_is_taken_up_while_running_and_a_broken_one_is_not() {
    let folder = TemporaryFolder::new();
    let calm = fs::read_to_string(workspace().join("config/bench.toml")).expect("the profile is there");
    for file in ["default.toml", "bench.toml"] {
        fs::copy(workspace().join("config").join(file), folder.path().join(file)).expect("it can be copied");
    }
    let stormy =
        calm.replace("[faults.payments.charge]\nfailure_rate = 0.0", "[faults.payments.charge]\nfailure_rate = 1.0");
    assert_ne!(stormy, calm);
    let options = StackOptions::default().folder(folder.path().to_owned());
    with_stack(options, async |stack: &Stack| {
        let rate = async || stack.get("payments", "/debug/faults").await.json()["charge"]["failure_rate"].clone();
        buy(stack, simple_order(1)).await.expect(200);
        write_profile(folder.path(), &stormy);
        wait_until("payments refuses", PATIENCE, async || (rate().await == 1.0).then_some(())).await;
        buy(stack, simple_order(2)).await.expect(409);

        // Only half of it is valid: all of it is rejected.
        write_profile(folder.path(), &format!("{calm}\n[faults.payments.nonsense]\nfailure_rate = 7\n"));
        let problems = wait_until("payments has read the broken file", PATIENCE, async || {
            let tree = actors::tree(stack, "payments").await;
            let problems = actors::named(&tree, "faults").state["problems"].clone();
            problems.as_array().is_some_and(|problems| !problems.is_empty()).then_some(problems)
        })
        .await;
        assert!(problems.to_string().contains("nonsense"), "{problems}");
        assert_eq!(rate().await, 1.0);
        buy(stack, simple_order(3)).await.expect(409);

        write_profile(folder.path(), &calm);
        wait_until("payments accepts", PATIENCE, async || (rate().await == 0.0).then_some(())).await;
        buy(stack, simple_order(4)).await.expect(200);
        let statuses: BTreeSet<String> =
            transactions::consistent(stack).await.into_values().map(|entry| entry.status).collect();
        assert_eq!(statuses.len(), 2, "{statuses:?}");
    })
    .await;
}
