//! The deployment files, read as their tools would read them: this suite checks line by line where the tests cannot run
//! the tools. `docker/try.sh` runs the rest.
//!
//! The code's services are the reference: each must be in every file, with its port and role, and reachable through
//! Traefik by exactly the routes promised to clients.

mod allowed_paths;
mod compose;
mod environment;
mod files;
mod image;
mod kubernetes;
mod network;
mod pinned;
mod routes;
mod rule;
mod swarm;
mod traefik;
