//! Which names the server answers to.
//!
//! A web page may have its own name lead to this machine (DNS rebinding). Its requests are of its own origin then, as the browser sees it, and only
//! the name in `Host` tells them from those of people who mean this server. Owns that check alone; which pages of other origins may connect is
//! `origin_allowed`'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{App, error};
use crate::config::Config;

/// The names that are answered to beside addresses and `localhost`.
pub(crate) struct Hosts {
    /// In lower case; all there are if `None`.
    named: Option<Vec<String>>,
    /// Whether the log has said that one was refused.
    said: AtomicBool,
}

impl Hosts {
    /// Names are checked where the server listens on loopback alone, or where some are given: elsewhere nobody can tell by which name it is reached.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let (hosts, origins) = (&config.allow_host, &config.allow_origin);
        if let Some(host) = hosts.iter().find(|host| !is_name(host)) {
            return Err(format!(
                "{host:?} is no host name: give it without scheme, port and path, such as sync.example.org, or * for all"
            ));
        }
        let is_any = |all: &[String]| all.iter().any(|one| one == "*");
        // Where pages of all origins may connect there is nothing to be had by a wrong name.
        let guarded =
            if hosts.is_empty() { config.listen.ip().is_loopback() && !is_any(origins) } else { !is_any(hosts) };
        let of_origins = origins.iter().filter_map(|origin| Some(origin.parse::<Uri>().ok()?.host()?.to_owned()));
        let named = || hosts.iter().cloned().chain(of_origins).map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { named: guarded.then(named), said: AtomicBool::new(false) })
    }

    fn allow(&self, host: Option<&HeaderValue>) -> bool {
        // Browsers always name one.
        let (Some(named), Some(host)) = (&self.named, host) else { return true };
        let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
        let name = authority.host().to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_local = name == "localhost" || name.ends_with(".localhost");
        is_local || address.parse::<IpAddr>().is_ok() || named.iter().any(|known| known == name)
    }
}

fn is_name(host: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host == "*" || !host.is_empty() && host.chars().all(is_of_name)
}

/// Refuses a request that names another host, whatever it asks for.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    if app.hosts.allow(host) {
        return next.run(request).await;
    }
    if !app.hosts.said.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            ?host,
            "refused a request for another host: --allow-host names those of this server, as proxies pass them on"
        );
    }
    let message = "the server is not known by this host: if it is its name, say so with --allow-host NAME";
    error(StatusCode::FORBIDDEN, "forbidden-host", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, allow_host: &[&str], allow_origin: &[&str]) -> Result<Hosts, String> {
        let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let (allow_host, allow_origin) = (owned(allow_host), owned(allow_origin));
        let listen = listen.parse().expect("an address");
        Hosts::new(&Config { listen, allow_host, allow_origin, ..Config::default() })
    }

    fn allows(hosts: &Hosts, host: &'static str) -> bool {
        hosts.allow(Some(&HeaderValue::from_static(host)))
    }

    #[test]
    fn on_loopback_a_page_reaches_the_server_under_no_name_of_its_own() {
        let local = hosts("127.0.0.1:8787", &[], &["https://app.example:444"]).expect("fits");
        for host in [
            "127.0.0.1:8787",
            "[::1]:8787",
            "192.0.2.1",
            "localhost:1",
            "LOCALHOST",
            "app.localhost.",
            "app.example",
            "App.Example:9",
        ] {
            assert!(allows(&local, host), "{host}");
        }
        for host in [
            "evil.example:8787",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "",
            "a b",
            "[evil]",
        ] {
            assert!(!allows(&local, host), "{host}");
        }
        assert!(local.allow(None), "it comes from no browser");
        let proxied = hosts("[::1]:8787", &["Sync.example"], &[]).expect("fits");
        assert!(allows(&proxied, "sync.example") && !allows(&proxied, "evil.example"));
    }

    #[test]
    fn elsewhere_names_are_checked_once_some_are_given() {
        assert!(allows(&hosts("0.0.0.0:8787", &[], &[]).expect("fits"), "any.example"));
        let named = hosts("0.0.0.0:8787", &["sync.example"], &["*"]).expect("fits");
        assert!(allows(&named, "sync.example") && !allows(&named, "evil.example"));
        for (hosts_given, origins) in [(&["*"][..], &[][..]), (&[], &["*"])] {
            assert!(allows(&hosts("127.0.0.1:1", hosts_given, origins).expect("fits"), "any.example"));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_at_the_start() {
        for wrong in ["https://sync.example", "sync.example:443", "sync.example/sync", ""] {
            assert!(hosts("127.0.0.1:1", &[wrong], &[]).is_err(), "{wrong}");
        }
    }
}
