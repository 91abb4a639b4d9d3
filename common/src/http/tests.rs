//! Tests of the front from a client's view: without a socket in `front`, `access`, `cross_origin` and `description`, on
//! a real one in `calls`, `connections`, `clients`, `crowds`, `heads` and `lost_answers`.

mod access;
mod calls;
mod clients;
mod connections;
mod cross_origin;
mod crowds;
mod description;
mod front;
mod heads;
mod kit;
mod lost_answers;
