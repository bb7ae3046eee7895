//! PostgreSQL for tests: the system's own binaries, in a temporary folder, on a free port.
//!
//! It ends with the process that started it. Debian's package has the binaries: `make postgres`. With
//! OCTROI_SKIP_POSTGRES=1 the tests that need it pass without having tested anything, and say so.

#![allow(dead_code, clippy::allow_attributes, reason = "each user has its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panics")]
#![allow(unreachable_pub, missing_docs, reason = "a module of tests")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

// Of who takes this module in.
use super::ports;

const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of the folders' names.
const FOLDER: &str = "octroi-postgres-";

/// A server with databases.
pub struct Server {
    folder: PathBuf,
    port: u16,
    child: Child,
}

/// The server that all tests of this process share; `None` when the tests are to go without.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(Server::start).as_ref()
}

impl Server {
    /// A server of one's own; `None` when the tests are to go without.
    pub fn start() -> Option<Self> {
        if std::env::var("OCTROI_SKIP_POSTGRES").is_ok_and(|it| it == "1") {
            // Past the harness, which shows nothing of a test that passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED: OCTROI_SKIP_POSTGRES=1, nothing is claimed of PostgreSQL");
            return None;
        }
        let binaries = binaries();
        let folder = folder();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let user = user();
        if let Some((_, uid, gid)) = &user {
            chown(&folder, Some(*uid), Some(*gid)).unwrap();
        }
        let made = as_user(&user, &binaries.join("initdb"), &folder)
            .args(["-U", "octroi", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for port in ports::ports() {
            let mut server = Self { child: run(&folder, port), folder: folder.clone(), port };
            if server.started() {
                return Some(server);
            }
            // Its folder stays for the next one.
            std::mem::forget(server);
        }
        panic!("PostgreSQL starts on no port: {}", log(&folder))
    }

    /// A database of its own.
    pub fn database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("audit_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        execute(&self.url("postgres"), &format!("CREATE DATABASE {name}")).unwrap();
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://octroi@127.0.0.1:{}/{database}", self.port)
    }

    /// Kills the server and all of its processes, as a power cut of the machine's processes would.
    pub fn kill(&mut self) {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap_or_default();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).stderr(Stdio::null()).status();
        for process in children.split_whitespace() {
            let gone = || !Path::new("/proc").join(process).exists();
            let until = Instant::now() + PATIENCE;
            while !gone() {
                assert!(Instant::now() < until, "process {process} of PostgreSQL does not end");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Starts it again, after a kill, on its port.
    pub fn restart(&mut self) {
        self.child = run(&self.folder, self.port);
        assert!(self.started(), "PostgreSQL does not start again: {}", log(&self.folder));
    }

    /// Waits until it answers. False if it ended, as it does when somebody else has its port.
    fn started(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        let data = Some(self.folder.join("data").display().to_string());
        loop {
            // Another test's server may answer here.
            match execute(&self.url("postgres"), "SHOW data_directory") {
                Ok(rows) if rows == [[data.clone()]] => return true,
                answer => {
                    if self.child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    assert!(Instant::now() < until, "PostgreSQL did not start: {answer:?}\n{}", log(&self.folder));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs SQL on a connection of its own.
pub fn execute(url: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    // A thread, since the caller may be in a runtime.
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let messages = client.simple_query(&sql).await?;
            let rows = messages.iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => None,
            });
            Ok::<_, tokio_postgres::Error>(rows.collect())
        })
    };
    std::thread::spawn(work).join().unwrap().map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// Those that `pg_config` knows, or else the newest of Debian's.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .filter_map(|it| Some((it.file_name().to_str()?.parse::<u32>().ok()?, it.path().join("bin"))))
        .collect();
    found.sort();
    found.extend(configured());
    let fits = |(version, bin): &(u32, PathBuf)| {
        *version >= 15 && bin.join("postgres").exists() && bin.join("initdb").exists()
    };
    match found.into_iter().rfind(fits) {
        Some((_, bin)) => bin,
        None => panic!(
            "PostgreSQL 15 or later is missing: `make postgres`, or `apt-get install postgresql`, installs it; \
             OCTROI_SKIP_POSTGRES=1 leaves its tests out"
        ),
    }
}

/// Version and folder that `pg_config` tells; it is there without a server too.
fn configured() -> Option<(u32, PathBuf)> {
    let told = |what: &str| String::from_utf8(Command::new("pg_config").arg(what).output().ok()?.stdout).ok();
    let version = told("--version")?;
    let version = version.split(|it: char| !it.is_ascii_digit()).find(|it| !it.is_empty())?.parse().ok()?;
    Some((version, told("--bindir")?.trim().into()))
}

/// A folder for this process. Those of processes that are gone are removed.
fn folder() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let place = std::env::temp_dir();
    for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split('-').next());
        if owner.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    place.join(format!("{FOLDER}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// It refuses to run as root: then the user that its package makes, else `nobody`. Name, user, group.
fn user() -> Option<(String, u32, u32)> {
    let mut own = String::new();
    fs::File::open("/proc/self/status").unwrap().read_to_string(&mut own).unwrap();
    if !own.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((name.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("a user to run PostgreSQL as"))
}

fn as_user(user: &Option<(String, u32, u32)>, program: &Path, folder: &Path) -> Command {
    let mut command = match user {
        Some((_, uid, gid)) => {
            let mut command = Command::new("setpriv");
            let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
            command.args([uid, gid, "--clear-groups".to_owned(), "--pdeathsig=QUIT".to_owned()]).arg(program);
            command
        }
        None => {
            let mut command = Command::new("setpriv");
            command.arg("--pdeathsig=QUIT").arg(program);
            command
        }
    };
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// The server's process. It ends when the thread that started it does, which is when this process does.
fn run(folder: &Path, port: u16) -> Child {
    let (sender, receiver) = mpsc::channel();
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let child = as_user(&user(), &binaries().join("postgres"), &folder)
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"])
            // What survives here is a kill, not a power cut.
            .args(["-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", folder.display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PostgreSQL starts");
        sender.send(child).unwrap();
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap()
}
