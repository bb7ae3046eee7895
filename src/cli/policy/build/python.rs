//! Python, by componentize-py in a virtual environment of the folder's own. The module is `src/policy.py`, the world
//! the one in `wit/`.

use anyhow::bail;

use super::workshop::Workshop;

const INSTALL: &str = "install Python 3.10 or newer with venv: https://www.python.org/downloads (Debian, Ubuntu: apt \
                       install python3 python3-venv)";

pub(super) fn build(workshop: &Workshop, module: &str) -> anyhow::Result<()> {
    let has = |path: &str| workshop.folder().join(path).exists();
    for needed in ["src/policy.py", "wit"] {
        if !has(needed) {
            bail!(
                "{}: no {needed}; `octroi policy new --lang python` makes a folder that has it",
                workshop.folder().display()
            );
        }
    }
    if !has(".venv/bin/pip") {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let fits = "import sys, venv, ensurepip; print(sys.version_info >= (3, 10))";
        match workshop.ask(&python, &["-c", fits])?.as_deref() {
            Some("True") => workshop.run(&[&python, "-m", "venv", ".venv"])?,
            Some(_) => bail!("{python} is too old; {INSTALL}"),
            None => bail!("{python} is missing, or has no venv; {INSTALL}"),
        }
    }
    let packages: &[&str] = if has("requirements.txt") { &["--requirement", "requirements.txt"] } else { &["."] };
    workshop.run(&[&[".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"], packages].concat())?;
    workshop.run(&[
        // Without it the environment's packages are not found.
        "VIRTUAL_ENV=.venv",
        ".venv/bin/componentize-py",
        "--wit-path",
        "wit",
        "componentize",
        "policy",
        "--python-path",
        "src",
        "--stub-wasi",
        "--output",
        module,
    ])
}
