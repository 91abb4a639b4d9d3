//! docker/kubernetes
