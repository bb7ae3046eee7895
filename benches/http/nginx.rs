//! What a proxy without policies and records costs: nginx with one worker, in front of the same model.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running nginx. Dropping it ends it.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
}

/// Its version, if it is there.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("nginx").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.trim().rsplit('/').next().map(str::to_owned)
}

impl Nginx {
    pub(crate) fn start(folder: &Path, wrapper: &[String], upstream: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(free, upstream)).expect("a file");
        let mut line = wrapper.iter().map(String::as_str).chain(["nginx"]);
        let child = Command::new(line.next().unwrap_or("nginx"))
            .args(line)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .args(["-e", "nginx.log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { address: free, child };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(free).is_err() {
            let log = || fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
            assert!(Instant::now() < until, "nginx does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kept connections on both sides, streams passed on as they come, no log: all that makes it quick.
fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {kind};\n"))
        .concat();
    format!(
        "daemon off;
master_process off;
worker_rlimit_nofile 8192;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
{folders}    access_log off;
    keepalive_requests 100000000;
    upstream model {{
        server {upstream};
        keepalive 2048;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen} backlog=2048;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
