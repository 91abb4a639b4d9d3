//! The files by which the system is deployed, read as what reads them would: what cannot be run where the tests run is
//! checked here line by line. `docker/try.sh` runs what can be.
//!
//! The services of the code are the measure: each must be in every file, on its port, with its role, and reachable
//! through Traefik by exactly the routes that clients are promised.

mod compose;
mod environment;
mod files;
mod image;
mod kubernetes;
mod routes;
mod swarm;
