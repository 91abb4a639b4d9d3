//! The front as its clients see it: without a socket in `front`, `access`, `cross_origin` and
//! `description`, on a real one in
//! `connections` and `lost_answers`.

mod access;
mod connections;
mod cross_origin;
mod description;
mod front;
mod kit;
mod lost_answers;
