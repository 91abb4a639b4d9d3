//! The protocol as a list of rules. All hold in [`Rules::PROTOCOL`]; a test that disables one shows its purpose.

/// The rules that hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A node claims another node's saga only after that node's lease expired. Correctness must not depend on this
    /// rule.
    pub(crate) claims_wait_for_the_lease: bool,
    /// The sagas of a dead owner are claimed.
    pub(crate) the_dead_are_succeeded: bool,
    /// A claim raises the epoch.
    pub(crate) claims_raise_the_epoch: bool,
    /// A write changes the row only under the writer's epoch.
    pub(crate) writes_check_the_epoch: bool,
    /// A write changes the row only if the writer's process owns it.
    pub(crate) writes_check_the_owner: bool,
    /// The turn is durable before any compensation is sent.
    pub(crate) undo_waits_for_the_durable_turn: bool,
    /// A compensation that finds no action forbids it for ever.
    pub(crate) undos_leave_tombstones: bool,
    /// An action that was compensated is refused when it is repeated.
    pub(crate) what_was_undone_is_refused: bool,
    /// A successor that turns back undoes every step, whatever it knows of it.
    pub(crate) successors_undo_every_step: bool,
    /// A step is called once the steps before it are done.
    pub(crate) steps_wait_for_those_before: bool,
    /// A step is undone once the steps behind it are.
    pub(crate) steps_behind_are_undone_first: bool,
    /// When a step is refused, the steps called beside it may have happened.
    pub(crate) steps_beside_a_refused_one_may_have_happened: bool,
}

impl Rules {
    /// The protocol.
    pub(crate) const PROTOCOL: Self = Self {
        claims_wait_for_the_lease: true,
        the_dead_are_succeeded: true,
        claims_raise_the_epoch: true,
        writes_check_the_epoch: true,
        writes_check_the_owner: true,
        undo_waits_for_the_durable_turn: true,
        undos_leave_tombstones: true,
        what_was_undone_is_refused: true,
        successors_undo_every_step: true,
        steps_wait_for_those_before: true,
        steps_behind_are_undone_first: true,
        steps_beside_a_refused_one_may_have_happened: true,
    };
}
