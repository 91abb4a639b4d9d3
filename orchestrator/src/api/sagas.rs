//! Sagas of any definition: `/sagas…`.

pub(super) mod answer;
pub(super) mod definitions;
pub(super) mod describe;
pub(super) mod list;
mod outputs;
pub(super) mod run;
pub(super) mod show;
mod view;

pub(super) use self::run::Wanted;
