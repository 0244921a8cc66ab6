//! The cloud identities that pods can take.

pub mod instance_metadata;

crate::suite! {
    name: "cloud-identity",
    about: "cloud identities: what pods can act as at the provider",
    checks: [
        instance_metadata,
    ],
}
