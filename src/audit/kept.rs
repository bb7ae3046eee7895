//! Small files that are made at the first start, and read ever after.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::AuditError;

/// When a kept file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was there.
    Before,
    /// Just now.
    Now,
}

/// The text of a file, which is made with that mode if it is not there: whole or not at all, whatever ends the process
/// meanwhile, and by one of several that start at once. `failed` names what could not be done: `read` or `made`.
pub(super) fn kept(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, AuditError>,
    failed: impl Fn(&str, io::Error) -> AuditError,
) -> Result<(String, Made), AuditError> {
    let before = |text| (text, Made::Before);
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.map(before).map_err(|error| failed("read", error)),
    }
    let text = make()?;
    match write_whole(path, mode, &text) {
        Ok(()) => Ok((text, Made::Now)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::read_to_string(path).map(before).map_err(|error| failed("read", error))
        }
        Err(error) => Err(failed("made", error)),
    }
}

/// Under another name first, and flushed before it gets its own.
fn write_whole(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    match File::open(folder) {
        // Whoever may write into a folder may not always read it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        folder => folder?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_folder_that_may_be_written_and_not_read_is_good_enough() {
        // Root may read it all the same: for it this runs in a namespace in which it is nobody, where there may be one.
        let in_namespace = |command: &str, arguments: &[&str]| {
            Command::new("unshare").args(["--user", command]).args(arguments).output().unwrap()
        };
        if rustix::process::geteuid().is_root() && in_namespace("true", &[]).status.success() {
            let (this, test) = (std::env::current_exe().unwrap(), std::thread::current());
            let again = in_namespace(this.to_str().unwrap(), &["--exact", test.name().unwrap()]);
            let told = String::from_utf8(again.stdout).unwrap();
            assert!(again.status.success() && told.contains("1 passed"), "{told}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octroi.node");
        let may = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        let kept = || kept(&path, 0o600, || Ok("node-1".to_owned()), |what, error| panic!("cannot be {what}: {error}"));
        may(0o300);
        let made = [kept(), kept()].map(Result::unwrap);
        may(0o700);
        assert_eq!(made.map(|(_, made)| made), [Made::Now, Made::Before]);
    }

    #[test]
    fn of_many_who_make_it_at_once_all_have_the_same_and_nothing_is_left_beside_it() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let (path, start) = (folder.path().join("octroi.node"), Barrier::new(8));
            let (path, start) = (&path, &start);
            let texts: Vec<_> = std::thread::scope(|scope| {
                let make = |number: usize| {
                    start.wait();
                    let failed = |what: &str, error| panic!("cannot be {what}: {error}");
                    kept(path, 0o600, || Ok(format!("of {number}")), failed).unwrap()
                };
                let makers: Vec<_> = (0..8).map(|number| scope.spawn(move || make(number))).collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect()
            });
            assert!(texts.iter().all(|(text, _)| *text == texts[0].0 && text.starts_with("of ")), "{texts:?}");
            assert_eq!(texts.iter().filter(|(_, made)| *made == Made::Now).count(), 1);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
