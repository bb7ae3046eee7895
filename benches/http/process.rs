//! A process on the core that is measured: what it used, and a word to stand still while another one is measured.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// The system counts the time of its cores in these (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Time in which nobody used these cores. (Who used them the system only samples; this it measures.)
pub(crate) fn idle(cores: &[usize]) -> Duration {
    let stat = fs::read_to_string("/proc/stat").expect("Linux");
    let of = |core: &usize| {
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name)).expect("a line for each core");
        // Behind user, nice and system: idle, and waiting for a disk.
        line.split(' ').filter_map(|it| it.parse::<u32>().ok()).skip(3).take(2).sum::<u32>()
    };
    TICK * cores.iter().map(of).sum()
}

/// What the threads of a process had of the processors.
#[derive(Clone, Copy, Default)]
pub(crate) struct Share {
    /// In the kernel and out of it.
    pub(crate) used: Duration,
    /// They could have run, and something else did.
    pub(crate) waited: Duration,
}

impl Share {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { used: self.used.saturating_sub(before.used), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// What runs its argument on a core, and ends it when this process is gone.
pub(crate) fn wrapper(core: usize) -> Vec<String> {
    ["taskset", "-c", &core.to_string(), "setpriv", "--pdeathsig", "KILL"].map(str::to_owned).into()
}

/// Keeps this thread, and those that it starts from now on, on a core.
pub(crate) fn stay_on(core: usize) {
    let this = std::process::id().to_string();
    let set = Command::new("taskset").args(["-cp", &core.to_string(), &this]).output();
    let set = set.expect("taskset of util-linux is there");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

/// Every connection has two ends here, and each is an open file.
pub(crate) fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("the hard limit");
}

#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The load generator and the model.
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    /// Of all its threads that there are now.
    pub(crate) fn share(self) -> Share {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).expect("it runs");
        // One may be gone by now.
        let read = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat")).ok();
        threads.flatten().filter_map(read).fold(Share::default(), |sum, line| {
            let mut nanoseconds = line.split(' ').map(|it| Duration::from_nanos(it.parse().unwrap_or_default()));
            let mut next = || nanoseconds.next().unwrap_or_default();
            Share { used: sum.used + next(), waited: sum.waited + next() }
        })
    }

    /// Resident memory in megabytes (10^6).
    pub(crate) fn resident(self) -> f64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.0)).expect("it runs");
        let pages: f64 = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a line of /proc/PID/statm");
        pages * 4_096.0 / 1e6
    }

    pub(crate) fn stand_still(self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(self) {
        self.signal(Signal::CONT);
    }

    fn signal(self, signal: Signal) {
        let process = i32::try_from(self.0).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, signal).expect("it runs");
    }
}
