//! The plugins of CoreDNS and how their setup reads them, from `plugin.cfg` and `plugin/*/setup.go` of CoreDNS 1.14.7
//! (August 2026). Releases since 1.3 are known by when a plugin came or went.

use super::occurrence::{Arguments, Block, Form, Property, Uses};
use super::values::{
    ANY_DURATION, ANY_NUMBER, COUNT, COUNT_32, NOT_NEGATIVE,
    Value::{self, Address, AddressOrPort, Any, Code, Duration, HostAndPort, Number, Pattern, Range, Rate, Type, Word},
};
use crate::version::Version;

/// The newest release that this list describes.
pub(crate) const NEWEST: Version = Version { major: 1, minor: 14, patch: 7 };

/// A plugin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plugin {
    pub name: &'static str,
    /// The first release with it, if that is later than 1.3.
    pub since: Option<Version>,
    /// Whether its arguments may hold credentials.
    pub confidential: bool,
    pub form: Form,
}

/// Plugins that later releases lack, with the release in which they were gone.
pub(super) const REMOVED: [(&str, Version); 2] =
    [("proxy", Version { major: 1, minor: 5, patch: 0 }), ("federation", Version { major: 1, minor: 7, patch: 0 })];

/// Any number of arguments.
const ALL: usize = usize::MAX;
const NONE: Arguments = Arguments::Between(0, 0, &[]);
const ANYTHING: Arguments = Arguments::Between(0, ALL, &[]);
const SOMETHING: Arguments = Arguments::Between(1, ALL, &[]);
const ONE: Arguments = Arguments::Between(1, 1, &[]);

const fn exactly(forms: &'static [Value]) -> Arguments {
    Arguments::Between(forms.len(), forms.len(), forms)
}

const fn perhaps(forms: &'static [Value]) -> Arguments {
    Arguments::Between(0, forms.len(), forms)
}

const fn each(forms: &'static [Value]) -> Arguments {
    Arguments::Between(1, ALL, forms)
}

const fn plugin(name: &'static str, uses: Uses, arguments: Arguments, block: Block) -> Plugin {
    Plugin { name, since: None, confidential: false, form: Form { uses, arguments, block } }
}

impl Plugin {
    const fn since(self, minor: u64, patch: u64) -> Self {
        Self { since: Some(Version { major: 1, minor, patch }), ..self }
    }

    const fn confidential(self) -> Self {
        Self { confidential: true, ..self }
    }
}

