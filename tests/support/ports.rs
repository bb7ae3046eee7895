//! Ports below those that the system gives to whoever asks for any: one that was let go of is still free a moment later.

#![allow(dead_code, clippy::allow_attributes, reason = "each user has its own part of this")]
#![allow(clippy::expect_used, unreachable_pub, reason = "a module of tests, which fail by panics")]

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Some that are free. Each process begins elsewhere, and is told of none twice.
pub fn ports() -> impl Iterator<Item = u16> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    const LEAST: u16 = 10_000;
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given = given.split_whitespace().next().and_then(|least| least.parse::<u16>().ok());
    let end = given.filter(|end| *end > LEAST + 1_000).unwrap_or(32_768);
    let count = usize::from(end - LEAST);
    let first = std::process::id() as usize * 31;
    let number = move || (first + NUMBER.fetch_add(1, Ordering::Relaxed)) % count;
    let port = move |_| LEAST + u16::try_from(number()).unwrap_or_default();
    (0..100).map(port).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// One of them.
pub fn free() -> u16 {
    ports().next().expect("a free port")
}
