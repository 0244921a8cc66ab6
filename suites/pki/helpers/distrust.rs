//! How to fix a certificate of an API server that clients do not trust.

use crate::certificate::Distrust;
use crate::suites::kubeadm_phase::{again, restart};

/// How to make the certificate of an API server again.
pub(crate) fn remake() -> String {
    format!("on the node of each such API server, {}", again("certs apiserver"))
}

/// How to renew the certificate of an API server, with the same names.
pub(crate) fn renew() -> String {
    format!(
        "on the control-plane node: kubeadm certs renew apiserver && {}; on K3s and RKE2, restart the server",
        restart("kube-apiserver")
    )
}

/// How to fix what made a client distrust it.
pub(crate) fn remedy(distrust: &Distrust) -> String {
    match distrust {
        Distrust::Expired { .. } => renew(),
        Distrust::NotYetValid { .. } => {
            format!("set the clock of the machine that signed it, then make it again: {}", remake())
        }
        Distrust::UnknownIssuer { .. } | Distrust::BadSignature => format!(
            "find out which side has the wrong CA: openssl x509 -noout -subject -fingerprint -in \
             /etc/kubernetes/pki/ca.crt on each control-plane node. If clients have the right one, {}",
            remake()
        ),
        _ => remake(),
    }
}
