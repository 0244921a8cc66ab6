//! Records of DNS, and what they are asked for.

use std::fmt;

use hickory_proto::rr::RecordType;
use serde::{Deserialize, Serialize};

use crate::probe::fault::Got;

/// What a question for records is to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The port of the API's Service, by SRV.
    ApiPort,
    /// The name of the API's address, by PTR.
    ApiAddress,
    /// The addresses of the API's Service of the family that it does not have: there are none, and the name exists.
    OtherFamily,
    /// The version of the specification that the server follows, by TXT.
    Version,
    /// An alias, by CNAME: a Service of type ExternalName.
    Alias,
    /// An answer that does not fit into a datagram: SRV of a Service with many ports.
    LongAnswer,
    /// The addresses of all probes: a headless Service.
    Probes,
    /// A name that nothing in the cluster has.
    Nonexistent,
    /// A name outside of the cluster that the profile states.
    Outside,
    /// A name outside of the cluster that no server has, so that the servers which it is forwarded to must answer.
    Upstream,
    /// The addresses of a Service that existed before the run.
    Existing,
}

/// The type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// The name of an address.
    Ptr,
    /// A port.
    Srv,
    /// A text.
    Txt,
}

impl Kind {
    /// As a zone file writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Cname => Self::CNAME,
            Kind::Ptr => Self::PTR,
            Kind::Srv => Self::SRV,
            Kind::Txt => Self::TXT,
        }
    }
}

/// A record that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// What the question is to find out.
    pub purpose: Purpose,
    /// The type.
    pub kind: Kind,
    /// The name, fully qualified.
    pub name: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// A question for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordQuestion {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// How many there will be, of names that the run has made and that servers may not know yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<usize>,
}

impl RecordQuestion {
    /// Whether an answer holds what will be there. A long answer is not in the specification: a server that knows the name
    /// may have fewer records, and has no more of them later.
    pub(super) fn is_complete(&self, records: &Records) -> bool {
        let name_is_known = self.record.purpose == Purpose::LongAnswer && !records.is_nxdomain();
        name_is_known || self.awaited.is_none_or(|awaited| records.data.len() >= awaited)
    }
}

/// The answer of one server to a question for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordAnswer {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Record,
    /// What the server answered.
    pub got: Got<Records>,
}

/// An answer to a question for records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The response code, as `NXDOMAIN`.
    pub code: String,
    /// The records, as a zone file writes them, with their types in front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<String>,
    /// Whether a datagram did not hold them, so that they came by TCP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Records {
    /// Whether the server answered that the name does not exist.
    pub fn is_nxdomain(&self) -> bool {
        self.code == "NXDOMAIN"
    }

    /// The addresses among the records.
    pub fn addresses(&self) -> impl Iterator<Item = std::net::IpAddr> {
        let address = |record: &String| record.strip_prefix("a ").or(record.strip_prefix("aaaa "))?.parse().ok();
        self.data.iter().filter_map(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(purpose: Purpose, awaited: Option<usize>, code: &str, count: usize) -> bool {
        let record = Record { purpose, kind: Kind::Srv, name: "x.".into() };
        let records = Records { code: code.into(), data: vec!["srv 0 0 1 x.".into(); count], truncated: false };
        RecordQuestion { record, awaited }.is_complete(&records)
    }

    #[test]
    fn only_new_names_are_waited_for() {
        assert!(complete(Purpose::Nonexistent, None, "NXDOMAIN", 0) && complete(Purpose::ApiPort, None, "NOERROR", 0));
        assert!(!complete(Purpose::Alias, Some(1), "NXDOMAIN", 0) && complete(Purpose::Alias, Some(1), "NOERROR", 1));
        assert!(!complete(Purpose::Probes, Some(3), "NOERROR", 2));
        assert!(!complete(Purpose::LongAnswer, Some(10), "NXDOMAIN", 0));
        assert!(complete(Purpose::LongAnswer, Some(10), "NOERROR", 1), "a server may have fewer");
    }

    #[test]
    fn a_question_is_written_with_its_purpose() {
        let record = Record { purpose: Purpose::OtherFamily, kind: Kind::Aaaa, name: "x.".into() };
        let json = serde_json::to_string(&RecordQuestion { record: record.clone(), awaited: None }).unwrap();
        assert_eq!(json, r#"{"purpose":"other-family","kind":"AAAA","name":"x."}"#);
        assert_eq!(record.to_string(), "AAAA x.");
    }
}
