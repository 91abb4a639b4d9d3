//! Admission: the rate of a client, its requests in flight, all requests in flight, and the place of the connection.

use hyper::header::HeaderMap;
use tokio::sync::SemaphorePermit;

use super::{RETRY_AFTER_S, RequestPipeline};
use crate::{
    http::{
        Access, ApiError, Because,
        client::{Client, IdentifiedBy, Room},
        head::Head,
        routes::{
            Admission,
            table::{Endpoint, Found},
        },
    },
    per_client::Share,
};

impl RequestPipeline {
    /// Rejects a client that exceeds its rate. This precedes the token check, so that guessing tokens is limited too.
    pub(super) fn limit_rate(
        &self,
        endpoint: &Endpoint,
        client: Option<Client>,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        let (Some(limit), Some(client)) = (&self.rate_limit, client) else { return Ok(()) };
        if endpoint.route.admission == Admission::Open || self.guard.is_one_of_us(headers) {
            return Ok(());
        }
        limit.check(client)
    }

    /// Rejects a request if its client has too many in flight. A client with its own connections is limited by their
    /// number instead.
    pub(super) fn share(
        &self,
        endpoint: &Endpoint,
        client: Option<Client>,
        headers: &HeaderMap,
    ) -> Result<Share, ApiError> {
        match client {
            Some(Client { address, identified_by: IdentifiedBy::Proxy })
                if endpoint.route.admission == Admission::Limited && !self.guard.is_one_of_us(headers) =>
            {
                self.at_work_of.take(address).ok_or_else(|| {
                    let detail = "too many requests from this client are in progress; nothing was done";
                    ApiError::unavailable(detail, RETRY_AFTER_S).because(Because::Requests)
                })
            }
            Some(_) | None => Ok(Share::uncounted()),
        }
    }

    /// Returns whether a request must be rejected because its connection is reserved for health, metrics and operators.
    pub(super) fn lacks_room(&self, found: &Found<'_>, head: &Head) -> bool {
        match (head.peer.map(|peer| peer.room), found) {
            (None | Some(Room::Free), _) => false,
            (Some(Room::Reserved), Found::Endpoint(Endpoint { route, .. }, _))
                if route.admission == Admission::Open || route.access == Access::Operator =>
            {
                false
            }
            (Some(Room::Reserved), _) => !self.guard.is_operator(&head.headers),
        }
    }

    /// Admits a request if the service has capacity. The permit is released when the handler has answered.
    pub(super) fn admit(&self, endpoint: &Endpoint) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        match endpoint.route.admission {
            Admission::Open => return Ok(None),
            Admission::Limited => {}
        }
        if self.draining.has_begun() && !endpoint.is_read() {
            return Err(ApiError::stopping(RETRY_AFTER_S));
        }
        match self.at_work.try_acquire() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) => {
                let detail = "too many requests are in progress; nothing was done";
                Err(ApiError::unavailable(detail, RETRY_AFTER_S).because(Because::Requests))
            }
        }
    }
}
