//! The addresses that media is offered on. Owns the one call into the C library that lists them; never opens a socket.
#![allow(unsafe_code)] // getifaddrs: std has no way to list interfaces. Goes when std gets one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most addresses offered; each costs every session a socket. A host with dozens of container bridges would pay dearly.
const MAX_ADDRESSES: usize = 8;

/// Addresses to offer host candidates on. Loopback only when `loopback` asks for it or there is nothing else (libnice
/// leaves it out by itself, and then a machine without a network has no candidate at all).
pub(in crate::media::gst) fn local_addresses(loopback: bool) -> Vec<IpAddr> {
    choose(interface_addresses(), loopback)
}

fn choose(all: Vec<IpAddr>, loopback: bool) -> Vec<IpAddr> {
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        // Link-local IPv6 needs a scope that candidates cannot carry.
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified() && !v6.is_loopback(),
    };
    let (local, mut chosen): (Vec<_>, Vec<_>) = all.into_iter().filter(usable).partition(IpAddr::is_loopback);
    chosen.sort_by_key(IpAddr::is_ipv6);
    chosen.dedup();
    chosen.truncate(MAX_ADDRESSES);
    if loopback || chosen.is_empty() {
        // First, because libnice gives later addresses a higher priority, and loopback is the least likely to work.
        chosen.insert(0, local.into_iter().next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    chosen
}

fn interface_addresses() -> Vec<IpAddr> {
    let mut head: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills `head` with a list that stays valid until freeifaddrs below.
    if unsafe { libc::getifaddrs(&raw mut head) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut entry = head;
    // SAFETY: `entry` walks the list from getifaddrs; a node's address is null or a sockaddr of the family it names.
    unsafe {
        while let Some(node) = entry.as_ref() {
            entry = node.ifa_next;
            let up = node.ifa_flags & (libc::IFF_UP as libc::c_uint) != 0;
            let Some(address) = node.ifa_addr.as_ref().filter(|_| up) else { continue };
            match i32::from(address.sa_family) {
                libc::AF_INET => {
                    let v4 = &*node.ifa_addr.cast::<libc::sockaddr_in>();
                    found.push(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))));
                }
                libc::AF_INET6 => {
                    let v6 = &*node.ifa_addr.cast::<libc::sockaddr_in6>();
                    found.push(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)));
                }
                _ => {}
            }
        }
        libc::freeifaddrs(head);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn loopback_is_offered_when_asked_for_or_alone() {
        let both = parse(&["127.0.0.1", "fd00::2", "192.0.2.2", "::1", "fe80::1", "169.254.1.1"]);
        assert_eq!(choose(both.clone(), false), parse(&["192.0.2.2", "fd00::2"]));
        assert_eq!(choose(both, true), parse(&["127.0.0.1", "192.0.2.2", "fd00::2"]));
        assert_eq!(choose(parse(&["127.0.0.1"]), false), parse(&["127.0.0.1"]));
        assert_eq!(choose(Vec::new(), false), parse(&["127.0.0.1"]));
    }

    #[test]
    fn this_machine_has_an_address() {
        assert!(!local_addresses(true).is_empty());
    }
}
