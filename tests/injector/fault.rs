//! The faults that are injected.

use std::fmt;

use super::asked::Asked;

/// What goes wrong with a request, its answer or its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The answer comes later.
    Delay,
    /// The connection is reset; the API server never sees the request.
    Reset,
    /// The API server carries out the request, and the connection is reset instead of an answer.
    ResetLate,
    /// A connection that is kept alive is closed when the request arrives, without an answer.
    Closed,
    /// The connection is closed after a complete answer, which announced nothing of the kind.
    ClosedAfter,
    /// The connection is closed within the body.
    Truncated,
    /// 429, which asks to come back after a second.
    TooManyRequests,
    /// 500, as when etcd does not answer in time. A write may be carried out all the same.
    InternalError,
    /// 502 of a load balancer. A write may be carried out all the same.
    BadGateway,
    /// 503 of a load balancer.
    Unavailable,
    /// 504 of a load balancer. A write may be carried out all the same.
    GatewayTimeout,
    /// The login page of a proxy, with status 200. A write may be carried out all the same.
    Html,
    /// The first half of the JSON, as if it were all.
    HalfJson,
    /// The body comes byte by byte, more slowly than any deadline allows.
    Drip,
    /// A body of 200 MB.
    Large,
    /// 200 KB that are 200 MB once they are decompressed.
    Bomb,
    /// 410 for a page of a list that is not the first one.
    Expired,
    /// A watch that the server ends after its first event.
    WatchEnded,
    /// The page of a proxy that does not have this path.
    PageNotFound,
    /// A failure, as a Status with the status 200.
    FailureAsSuccess,
    /// A right answer from a server whose clock is years ahead.
    WrongDate,
    /// Every n-th connection is closed before anything is sent over it.
    Dropped,
}

impl Fault {
    /// Every fault.
    pub(crate) const ALL: [Self; 22] = [
        Self::Delay,
        Self::Reset,
        Self::ResetLate,
        Self::Closed,
        Self::ClosedAfter,
        Self::Truncated,
        Self::TooManyRequests,
        Self::InternalError,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
        Self::Html,
        Self::HalfJson,
        Self::Drip,
        Self::Large,
        Self::Bomb,
        Self::Expired,
        Self::WatchEnded,
        Self::PageNotFound,
        Self::FailureAsSuccess,
        Self::WrongDate,
        Self::Dropped,
    ];

    /// Those that are over in a moment, so that a client sends an idempotent request again.
    pub(crate) const TRANSIENT: [Self; 10] = [
        Self::Reset,
        Self::ResetLate,
        Self::Closed,
        Self::ClosedAfter,
        Self::Truncated,
        Self::TooManyRequests,
        Self::InternalError,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
    ];

    /// Whether this can happen to such a request. What happens to connections happens to no request.
    pub(super) fn can_befall(self, asked: &Asked) -> bool {
        match self {
            Self::Dropped => false,
            Self::Expired => asked.is_next_page,
            Self::WatchEnded => asked.is_stream,
            Self::Bomb => asked.accepts_gzip && !asked.is_upgrade,
            // Each needs the whole answer, and a stream has no end.
            Self::ResetLate | Self::ClosedAfter | Self::HalfJson | Self::Drip => !asked.is_stream && !asked.is_upgrade,
            Self::Truncated | Self::WrongDate => !asked.is_upgrade,
            _ => true,
        }
    }

    /// Whether it is only injected now and then: it makes the machine work hard, or is the truth if all answers agree on it.
    pub(crate) fn is_rare(self) -> bool {
        matches!(self, Self::Large | Self::Bomb | Self::WrongDate)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