/// The plugin of this name.
pub(super) fn find(name: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

use Arguments::{Nothing, Single};
use Block::{Empty, Of, Open, Unread, Words};
use Uses::{First, Many, One};

/// A limit of connections or streams.
const LIMIT: Arguments = exactly(&[COUNT]);
const TLS: Property = ("tls", Arguments::Between(0, 3, &[]));
const POLICY: Property = ("policy", Single(Word(&["random", "round_robin", "sequential"])));
const FALLTHROUGH: Property = ("fallthrough", ANYTHING);
const UPSTREAM: Property = ("upstream", ANYTHING);
/// A lifetime in an answer. What follows it is ignored.
const TTL: Property = ("ttl", each(&[Number(0, 3600), Any]));
/// A number and two lifetimes. What follows them is ignored.
const CAPACITY: Arguments = each(&[ANY_NUMBER, Number(1, i64::MAX), COUNT, Any]);

static PLUGINS: &[Plugin] = &[
    plugin("acl", Many, ANYTHING, Open(&[])).since(6, 4),
    plugin("any", First, Nothing, Empty).since(5, 1),
    plugin(
        "auto",
        Many,
        ANYTHING,
        Of(&[
            ("directory", Arguments::Between(1, 3, &[Any, Pattern, Any])),
            ("reload", each(&[NOT_NEGATIVE, Any])),
            UPSTREAM,
        ]),
    ),
    plugin("autopath", Many, SOMETHING, Unread),
    plugin(
        "azure",
        Many,
        SOMETHING,
        Of(&[
            ("subscription", ONE),
            ("tenant", ONE),
            ("client", ONE),
            ("secret", ONE),
            ("environment", ONE),
            ("access", ONE),
            FALLTHROUGH,
        ]),
    )
    .since(6, 2)
    .confidential(),
    plugin("bind", Many, SOMETHING, Of(&[("except", SOMETHING)])),
    plugin("bufsize", First, perhaps(&[Number(512, 4096)]), Unread).since(6, 6),
    plugin(
        "cache",
        One,
        ANYTHING,
        Of(&[
            ("success", CAPACITY),
            ("denial", CAPACITY),
            ("prefetch", Arguments::Between(1, 3, &[COUNT, ANY_DURATION, Any])),
            ("serve_stale", Arguments::Between(0, 5, &[NOT_NEGATIVE, Any])),
            ("serve_stale_policy", ONE),
            ("servfail", exactly(&[Duration(0.0, 300.0)])),
            ("disable", each(&[Word(&["success", "denial"]), Any])),
            ("keepttl", NONE),
        ]),
    ),
    plugin("cancel", Many, perhaps(&[Duration(1e-9, f64::MAX)]), Unread).since(5, 0),
    plugin("chaos", First, ANYTHING, Empty),
    plugin("clouddns", Many, SOMETHING, Of(&[UPSTREAM, ("credentials", ONE), FALLTHROUGH])).since(6, 3).confidential(),
    plugin("debug", Many, Nothing, Unread),
    plugin(
        "dns64",
        Many,
        perhaps(&[Range]),
        Of(&[("prefix", Single(Range)), ("translate_all", Nothing), ("allow_ipv4", Nothing)]),
    )
    .since(7, 0),
    plugin("dnssec", One, ANYTHING, Of(&[("key", SOMETHING), ("cache_capacity", exactly(&[ANY_NUMBER]))]))
        .confidential(),
    plugin(
        "dnstap",
        Many,
        SOMETHING,
        Of(&[
            ("skipverify", Nothing),
            ("tls", Arguments::Between(2, ALL, &[])),
            ("identity", Single(Any)),
            ("version", Single(Any)),
            ("extra", Single(Any)),
        ]),
    ),
    plugin(
        "erratic",
        Many,
        ANYTHING,
        Of(&[
            ("drop", perhaps(&[COUNT])),
            ("delay", perhaps(&[COUNT, ANY_DURATION])),
            ("truncate", perhaps(&[COUNT])),
            ("large", Nothing),
        ]),
    ),
    plugin(
        "errors",
        One,
        perhaps(&[Word(&["stdout"])]),
        Of(&[
            ("stacktrace", Nothing),
            (
                "consolidate",
                Arguments::Between(
                    2,
                    4,
                    &[ANY_DURATION, Pattern, Word(&["warning", "error", "info", "debug", "show_first"])],
                ),
            ),
        ]),
    ),
    plugin(
        "etcd",
        First,
        ANYTHING,
        Of(&[
            ("stubzones", Nothing),
            FALLTHROUGH,
            ("debug", Nothing),
            ("path", Single(Any)),
            ("endpoint", SOMETHING),
            UPSTREAM,
            TLS,
            ("credentials", Arguments::Between(2, 2, &[])),
            ("min-lease-ttl", ONE),
            ("max-lease-ttl", ONE),
        ]),
    )
    .confidential(),
    plugin(
        "file",
        Many,
        SOMETHING,
        Of(&[FALLTHROUGH, ("reload", each(&[ANY_DURATION, Any])), ("reload_by_mtime", Nothing), UPSTREAM]),
    ),
    plugin(
        "forward",
        Many,
        Arguments::Between(2, ALL, &[]),
        Of(&[
            ("except", SOMETHING),
            ("max_fails", Single(COUNT_32)),
            ("max_connect_attempts", Single(COUNT_32)),
            ("health_check", Arguments::Between(1, 4, &[NOT_NEGATIVE, Any])),
            ("force_tcp", NONE),
            ("prefer_udp", NONE),
            TLS,
            ("tls_servername", Single(Any)),
            ("expire", Single(NOT_NEGATIVE)),
            ("max_age", Single(NOT_NEGATIVE)),
            ("max_idle_conns", Single(COUNT)),
            ("read_timeout", Single(Duration(1e-9, f64::MAX))),
            ("doh_method", Single(Word(&["POST", "GET"]))),
            POLICY,
            ("max_concurrent", Single(COUNT)),
            ("next", each(&[Code])),
            ("next_on_nodata", NONE),
            ("failfast_all_unhealthy_upstreams", NONE),
            ("failover", each(&[Code])),
            ("resolver", each(&[AddressOrPort])),
            ("source_address", Single(Address)),
        ]),
    ),
    plugin("geoip", One, ONE, Of(&[("edns-subnet", Nothing)])).since(8, 5),
    plugin(
        "grpc",
        One,
        Arguments::Between(2, ALL, &[]),
        Of(&[("except", SOMETHING), TLS, ("tls_servername", Single(Any)), POLICY, FALLTHROUGH]),
    )
    .since(5, 0),
    plugin("grpc_server", First, NONE, Of(&[("max_streams", LIMIT), ("max_connections", LIMIT)])).since(14, 0),
    plugin("header", Many, ANYTHING, Open(&[])).since(8, 5),
    plugin("health", Many, perhaps(&[HostAndPort]), Of(&[("lameduck", exactly(&[ANY_DURATION]))])),
    plugin(
        "hosts",
        One,
        ANYTHING,
        Open(&[
            FALLTHROUGH,
            ("fallthrough_unsupported", NONE),
            ("no_reverse", Nothing),
            ("ttl", each(&[Number(1, 65535), Any])),
            ("reload", exactly(&[NOT_NEGATIVE])),
        ]),
    ),
    plugin("https", First, NONE, Of(&[("max_connections", LIMIT)])).since(14, 0),
    plugin("https3", First, NONE, Of(&[("max_streams", LIMIT), ("max_connections", LIMIT)])).since(14, 0),
    plugin("k8s_external", Many, ANYTHING, Of(&[TTL, ("apex", SOMETHING), ("headless", Nothing), FALLTHROUGH])),
    plugin(
        "kubernetes",
        One,
        ANYTHING,
        Of(&[
            ("endpoint_pod_names", NONE),
            ("pods", exactly(&[Word(&["disabled", "insecure", "verified"])])),
            ("namespaces", SOMETHING),
            ("endpoint", SOMETHING),
            ("tls", Arguments::Between(3, 3, &[])),
            ("labels", SOMETHING),
            ("namespace_labels", SOMETHING),
            FALLTHROUGH,
            TTL,
            ("noendpoints", NONE),
            ("zonal", NONE),
            ("ignore", Arguments::Between(0, ALL, &[Word(&["empty_service"]), Any])),
            ("kubeconfig", Arguments::Between(1, 2, &[])),
            ("multicluster", ANYTHING),
            ("startup_timeout", each(&[ANY_DURATION, Any])),
            ("apiserver_qps", exactly(&[Rate])),
            ("apiserver_burst", exactly(&[COUNT])),
            ("apiserver_max_inflight", exactly(&[COUNT])),
        ]),
    ),
    plugin(
        "loadbalance",
        Many,
        perhaps(&[Word(&["round_robin", "weighted"]), Any]),
        Of(&[("prefer", each(&[Range])), ("reload", exactly(&[ANY_DURATION]))]),
    ),
    plugin("local", Many, NONE, Of(&[("localhost_prefix", exactly(&[Word(&["on", "off"])]))])).since(8, 1),
    plugin("log", Many, ANYTHING, Of(&[("class", each(&[Word(&["all", "success", "denial", "error"])]))])),
    plugin("loop", One, Nothing, Unread),
    plugin("metadata", One, ANYTHING, Empty),
    plugin("minimal", First, Nothing, Unread).since(8, 4),
    plugin("multisocket", One, perhaps(&[Number(1, 1024)]), Unread).since(12, 0),
    plugin(
        "nomad",
        First,
        ANYTHING,
        Of(&[("address", SOMETHING), ("filter", ONE), ("token", ONE), ("ttl", exactly(&[Number(0, 3600)]))]),
    )
    .since(13, 0)
    .confidential(),
    plugin("nsid", One, ANYTHING, Unread),
    plugin("on", Many, SOMETHING, Unread).confidential(),
    plugin("pprof", One, perhaps(&[HostAndPort]), Of(&[("block", perhaps(&[ANY_NUMBER]))])),
    plugin("prometheus", One, perhaps(&[HostAndPort]), Of(&[("runtime_metrics", NONE), ("tls", ONE)])),
    plugin("proxyproto", Many, ANYTHING, Open(&[])).since(14, 3),
    plugin("quic", First, NONE, Of(&[("max_streams", LIMIT), ("max_connections", LIMIT), ("worker_pool_size", LIMIT)]))
        .since(12, 2),
    plugin(
        "ready",
        One,
        perhaps(&[HostAndPort]),
        Of(&[("monitor", exactly(&[Word(&["until-ready", "continuously"])]))]),
    )
    .since(5, 0),
    plugin("reload", First, perhaps(&[Duration(2.0, f64::MAX), ANY_DURATION]), Unread),
    plugin("rewrite", Many, SOMETHING, Words),
    plugin("root", Many, ONE, Unread),
    plugin(
        "route53",
        Many,
        ANYTHING,
        Of(&[
            ("aws_access_key", Arguments::Between(2, 2, &[])),
            ("aws_endpoint", ONE),
            UPSTREAM,
            ("credentials", SOMETHING),
            FALLTHROUGH,
            ("refresh", exactly(&[ANY_DURATION])),
        ]),
    )
    .confidential(),
    plugin(
        "secondary",
        Many,
        ANYTHING,
        Of(&[("transfer", Arguments::Between(2, ALL, &[Word(&["from"]), Any])), ("catalog", ANYTHING), FALLTHROUGH]),
    ),
    plugin("shed", One, NONE, Empty).since(14, 7),
    plugin("sign", Many, SOMETHING, Of(&[("key", SOMETHING), ("directory", ONE)])).since(6, 3),
    plugin(
        "template",
        Many,
        Arguments::Between(2, ALL, &[Word(&super::values::CLASSES), Type, Any]),
        Of(&[
            ("match", each(&[Pattern])),
            ("answer", SOMETHING),
            ("additional", SOMETHING),
            ("authority", SOMETHING),
            ("var", Arguments::Between(2, ALL, &[])),
            ("expr", SOMETHING),
            ("rcode", Single(Code)),
            ("ederror", Arguments::Between(1, 2, &[Number(0, 65535), Any])),
            FALLTHROUGH,
            UPSTREAM,
        ]),
    ),
    plugin(
        "timeouts",
        Many,
        NONE,
        Of(&[("read", ONE), ("write", ONE), ("idle", ONE), ("maxtcpqueries", exactly(&[ANY_NUMBER]))]),
    )
    .since(10, 1),
    plugin("tls", Many, Arguments::Between(0, 3, &[]), Open(&[])).confidential(),
    plugin(
        "trace",
        Many,
        Arguments::Between(0, 2, &[]),
        Of(&[
            ("every", exactly(&[COUNT])),
            ("service", ONE),
            ("client_server", perhaps(&[Any])),
            ("datadog_analytics_rate", perhaps(&[Rate])),
            ("zipkin_max_backlog_size", exactly(&[ANY_NUMBER])),
            ("zipkin_max_batch_size", exactly(&[ANY_NUMBER])),
            ("zipkin_max_batch_interval", exactly(&[ANY_DURATION])),
        ]),
    ),
    plugin("transfer", Many, ANYTHING, Of(&[("to", SOMETHING), ("source", exactly(&[Address]))])).since(6, 5),
    plugin("tsig", One, ANYTHING, Open(&[])).since(9, 4).confidential(),
    plugin("view", One, ONE, Of(&[("expr", SOMETHING)])).since(10, 0),
    plugin("whoami", First, Nothing, Unread),
];
