//! Trees under a paused clock: every back-off is exact and takes no real time.

mod kit;

use tokio::time::Instant;

use self::kit::*;
use super::*;

#[tokio::test(start_paused = true)]
async fn whatever_ends_an_actor_restarts_it_and_its_handle_follows() {
    let (stack, diary) = (stack(), Diary::default());
    let subject = mortal(&stack, "a", &diary);
    let root = start(spec(format!("{stack}/service"), 10, &[&subject])).await.unwrap();
    let deaths = [
        (MortalMsg::Panic, "told to panic"),
        (MortalMsg::Fail, "told to fail"),
        (MortalMsg::End, "ended unexpectedly"),
    ];
    for (restarts, (death, reason)) in (1..).zip(deaths) {
        let before = subject.handle.get().unwrap();
        subject.handle.cast(death).unwrap();
        wait_for_restart(&subject, restarts).await;
        let view = subject.entry.view();
        assert!(view.last_restart_reason.unwrap().contains(reason));
        assert_ne!(subject.handle.get().unwrap().get_id(), before.get_id());
        subject.handle.cast(MortalMsg::Note("lives")).unwrap();
        wait_until("a message", || diary.entries().last().unwrap() == "a lives").await;
    }
    assert_eq!(subject.entry.view().messages_handled, 6, "counted across restarts");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn each_restart_within_the_window_waits_twice_as_long_up_to_a_limit() {
    let (stack, diary) = (stack(), Diary::default());
    let subject = mortal(&stack, "a", &diary);
    let root = start(spec(format!("{stack}/service"), 10, &[&subject])).await.unwrap();
    let mut waits = Vec::new();
    for restarts in 1..=4 {
        let died_at = Instant::now();
        subject.handle.cast(MortalMsg::Panic).unwrap();
        wait_until("the death", || subject.entry.restarts() == restarts).await;
        assert_eq!(subject.entry.view().status, "restarting");
        assert_eq!(subject.handle.cast(MortalMsg::Panic), Err(ActorDown));
        wait_for_restart(&subject, restarts).await;
        waits.push(died_at.elapsed().as_millis());
    }
    for (wait, expected) in waits.iter().zip([50, 100, 150, 150]) {
        // The test itself polls once a millisecond.
        assert!((expected..expected + 5).contains(wait), "{waits:?}");
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    let died_at = Instant::now();
    subject.handle.cast(MortalMsg::Panic).unwrap();
    wait_for_restart(&subject, 5).await;
    assert!(died_at.elapsed() < Duration::from_millis(55), "the window has passed");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_counts_as_a_restart_and_is_tried_again() {
    for failure in [Start::Fails, Start::Panics, Start::Hangs] {
        let (stack, diary) = (stack(), Diary::default());
        let subject = mortal(&stack, "a", &diary);
        let mut patient = spec(format!("{stack}/service"), 10, &[&subject]);
        patient.budget.within = Duration::from_secs(100);
        let root = start(patient).await.unwrap();
        *subject.start.lock() = failure;
        subject.handle.cast(MortalMsg::Panic).unwrap();
        wait_until("two failed restarts", || subject.entry.restarts() == 3).await;
        let reason = subject.entry.view().last_restart_reason.unwrap();
        assert!(reason.contains("did not start"), "{reason}");
        *subject.start.lock() = Start::Works;
        wait_for_restart(&subject, 3).await;
        subject.handle.cast(MortalMsg::Note("lives")).unwrap();
        root.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_goes_up_one_level_and_at_the_top_the_tree_gives_up() {
    let (stack, diary) = (stack(), Diary::default());
    let (weak, sibling, cousin) =
        (mortal(&stack, "weak", &diary), mortal(&stack, "sibling", &diary), mortal(&stack, "cousin", &diary));
    let inner = supervisor(spec(format!("{stack}/service/inner"), 1, &[&weak, &sibling]));
    let inner_card = inner.entry.clone();
    let mut outer = spec(format!("{stack}/service"), 1, &[&cousin]);
    outer.children.push(inner);
    let root = start(outer).await.unwrap();

    // The inner supervisor's budget covers one death; the second one takes it down, once.
    weak.handle.cast(MortalMsg::Panic).unwrap();
    wait_for_restart(&weak, 1).await;
    weak.handle.cast(MortalMsg::Panic).unwrap();
    wait_until("the inner restart", || inner_card.restarts() == 1 && inner_card.view().status == "running").await;
    let entries = diary.entries();
    assert!(entries.contains(&"sibling stopped".to_owned()), "it stops in order: {entries:?}");
    assert!(!entries.contains(&"cousin stopped".to_owned()), "{entries:?}");
    let reason = inner_card.view().last_restart_reason.unwrap();
    assert!(reason.contains("weak") && reason.contains("told to panic"), "{reason}");
    sibling.handle.cast(MortalMsg::Note("lives")).unwrap();

    weak.handle.cast(MortalMsg::Panic).unwrap();
    wait_for_restart(&weak, 2).await;
    weak.handle.cast(MortalMsg::Panic).unwrap();
    let reason = root.gave_up().await;
    assert!(reason.contains("inner") && reason.contains("told to panic"), "{reason}");
    assert!(diary.entries().contains(&"cousin stopped".to_owned()), "{:?}", diary.entries());
    assert_eq!(root.entry.view().status, "failed");
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_works_off_mailboxes_and_goes_in_reverse_order_through_all_levels() {
    let (stack, diary) = (stack(), Diary::default());
    let subjects = ["1", "2", "3", "4"].map(|name| mortal(&stack, name, &diary));
    let [one, two, three, four] = &subjects;
    let mut outer = spec(format!("{stack}/service"), 1, &[one]);
    outer.children.push(supervisor(spec(format!("{stack}/service/inner"), 1, &[two, three])));
    outer.children.push(four.spec.clone());
    let root = start(outer).await.unwrap();
    for subject in &subjects {
        // The first message is being handled at the stop, the second is still queued.
        subject.handle.cast(MortalMsg::Rest).unwrap();
        subject.handle.cast(MortalMsg::Note("still heard")).unwrap();
    }
    root.stop(Duration::from_secs(5)).await;
    let entries = diary.entries();
    let stops: Vec<&String> = entries.iter().filter(|entry| entry.ends_with("stopped")).collect();
    assert_eq!(stops, ["4 stopped", "3 stopped", "2 stopped", "1 stopped"]);
    assert_eq!(entries.iter().filter(|entry| entry.ends_with("still heard")).count(), 4);
    assert!(subjects.iter().all(|subject| subject.entry.view().status == "stopped"));
    assert!(subjects.iter().all(|subject| subject.entry.restarts() == 0));
    let gave_up = tokio::time::timeout(Duration::from_secs(60), root.gave_up()).await;
    assert!(gave_up.is_err(), "a stopped tree has not given up");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_hangs_cannot_hold_up_a_stop() {
    let (stack, diary) = (stack(), Diary::default());
    let (hangs, well) = (mortal(&stack, "hangs", &diary), mortal(&stack, "well", &diary));
    let root = start(spec(format!("{stack}/service"), 1, &[&hangs, &well])).await.unwrap();
    hangs.handle.cast(MortalMsg::Hang).unwrap();
    let before = Instant::now();
    root.stop(Duration::from_secs(5)).await;
    assert_eq!(before.elapsed().as_secs(), 5);
    assert!(diary.entries().contains(&"well stopped".to_owned()));
    wait_until("the kill", || hangs.handle.cast(MortalMsg::End).is_err()).await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_whose_child_does_not_start_does_not_start_and_leaves_nothing_behind() {
    let (stack, diary) = (stack(), Diary::default());
    let (well, broken) = (mortal(&stack, "well", &diary), mortal(&stack, "broken", &diary));
    let tree = || spec(format!("{stack}/service"), 1, &[&well, &broken]);
    *broken.start.lock() = Start::Fails;
    let error = start(tree()).await.err().unwrap().to_string();
    assert!(error.contains("broken") && error.contains("cannot start"), "{error}");
    assert_eq!(diary.entries(), ["well started", "well stopped"]);
    *broken.start.lock() = Start::Works;
    let root = start(tree()).await.unwrap();
    root.stop(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn equal_trees_of_different_stacks_live_in_one_process() {
    let diary = Diary::default();
    let mut roots = Vec::new();
    for _ in 0..2 {
        let stack = stack();
        let subject = mortal(&stack, "a", &diary);
        roots.push(start(spec(format!("{stack}/service"), 1, &[&subject])).await.unwrap());
    }
    assert_eq!(diary.entries(), ["a started", "a started"]);
    for root in roots {
        root.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_cards_show_the_tree_and_find_each_actor() {
    let (stack, diary) = (stack(), Diary::default());
    let subject = mortal(&stack, "a", &diary);
    subject.entry.set_state(|| serde_json::json!({ "mood": "good" }));
    subject.entry.set_queue_depth(|| 7);
    let root = start(spec(format!("{stack}/service"), 1, &[&subject])).await.unwrap();
    let shown = ActorEntry::new(format!("{stack}/saga/1"), "saga");
    root.entry.set_children(|| vec![ActorEntry::new("brief", "saga").view()]);
    root.entry.set_find(move |name| shown.find(name));

    let view = root.entry.view();
    assert_eq!(view.status, "running");
    assert!(view.started_at.is_some());
    let names: Vec<&str> = view.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, [format!("{stack}/service/a").as_str(), "brief"]);
    assert_eq!(view.children[0].state["mood"], "good");
    assert_eq!(view.children[0].queue_depth, Some(7));
    for (name, kind) in
        [(format!("{stack}/service/a"), "mortal"), ("service/a".into(), "mortal"), ("saga/1".into(), "saga")]
    {
        assert_eq!(root.entry.find(&name).unwrap().kind, kind, "{name}");
    }
    assert!(root.entry.find("service/b").is_none());
    root.stop(Duration::from_secs(5)).await;
}

/// Work that notes each run, and panics in the second.
struct Noted(Diary);

impl Periodic for Noted {
    async fn run(&self) -> Duration {
        self.0.note("run");
        assert_ne!(self.0.entries().len(), 2, "told to panic");
        Duration::from_secs(1)
    }

    async fn stop(&self) {
        self.0.note("stop");
    }
}

#[tokio::test(start_paused = true)]
async fn periodic_work_is_repeated_after_each_rest_and_a_panic_restarts_its_actor() {
    let (stack, diary) = (stack(), Diary::default());
    let entry = ActorEntry::new(format!("{stack}/service/periodic"), "periodic");
    let mut tree = spec(format!("{stack}/service"), 1, &[]);
    tree.children.push(every(entry.clone(), Duration::from_secs(1), Noted(diary.clone())));
    let (began, root) = (Instant::now(), start(tree).await.unwrap());
    wait_until("the fourth run", || diary.entries().len() == 4).await;
    // A rest before each run, and a wait before the restart.
    assert_eq!(began.elapsed().as_secs(), 4);
    assert_eq!(entry.restarts(), 1);
    assert!(entry.view().last_restart_reason.unwrap().contains("told to panic"));
    root.stop(Duration::from_secs(5)).await;
    assert_eq!(diary.entries(), ["run", "run", "run", "run", "stop"]);
}
